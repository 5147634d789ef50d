// The log's format is LevelDB's (RocksDB wiki, "Write Ahead Log File Format"): blocks of 32 KiB; in
// them records of CRC32C (masked), length, type and payload, none across a block's end; seven bytes
// or fewer before it are zero.
#include "server/kv/log_check.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

constexpr uint64_t kLogBlockBytes = 32 * kKiB;
constexpr uint64_t kHeaderBytes = 7;
constexpr uint64_t kTypeAt = 6;
// Full, first, middle and last fragment; RocksDB writes further types only for settings that we do
// not use.
constexpr int kFullType = 1;
constexpr int kLastType = 4;
// Of a batch: its sequence number and how many records it has. Behind it, in a mark, a tag and a
// length.
constexpr uint64_t kBatchHeaderBytes = 12;
constexpr uint64_t kMarkBytes = sizeof(kAcknowledgedMark) - 1;
// Added by RocksDB, so that the CRC of data that holds CRCs stays good.
constexpr uint32_t kMaskDelta = 0xa282ead8;

uint32_t Little(ConstBytes bytes) {
  uint32_t value = 0;
  for (size_t i = bytes.size(); i > 0; --i)
    value = value << 8 | static_cast<uint32_t>(bytes[i - 1]);
  return value;
}

// The length of the intact record that starts `bytes`, which end with their block; 0 when there is
// none.
uint64_t IntactRecord(ConstBytes bytes) {
  if (bytes.size() < kHeaderBytes) return 0;
  const int type = static_cast<int>(bytes[kTypeAt]);
  const uint64_t length = kHeaderBytes + Little(bytes.subspan(4, 2));
  if (type < 1 || type > kLastType || length > bytes.size()) return 0;
  const uint32_t crc = Crc32c(bytes.subspan(kTypeAt, length - kTypeAt));
  const uint32_t masked = ((crc >> 15) | (crc << 17)) + kMaskDelta;
  return masked == Little(bytes.first(4)) ? length : 0;
}

// An intact record that is a mark. Only such a one says that what lies before it was whole: of
// batches that were not synced, and of one of several blocks, a power cut may leave any part and
// lose the others. A mark that is cut in two by a block's end is not seen; the next one is.
bool IsMark(ConstBytes bytes) {
  const uint64_t length = IntactRecord(bytes);
  if (length != kHeaderBytes + kBatchHeaderBytes + kMarkBytes + 2) return false;
  if (static_cast<int>(bytes[kTypeAt]) != kFullType) return false;
  const ConstBytes mark = bytes.subspan(length - kMarkBytes, kMarkBytes);
  return std::memcmp(mark.data(), kAcknowledgedMark, kMarkBytes) == 0;
}

ConstBytes RestOfBlock(ConstBytes log, uint64_t offset) {
  const uint64_t end =
      std::min<uint64_t>(AlignDown(offset, kLogBlockBytes) + kLogBlockBytes, log.size());
  return log.subspan(offset, end - offset);
}

// Where the records end that follow each other without a fault from the log's start.
uint64_t EndOfIntactRecords(ConstBytes log, bool* any_mark = nullptr) {
  uint64_t offset = 0;
  while (offset < log.size()) {
    const ConstBytes rest = RestOfBlock(log, offset);
    const uint64_t length = IntactRecord(rest);
    if (length > 0) {
      if (any_mark != nullptr && IsMark(rest)) *any_mark = true;
      offset += length;
      continue;
    }
    const bool trailer =
        rest.size() < kHeaderBytes &&
        std::all_of(rest.begin(), rest.end(), [](std::byte b) { return b == std::byte{0}; });
    if (!trailer) break;
    offset += rest.size();
  }
  return offset;
}

// The damage may have hit a length, so any byte of the block may start the next record; further
// blocks begin with one.
bool HoldsMarkAfter(ConstBytes log, uint64_t offset) {
  const uint64_t block_end = AlignDown(offset, kLogBlockBytes) + kLogBlockBytes;
  for (uint64_t at = offset + 1; at < std::min<uint64_t>(block_end, log.size()); ++at) {
    if (IsMark(RestOfBlock(log, at))) return true;
  }
  for (uint64_t block = block_end; block < log.size(); block += kLogBlockBytes) {
    uint64_t at = block;
    while (at < std::min<uint64_t>(block + kLogBlockBytes, log.size())) {
      const ConstBytes rest = RestOfBlock(log, at);
      if (IsMark(rest)) return true;
      const uint64_t length = IntactRecord(rest);
      if (length == 0) break;
      at += length;
    }
  }
  return false;
}

absl::Status Damaged(const std::filesystem::path& file, uint64_t offset) {
  return absl::DataLossError(
      StrCat(file.string(), " is damaged at offset ", offset,
             ", before records that are intact: acknowledged changes are lost. Restore "
             "the file, or the whole data directory, from a copy"));
}

}  // namespace

std::optional<uint64_t> FindDamageInLog(ConstBytes log) {
  const uint64_t end = EndOfIntactRecords(log);
  if (end >= log.size() || !HoldsMarkAfter(log, end)) return std::nullopt;
  return end;
}

absl::Status CheckLogs(const std::string& directory) {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.path().extension() == ".log") files.push_back(entry.path());
  }
  // Names are numbers of six digits or more: the longer is the newer.
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
    const std::string left = a.filename().string(), right = b.filename().string();
    return left.size() != right.size() ? left.size() < right.size() : left < right;
  });
  // From the newest: the end of a log may be torn as long as nothing was written after it.
  bool marks_follow = false;
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    std::ifstream stream(*file, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(stream), {}};
    if (!stream)
      return absl::UnavailableError(
          StrCat(file->string(), " cannot be read: ", std::strerror(errno)));
    const ConstBytes log = std::as_bytes(std::span(content));
    bool any_mark = false;
    const uint64_t end = EndOfIntactRecords(log, &any_mark);
    if (end < log.size() && (marks_follow || HoldsMarkAfter(log, end))) return Damaged(*file, end);
    marks_follow = marks_follow || any_mark;
  }
  return absl::OkStatus();
}

}  // namespace cairn
