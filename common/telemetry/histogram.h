// How values are spread: durations in nanoseconds, sizes, counts. Fixed in memory, and two
// additions a sample.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace cairn {

// Lives on one thread; others get a copy. Buckets of powers of two: bucket i counts the values that
// have i bits, so those below 2^i that no lower bucket counts. Coarse, and the same for all.
class Histogram {
 public:
  static constexpr int kBuckets = 65;

  void Record(uint64_t value) {
    ++buckets_[static_cast<size_t>(std::bit_width(value))];
    sum_ += value;
  }
  uint64_t count() const {
    uint64_t count = 0;
    for (const uint64_t bucket : buckets_) count += bucket;
    return count;
  }
  uint64_t sum() const { return sum_; }
  uint64_t bucket(int index) const { return buckets_[static_cast<size_t>(index)]; }
  // The largest value of bucket `index`.
  static constexpr uint64_t UpperBound(int index) {
    return index == 64 ? UINT64_MAX : (uint64_t{1} << index) - 1;
  }

 private:
  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t sum_ = 0;
};

}  // namespace cairn
