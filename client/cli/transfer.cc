// See transfer.h. The other side of the SDK's calls is client/core.
#include "client/cli/transfer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/console.h"
#include "client/cli/failure.h"
#include "client/cli/format.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

// How long Ctrl-C may go unseen while the input gives nothing.
constexpr int kSignalPollMs = 250;

// Reads until the buffer is full or the input ends. CANCELLED once a signal came.
absl::StatusOr<size_t> ReadFully(int fd, MutableBuffer buffer, const Interrupts& interrupts) {
  size_t filled = 0;
  while (filled < buffer.size()) {
    RETURN_IF_ERROR(interrupts.Check());
    // A read of a pipe or a terminal that gives nothing would not return for a signal: those are
    // taken on another thread. What poll() says otherwise, read() says better.
    pollfd input = {fd, POLLIN, 0};
    if (poll(&input, 1, kSignalPollMs) == 0) continue;
    const ssize_t n = read(fd, buffer.data() + filled, buffer.size() - filled);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno);
    if (n == 0) break;
    filled += static_cast<size_t>(n);
  }
  return filled;
}

size_t BufferSizeFor(uint64_t expected_bytes, size_t limit_bytes) {
  // One more than expected, so that the end of a file is seen with its last bytes.
  if (expected_bytes == 0 || expected_bytes >= limit_bytes) return limit_bytes;
  return std::max<size_t>(expected_bytes + 1, 4096);
}

absl::Status ReadRanges(File* file, uint64_t offset_bytes, MutableBuffer destination) {
  std::vector<ReadRange> ranges;
  for (size_t at = 0; at < destination.size(); at += kTransferRangeBytes) {
    const size_t length = std::min(kTransferRangeBytes, destination.size() - at);
    ranges.push_back({offset_bytes + at, destination.subspan(at, length)});
  }
  return file->Read(ranges);
}

// Can only be read by setting it, which other threads could see: once is rare enough.
mode_t ProcessUmask() {
  static const mode_t mask = [] {
    const mode_t current = umask(022);
    umask(current);
    return current;
  }();
  return mask;
}

}  // namespace

TransferBuffer::TransferBuffer(size_t size_bytes)
    : memory(std::make_unique_for_overwrite<std::byte[]>(size_bytes)), size(size_bytes) {}

absl::StatusOr<TransferResult> Upload(Client& client, int fd, uint64_t expected_bytes,
                                      std::string_view path, TransferHooks hooks) {
  // Declared before the writer: a writer that is destroyed on an error may still send from them.
  std::unique_ptr<TransferBuffer> buffers[kUploadBuffers];
  size_t on_their_way = 0;
  TransferResult result;
  ASSIGN_OR_RETURN(ShardWriter writer, client.CreateFile(path));
  const size_t buffer_bytes = BufferSizeFor(expected_bytes, kTransferBufferBytes);
  for (size_t i = 0;; i = (i + 1) % kUploadBuffers) {
    RETURN_IF_ERROR(hooks.interrupts->Check());
    if (buffers[i] == nullptr) buffers[i] = std::make_unique<TransferBuffer>(buffer_bytes);
    ASSIGN_OR_RETURN(const size_t filled, ReadFully(fd, buffers[i]->span(), *hooks.interrupts));
    if (filled == 0) break;
    // All the others are on their way, and the next one to be refilled has to have arrived.
    if (++on_their_way == kUploadBuffers) {
      RETURN_IF_ERROR(writer.Flush());
      on_their_way = 1;
    }
    const ConstBuffer piece = buffers[i]->span().first(filled);
    RETURN_IF_ERROR(writer.Write(piece));
    result.crc32c = ExtendCrc32c(result.crc32c, piece);
    result.size_bytes += filled;
    if (hooks.progress != nullptr) hooks.progress->Add(filled);
    if (filled < buffer_bytes) break;
  }
  RETURN_IF_ERROR(hooks.interrupts->Check());
  RETURN_IF_ERROR(writer.Close());
  return result;
}

ReadAhead::ReadAhead(File* file, size_t buffer_bytes) : file_(file) {
  const uint64_t size = file->size_bytes();
  if (size == 0) return;
  buffers_[0] = std::make_unique<TransferBuffer>(std::min<uint64_t>(size, buffer_bytes));
  if (size > buffer_bytes) {
    buffers_[1] =
        std::make_unique<TransferBuffer>(std::min<uint64_t>(size - buffer_bytes, buffer_bytes));
  }
  Start();
}

ReadAhead::~ReadAhead() {
  if (pending_.valid()) pending_.wait();
}

void ReadAhead::Start() {
  in_flight_bytes_ =
      std::min<uint64_t>(buffers_[reading_] == nullptr ? 0 : buffers_[reading_]->size,
                         file_->size_bytes() - offset_bytes_);
  if (in_flight_bytes_ == 0) return;
  const MutableBuffer destination = buffers_[reading_]->span().first(in_flight_bytes_);
  auto read = [file = file_, offset = offset_bytes_, destination] {
    return ReadRanges(file, offset, destination);
  };
  try {
    pending_ = std::async(std::launch::async, read);
  } catch (const std::system_error&) {
    // No thread to be had: then at the time of Next().
    pending_ = std::async(std::launch::deferred, read);
  }
  offset_bytes_ += in_flight_bytes_;
}

absl::StatusOr<ConstBuffer> ReadAhead::Next() {
  if (!pending_.valid()) return ConstBuffer();
  RETURN_IF_ERROR(pending_.get());
  const ConstBuffer ready = buffers_[reading_]->span().first(in_flight_bytes_);
  reading_ ^= 1;
  Start();
  return ready;
}

absl::StatusOr<TransferResult> Download(File& file, int fd, TransferHooks hooks) {
  TransferResult result;
  ReadAhead reader(&file, kTransferBufferBytes);
  while (true) {
    RETURN_IF_ERROR(hooks.interrupts->Check());
    ASSIGN_OR_RETURN(const ConstBuffer piece, reader.Next());
    if (piece.empty()) break;
    if (const int error = WriteFully(fd, piece.data(), piece.size()); error != 0) {
      return ErrnoStatus(error);
    }
    result.crc32c = ExtendCrc32c(result.crc32c, piece);
    result.size_bytes += piece.size();
    if (hooks.progress != nullptr) hooks.progress->Add(piece.size());
  }
  if (file.crc32c_known() && result.crc32c != file.crc32c()) {
    return absl::DataLossError(absl::StrCat("the content has CRC32C ", CrcText(result.crc32c),
                                            ", but ", CrcText(file.crc32c()), " was committed"));
  }
  return result;
}

absl::StatusOr<LocalFile> LocalFile::Create(const std::string& path, Interrupts* interrupts) {
  std::string target = path;
  struct stat existing {};
  if (lstat(path.c_str(), &existing) == 0 && S_ISLNK(existing.st_mode)) {
    // What it leads to is replaced: renaming onto the link would replace the link.
    std::error_code error;
    target = std::filesystem::canonical(path, error).string();
    if (error) {
      return absl::FailedPreconditionError(
          "it is a symlink that leads nowhere; remove it, or make what it leads to");
    }
  }
  const bool exists = stat(target.c_str(), &existing) == 0;
  if (exists && S_ISDIR(existing.st_mode)) return ErrnoStatus(EISDIR);
  if (exists && !S_ISREG(existing.st_mode)) {
    const int fd = open(target.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return ErrnoStatus(errno);
    return LocalFile(target, "", fd, interrupts);
  }
  std::string temporary = absl::StrCat(target, ".cairn-XXXXXX");
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno);
  // mkostemp makes it private; a file that was there keeps its mode, a new one gets the usual.
  const mode_t mode = exists ? (existing.st_mode & 07777) : (0666 & ~ProcessUmask());
  interrupts->AddTemporary(temporary);
  LocalFile file(target, temporary, fd, interrupts);
  if (fchmod(fd, mode) != 0) return ErrnoStatus(errno);
  return file;
}

LocalFile::LocalFile(std::string target, std::string temporary, int fd, Interrupts* interrupts)
    : target_(std::move(target)),
      temporary_(std::move(temporary)),
      fd_(fd),
      interrupts_(interrupts) {}

LocalFile::LocalFile(LocalFile&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, "")),
      fd_(std::exchange(other.fd_, -1)),
      interrupts_(other.interrupts_) {}

LocalFile::~LocalFile() {
  if (fd_ >= 0) close(fd_);
  if (temporary_.empty()) return;
  unlink(temporary_.c_str());
  interrupts_->ForgetTemporary(temporary_);
}

absl::Status LocalFile::Commit() {
  if (close(std::exchange(fd_, -1)) != 0) return ErrnoStatus(errno);
  if (temporary_.empty()) return absl::OkStatus();
  if (rename(temporary_.c_str(), target_.c_str()) != 0) return ErrnoStatus(errno);
  interrupts_->ForgetTemporary(std::exchange(temporary_, ""));
  return absl::OkStatus();
}

}  // namespace cairn::cli
