// CRC32C (Castagnoli) as iSCSI and ext4 use it, from ISA-L: the checksum of every block, record and
// message.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/units.h"

namespace cairn {

// The granularity of data checksums: the smallest piece of a fragment that can be verified alone.
inline constexpr uint64_t kBlockBytes = 64 * kKiB;

// CRC32C of `data`; of the empty span, 0.
uint32_t Crc32c(ConstBytes data);

// The CRC of a concatenation: ExtendCrc32c(Crc32c(a), b) == Crc32c(ab).
uint32_t ExtendCrc32c(uint32_t crc, ConstBytes data);

// Cuts a byte stream given in pieces of any size into blocks of kBlockBytes and collects one CRC a
// block. The stream starts at a block boundary; its last block may be short.
class BlockCrcs {
 public:
  void Add(ConstBytes piece);
  // Ends the stream. The object is empty afterwards.
  std::vector<uint32_t> Finish();

 private:
  std::vector<uint32_t> crcs_;
  uint32_t crc_ = 0;
  uint64_t filled_bytes_ = 0;
};

}  // namespace cairn
