// The index's records: which fragment lies where, and the checksums of its blocks. Pure encoding;
// chunk_index.h keeps them in a store. The bytes are in proto/disk/FORMAT.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/chunk/fragment.h"
#include "server/chunk/superblock.h"

namespace cairn {

// The largest fragment that a record can describe.
inline constexpr uint64_t kFragmentBytesMax = 64 * kMiB;

struct IndexRecord {
  LeaseId lease;
  uint64_t offset_bytes = 0;  // from the start of the device
  uint32_t length_bytes = 0;  // of the content; the extent is rounded up to units
  std::vector<uint32_t> block_crcs;

  Extent extent() const { return {offset_bytes, ExtentBytes(length_bytes)}; }
  friend bool operator==(const IndexRecord&, const IndexRecord&) = default;
};

// Big-endian, so that keys sort by stripe, then index.
std::string EncodeFragmentKey(const FragmentKey& key);
// nullopt when it is none.
std::optional<FragmentKey> DecodeFragmentKey(std::string_view encoded);

// The checksum covers the key too: a record found under another key is damaged.
std::string EncodeIndexRecord(const FragmentKey& key, const IndexRecord& record);
// DATA_LOSS: damaged. FAILED_PRECONDITION: another version.
absl::StatusOr<IndexRecord> DecodeIndexRecord(const FragmentKey& key, std::string_view encoded);

// The record that ties an index to its device.
std::string EncodeIndexIdentity(TargetId target, const TargetUuid& uuid);
struct IndexIdentity {
  TargetId target;
  TargetUuid uuid{};
};
// DATA_LOSS: damaged. FAILED_PRECONDITION: another version.
absl::StatusOr<IndexIdentity> DecodeIndexIdentity(std::string_view encoded);

}  // namespace cairn
