// What a node has of memory, threads and groups when nobody says otherwise. Read by node.cc, and by
// bench/scale, which models it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/units.h"

namespace cairn {

inline constexpr uint64_t kDefaultSlabMemory = 256 * kMiB;
inline constexpr uint64_t kSlabBytes = 4 * kMiB;
// A save needs two slabs a core to overlap network and disk; fewer than this would serve one client
// at a time.
inline constexpr uint64_t kSlabsPerCoreMin = 4;
// Groups a target gets when it joins: enough to spread a lost target's load over many others later.
inline constexpr uint32_t kGroupsPerTarget = 16;
// Messages that a core can take before it looks at them: bursts of small requests from thousands.
inline constexpr size_t kReceiveBuffers = 64;
// Threads that read metadata: queries are short, and mostly served from RocksDB's cache.
inline constexpr int kMetaReaders = 2;
// From so many reactors on, the first one of the node with the metadata has no targets: at the
// beginning of a save or a restore it has a call of every rank, for tenths of a second, and a job
// is as slow as its slowest target.
inline constexpr uint32_t kReactorsToSpareOne = 4;

// The reactor that has a node's target.
constexpr uint32_t ReactorOf(uint32_t target_number, uint32_t reactors, bool has_metadata) {
  if (!has_metadata || reactors < kReactorsToSpareOne) return target_number % reactors;
  return 1 + target_number % (reactors - 1);
}

}  // namespace cairn
