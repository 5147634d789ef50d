#include "server/chunk/superblock.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "common/base/byte_text.h"
#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

constexpr std::string_view kMagic("CAIRNTGT", 8);
// The fields' places.
constexpr size_t kCrcAt = 8;
constexpr size_t kVersionAt = 12;
constexpr size_t kTargetAt = 16;
constexpr size_t kUnitAt = 20;
constexpr size_t kUuidAt = 24;
constexpr size_t kDeviceBytesAt = 40;
constexpr size_t kDataOffsetAt = 48;
constexpr size_t kDataLengthAt = 56;
constexpr size_t kClusterLengthAt = 64;
constexpr size_t kClusterAt = 68;
// What the checksum covers: from behind it to here. Later versions may use the rest of the sector.
constexpr size_t kSectorBytes = 512;
static_assert(kClusterAt + kClusterIdBytesMax <= kSectorBytes);

uint32_t SectorCrc(std::string_view block) {
  return Crc32c(AsBytes(block.substr(kVersionAt, kSectorBytes - kVersionAt)));
}

bool IsPlausible(const Superblock& superblock, uint32_t unit_bytes) {
  const Extent& area = superblock.data_area;
  return unit_bytes == kUnitBytes && area.offset_bytes % kUnitBytes == 0 &&
         area.length_bytes % kUnitBytes == 0 && area.length_bytes > 0 &&
         area.length_bytes <= superblock.device_bytes && area.offset_bytes >= kUnitBytes &&
         area.offset_bytes <= superblock.device_bytes - area.length_bytes;
}

}  // namespace

Superblock MakeSuperblock(std::string cluster_id, TargetId target, TargetUuid uuid,
                          uint64_t device_bytes) {
  CAIRN_CHECK(device_bytes >= kTargetBytesMin && device_bytes % kUnitBytes == 0);
  CAIRN_CHECK(cluster_id.size() <= kClusterIdBytesMax);
  return {std::move(cluster_id),
          target,
          uuid,
          device_bytes,
          {kReservedBytes, device_bytes - 2 * kReservedBytes}};
}

std::array<uint64_t, 2> SuperblockOffsets(uint64_t device_bytes) {
  return {0, AlignDown(device_bytes, kUnitBytes) - kUnitBytes};
}

std::string EncodeSuperblock(const Superblock& superblock) {
  CAIRN_CHECK(superblock.cluster_id.size() <= kClusterIdBytesMax);
  std::string block(kMagic);
  AppendLittleEndian<uint32_t>(block, 0);  // the checksum, below
  AppendLittleEndian<uint32_t>(block, kDiskFormatVersion);
  AppendLittleEndian<uint32_t>(block, superblock.target.value());
  AppendLittleEndian<uint32_t>(block, kUnitBytes);
  block.append(reinterpret_cast<const char*>(superblock.uuid.data()), superblock.uuid.size());
  AppendLittleEndian<uint64_t>(block, superblock.device_bytes);
  AppendLittleEndian<uint64_t>(block, superblock.data_area.offset_bytes);
  AppendLittleEndian<uint64_t>(block, superblock.data_area.length_bytes);
  AppendLittleEndian<uint32_t>(block, static_cast<uint32_t>(superblock.cluster_id.size()));
  block.append(superblock.cluster_id);
  block.resize(kUnitBytes);
  const uint32_t crc = SectorCrc(block);
  StoreLittleEndian(block.data() + kCrcAt, crc);
  return block;
}

absl::StatusOr<std::optional<Superblock>> DecodeSuperblock(ConstBytes bytes) {
  if (bytes.size() < kSectorBytes) return absl::DataLossError("the superblock is cut short");
  const std::string_view block = AsText(bytes);
  if (std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; }))
    return std::nullopt;
  if (block.substr(0, kMagic.size()) != kMagic) {
    return absl::FailedPreconditionError(
        "holds something else than a Cairn target; if that may go, wipe it "
        "(wipefs -a, or dd of zeros over its first MiB)");
  }
  // Before the checksum: another version may place that elsewhere.
  const uint32_t version = LoadLittleEndian<uint32_t>(block.data() + kVersionAt);
  const bool intact = LoadLittleEndian<uint32_t>(block.data() + kCrcAt) == SectorCrc(block);
  if (intact && version != kDiskFormatVersion) {
    return absl::FailedPreconditionError(
        StrCat("has format version ", version, "; this cairnd reads version ", kDiskFormatVersion));
  }
  const uint32_t cluster_length = LoadLittleEndian<uint32_t>(block.data() + kClusterLengthAt);
  Superblock superblock;
  superblock.target = TargetId(LoadLittleEndian<uint32_t>(block.data() + kTargetAt));
  std::memcpy(superblock.uuid.data(), block.data() + kUuidAt, superblock.uuid.size());
  superblock.device_bytes = LoadLittleEndian<uint64_t>(block.data() + kDeviceBytesAt);
  superblock.data_area = {LoadLittleEndian<uint64_t>(block.data() + kDataOffsetAt),
                          LoadLittleEndian<uint64_t>(block.data() + kDataLengthAt)};
  if (!intact || cluster_length > kClusterIdBytesMax ||
      !IsPlausible(superblock, LoadLittleEndian<uint32_t>(block.data() + kUnitAt))) {
    return absl::DataLossError("the superblock is damaged");
  }
  superblock.cluster_id = block.substr(kClusterAt, cluster_length);
  return superblock;
}

absl::Status CheckSuperblock(const Superblock& found, const std::string& cluster_id,
                             TargetId target, uint64_t device_bytes) {
  if (found.cluster_id != cluster_id) {
    return absl::FailedPreconditionError(
        StrCat("belongs to cluster ", found.cluster_id, ", not to ", cluster_id));
  }
  if (found.target != target) {
    return absl::FailedPreconditionError(
        StrCat("is target ", found.target.value(), ", not target ", target.value()));
  }
  if (found.device_bytes > device_bytes) {
    return absl::FailedPreconditionError(StrCat("had ", found.device_bytes, " bytes and has only ",
                                                device_bytes,
                                                " now: it was cut short, or is a partial copy"));
  }
  return absl::OkStatus();
}

}  // namespace cairn
