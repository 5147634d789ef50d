// See blank_device.h.
#include "server/chunk/blank_device.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/chunk/aligned_block.h"
#include "server/chunk/superblock.h"

namespace cairn {
namespace {

absl::Status CheckSize(const Disk& disk) {
  if (disk.size_bytes() >= kTargetBytesMin) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the device has ", disk.size_bytes(), " bytes; a target needs ", kTargetBytesMin));
}

std::array<uint64_t, 2> EndOffsets(const Disk& disk) {
  return {0, disk.size_bytes() - kReservedBytes};
}

// What begins there, as far as Cairn knows it.
std::string WhatIsThere(ConstBytes unit) {
  const auto superblock = DecodeSuperblock(unit);
  if (superblock.ok() && superblock->has_value()) {
    return StrCat("target ", (*superblock)->target.value(), " of the cluster ",
                  (*superblock)->cluster_id);
  }
  return "something else's data";
}

}  // namespace

Task<absl::Status> CheckBlank(Disk& disk) {
  CO_RETURN_IF_ERROR(CheckSize(disk));
  const AlignedBuffer buffer(kReservedBytes);
  for (const uint64_t offset : EndOffsets(disk)) {
    const absl::Status read = co_await disk.Read(offset, buffer.bytes());
    if (!read.ok()) co_return read;
    const ConstBytes bytes = buffer.bytes();
    const bool is_blank =
        std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
    if (is_blank) continue;
    // The superblock's copies are in the first and the last unit of the device.
    const uint64_t unit = offset == 0 ? 0 : kReservedBytes - kUnitBytes;
    co_return absl::FailedPreconditionError(StrCat("the device is not blank: it holds ",
                                                   WhatIsThere(bytes.subspan(unit, kUnitBytes)),
                                                   "; say --wipe if that may be lost"));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> WipeDevice(Disk& disk) {
  CO_RETURN_IF_ERROR(CheckSize(disk));
  const AlignedBuffer zeros(kReservedBytes);
  std::memset(zeros.bytes().data(), 0, zeros.bytes().size());
  for (const uint64_t offset : EndOffsets(disk)) {
    const absl::Status written = co_await disk.Write(offset, zeros.bytes());
    if (!written.ok()) co_return written;
  }
  co_return co_await disk.Flush();
}

}  // namespace cairn
