#include "server/disk/transfer.h"

#include <algorithm>
#include <cerrno>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "common/base/units.h"
#include "server/disk/device.h"
#include "server/disk/disk_error.h"

namespace cairn {
namespace {

// The kernel moves at most 2 GiB less a page in one call.
constexpr uint64_t kPieceBytesMax = 1 * kGiB;
// Interruptions, EAGAIN and pieces shorter than a block in a row before we give up: a device that
// does this is broken.
constexpr int kFruitlessMax = 100;

}  // namespace

Transfer::Transfer(Kind kind, const std::string& path, uint64_t offset_bytes, uint64_t length_bytes,
                   uint64_t device_bytes)
    : kind_(kind), path_(path), offset_bytes_(offset_bytes), length_bytes_(length_bytes) {
  CAIRN_CHECK(offset_bytes % kDiskBlockBytes == 0);
  CAIRN_CHECK(length_bytes % kDiskBlockBytes == 0);
  CAIRN_CHECK(length_bytes <= device_bytes && offset_bytes <= device_bytes - length_bytes);
}

uint32_t Transfer::piece_length() const {
  return static_cast<uint32_t>(std::min(length_bytes_ - done_bytes_, kPieceBytesMax));
}

absl::Status Transfer::Advance(int64_t result) {
  const auto what = [this] {
    return StrCat(kind_ == Kind::kRead ? "reading " : "writing ", piece_length(), " bytes at ",
                  piece_offset(), " of ", path_);
  };
  const bool again = result == -EINTR || result == -EAGAIN;
  if (result < 0 && !again) return DiskError(static_cast<int>(-result), what());
  if (result == 0) {
    return kind_ == Kind::kRead
               ? absl::DataLossError(StrCat(what(), ": the device ends there"))
               : absl::ResourceExhaustedError(StrCat(what(), ": nothing was written"));
  }
  CAIRN_CHECK(again || static_cast<uint64_t>(result) <= length_bytes_ - done_bytes_);
  // Direct I/O goes on at a block boundary: what was moved of a further block is moved again.
  const uint64_t moved = again ? 0 : AlignDown(static_cast<uint64_t>(result), kDiskBlockBytes);
  fruitless_ = moved == 0 ? fruitless_ + 1 : 0;
  if (fruitless_ > kFruitlessMax)
    return absl::DataLossError(StrCat(what(), ": the device makes no progress"));
  done_bytes_ += moved;
  return absl::OkStatus();
}

}  // namespace cairn
