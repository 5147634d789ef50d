// Free space of one device, in memory only: at start it is what the index does not name. Pure: no
// I/O, no clock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "server/chunk/fragment.h"

namespace cairn {

// Every operation is O(log free extents). Freeing twice, or freeing what lies outside, is a broken
// invariant and stops the process: the next owner of the space would overwrite somebody's
// checkpoint.
class ExtentAllocator {
 public:
  // All of `area` is free. REQUIRES: multiples of kUnitBytes.
  explicit ExtentAllocator(Extent area);

  // The smallest free extent that fits, the lowest of several equal ones, from its start: large
  // extents stay whole, and an empty device fills from front to back. nullopt when none fits,
  // whatever the sum of the smaller ones. REQUIRES: length_bytes is a positive multiple of
  // kUnitBytes.
  std::optional<Extent> Allocate(uint64_t length_bytes);

  // Takes this very extent, as the index says; false, and nothing is taken, unless all of it is
  // free.
  bool Reserve(Extent extent);

  // REQUIRES: all of it is allocated.
  void Free(Extent extent);

  uint64_t capacity_bytes() const { return area_.length_bytes; }
  uint64_t free_bytes() const { return free_bytes_; }
  uint64_t largest_free_bytes() const {
    return by_length_.empty() ? 0 : by_length_.rbegin()->first;
  }
  size_t free_extents() const { return by_offset_.size(); }

 private:
  void Add(Extent extent);
  void Remove(Extent extent);

  const Extent area_;
  uint64_t free_bytes_ = 0;
  std::map<uint64_t, uint64_t> by_offset_;             // offset → length; no two touch
  std::set<std::pair<uint64_t, uint64_t>> by_length_;  // the same as (length, offset)
};

}  // namespace cairn
