// One unit of memory that direct I/O can use, zeroed: for superblocks.
#pragma once

#include <cstddef>

#include "common/base/units.h"
#include "server/chunk/fragment.h"

namespace cairn {

// Placed on the heap through its alignment, also inside a coroutine's frame, which knows only small
// alignments.
struct alignas(kUnitBytes) AlignedBlock {
  std::byte data[kUnitBytes] = {};
  MutableBytes bytes() { return data; }
};

}  // namespace cairn
