// Pure: how many chunk calls a session may have under way on one node.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "common/base/units.h"

namespace cairn {

// So many idle sessions count as one that moves bytes: should all of them begin at once, as the
// ranks of a job do, no more calls than this for each slab stand in line.
inline constexpr size_t kIdlePerSharer = 8;

// A fair share of the node's slabs, between 1 and `credits_max`: of those that move bytes, and of
// the others as above.
inline uint32_t FairCredits(uint32_t slabs, size_t sessions, size_t active, uint32_t credits_max) {
  const uint64_t idle = DivideUp(uint64_t{sessions}, uint64_t{kIdlePerSharer});
  const uint64_t sharers = std::max<uint64_t>({1, active, idle});
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(slabs / sharers, 1, std::max<uint32_t>(1, credits_max)));
}

}  // namespace cairn
