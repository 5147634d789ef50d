// The CRC of a concatenation from the CRCs of its parts, without reading the bytes again: a file's
// checksum comes from its blocks' checksums.
#pragma once

#include <cstdint>
#include <span>

namespace cairn {

// Crc32c(ab), from Crc32c(a), Crc32c(b) and b's length. Appending n zero bytes to a message is a
// linear map of its CRC over GF(2); its matrix for n is found by squaring (Mark Adler's
// crc32_combine in zlib).
uint32_t CombineCrc32c(uint32_t crc_a, uint32_t crc_b, uint64_t length_b);

// Of a stream of `length_bytes` cut into blocks of kBlockBytes, the last of which may be short.
// REQUIRES: the number of CRCs fits the length.
uint32_t CombineBlockCrcs(std::span<const uint32_t> block_crcs, uint64_t length_bytes);

}  // namespace cairn
