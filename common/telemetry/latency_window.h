// How long the last operations of one kind took. Unlike a Histogram it forgets: it answers how a
// device does now, not how it has done since the start.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace cairn {

// Lives on one thread. 4 KiB of memory and two stores a sample.
class LatencyWindow {
 public:
  // Enough for a 99th percentile that is more than the largest value.
  static constexpr size_t kSamples = 256;

  // All zero without samples.
  struct Summary {
    uint64_t samples = 0;
    absl::Duration p50;
    absl::Duration p99;
    absl::Duration max;
  };

  void Record(MonoTime began, MonoTime ended) {
    samples_[next_++ % kSamples] = {ended, ended - began};
  }
  // Of those of the last kSamples that have ended within `age`.
  Summary Summarize(MonoTime now, absl::Duration age) const;

 private:
  struct Sample {
    MonoTime ended;
    absl::Duration took;
  };
  std::array<Sample, kSamples> samples_;
  uint64_t next_ = 0;
};

}  // namespace cairn
