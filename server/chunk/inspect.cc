#include "server/chunk/inspect.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/strings.h"
#include "server/chunk/chunk_index.h"
#include "server/chunk/superblock.h"

namespace cairn {
namespace {

std::string Hex(const TargetUuid& uuid) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(uuid.data()), uuid.size()});
}

}  // namespace

std::string DescribeSuperblock(ConstBytes block) {
  const auto decoded = DecodeSuperblock(block);
  if (!decoded.ok()) return StrCat("  ", ToStd(decoded.status().message()), "\n");
  if (!decoded->has_value()) return "  blank\n";
  const Superblock& superblock = **decoded;
  return StrCat("  version  ", kDiskFormatVersion, "\n  cluster  ", superblock.cluster_id,
                "\n  target   ", superblock.target.value(), "\n  uuid     ", Hex(superblock.uuid),
                "\n  device   ", superblock.device_bytes, " bytes\n  data     ",
                superblock.data_area.length_bytes, " bytes at ", superblock.data_area.offset_bytes,
                "\n");
}

absl::StatusOr<std::string> DescribeDevice(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::UnavailableError(StrCat(path, ": ", std::strerror(errno)));
  const off_t size = lseek(fd, 0, SEEK_END);
  std::string text = StrCat(path, ", ", size, " bytes\n");
  absl::Status status;
  if (size < static_cast<off_t>(2 * kUnitBytes)) {
    status = absl::OutOfRangeError(StrCat(path, " is too short to hold a superblock"));
  }
  std::vector<std::byte> block(kUnitBytes);
  for (size_t copy = 0; status.ok() && copy < 2; ++copy) {
    const uint64_t offset = SuperblockOffsets(static_cast<uint64_t>(size))[copy];
    const ssize_t got = pread(fd, block.data(), block.size(), static_cast<off_t>(offset));
    if (got != static_cast<ssize_t>(block.size())) {
      status =
          absl::UnavailableError(StrCat(path, ", reading at ", offset, ": ", std::strerror(errno)));
      break;
    }
    text += StrCat("superblock, copy ", copy + 1, " at ", offset, ":\n", DescribeSuperblock(block));
  }
  close(fd);
  if (!status.ok()) return status;
  return text;
}

absl::StatusOr<std::string> DescribeIndex(Kv& index_store, uint64_t limit) {
  ChunkIndex index(index_store);
  const auto identity = index.LoadIdentity();
  std::string text = "index:\n";
  if (!identity.ok()) {
    text += StrCat("  ", ToStd(identity.status().message()), "\n");
  } else if (identity->has_value()) {
    text += StrCat("  target   ", (*identity)->target.value(), "\n  uuid     ",
                   Hex((*identity)->uuid), "\n");
  } else {
    text += "  no identity: a new index\n";
  }
  uint64_t fragments = 0;
  uint64_t damaged = 0;
  uint64_t content_bytes = 0;
  uint64_t extent_bytes = 0;
  const auto at = index_store.NewIterator(0, "");
  for (at->Seek(""); at->Valid(); at->Next()) {
    const auto key = DecodeFragmentKey(at->key());
    absl::StatusOr<IndexRecord> record = absl::DataLossError("a key that is no fragment's");
    if (key) record = DecodeIndexRecord(*key, at->value());
    if (!record.ok()) {
      ++damaged;
      text += StrCat("  DAMAGED: ", ToStd(record.status().message()), "\n");
      continue;
    }
    ++fragments;
    content_bytes += record->length_bytes;
    extent_bytes += record->extent().length_bytes;
    if (fragments > limit) continue;
    text +=
        StrCat("  stripe ", key->stripe.value(), ".", key->index, "  lease ", record->lease.value(),
               "  offset ", record->offset_bytes, "  length ", record->length_bytes, "  crcs");
    for (uint32_t crc : record->block_crcs) text += StrCat(" ", absl::Hex(crc, absl::kZeroPad8));
    text += "\n";
  }
  if (absl::Status status = at->status(); !status.ok()) return status;
  return StrCat(text, "  ", fragments, " fragments, ", content_bytes, " bytes in ", extent_bytes,
                "; ", damaged, " damaged\n");
}

}  // namespace cairn
