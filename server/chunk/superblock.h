// The superblock: whose device this is and where its data area lies. Two copies, in the first and
// the last block of the device. The bytes are in proto/disk/FORMAT.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/units.h"
#include "server/chunk/fragment.h"

namespace cairn {

inline constexpr uint32_t kDiskFormatVersion = 1;
// The data area leaves this much at either end of the device: room for the superblock and for what
// partition tools and other formats put there, and an alignment that flash likes.
inline constexpr uint64_t kReservedBytes = 1 * kMiB;
inline constexpr uint64_t kTargetBytesMin = 4 * kMiB;
inline constexpr size_t kClusterIdBytesMax = 64;

// Random, made when the target is; the index holds it too, so that a device never meets another's
// index.
using TargetUuid = std::array<uint8_t, 16>;

struct Superblock {
  std::string cluster_id;
  TargetId target;
  TargetUuid uuid{};
  uint64_t device_bytes = 0;
  Extent data_area;

  friend bool operator==(const Superblock&, const Superblock&) = default;
};

// For a device of that size. REQUIRES: device_bytes >= kTargetBytesMin, a multiple of kUnitBytes;
// the id fits.
Superblock MakeSuperblock(std::string cluster_id, TargetId target, TargetUuid uuid,
                          uint64_t device_bytes);

// Where the two copies lie.
std::array<uint64_t, 2> SuperblockOffsets(uint64_t device_bytes);

// kUnitBytes long. What carries meaning lies in the first 512 bytes, which a power cut does not
// tear.
std::string EncodeSuperblock(const Superblock& superblock);

// nullopt: the block is all zeros, as on a new device. FAILED_PRECONDITION: something else than a
// superblock, or one of another version (named). DATA_LOSS: a damaged superblock.
absl::StatusOr<std::optional<Superblock>> DecodeSuperblock(ConstBytes block);

// Whether `found` is what the configuration means. FAILED_PRECONDITION says which of cluster,
// target and size differs.
absl::Status CheckSuperblock(const Superblock& found, const std::string& cluster_id,
                             TargetId target, uint64_t device_bytes);

}  // namespace cairn
