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

}  // namespace cairn
