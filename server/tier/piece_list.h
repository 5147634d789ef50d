// Byte strings that lie in several pieces of memory. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/units.h"

namespace cairn {

inline uint64_t BytesInAll(std::span<const ConstBytes> pieces) {
  uint64_t bytes = 0;
  for (const ConstBytes piece : pieces) bytes += piece.size();
  return bytes;
}

// Views of the `length` bytes from `offset` on. REQUIRES: they are there.
std::vector<ConstBytes> SlicePieces(std::span<const ConstBytes> pieces, uint64_t offset,
                                    uint64_t length);

}  // namespace cairn
