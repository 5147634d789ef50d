// Measures how long the steps of a reactor take: a step that computes for 10 ms stalls everything
// on its core.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace cairn {

// Start() and StepDone() on the reactor's thread; TakeLongest() on any.
class StepMeter {
 public:
  // Forgets the time since the last step: it was spent asleep.
  void Start() { last_ = clock_.Now(); }
  // A step began where the one before ended: one clock read a step instead of two.
  void StepDone() {
    const MonoTime now = clock_.Now();
    const int64_t took = now.nanoseconds() - last_.nanoseconds();
    last_ = now;
    if (took > longest_.load(std::memory_order_relaxed))
      longest_.store(took, std::memory_order_relaxed);
  }
  // When the last step ended: the time, at no cost.
  MonoTime last() const { return last_; }
  absl::Duration TakeLongest() {
    return absl::Nanoseconds(longest_.exchange(0, std::memory_order_relaxed));
  }

 private:
  SystemClock clock_;
  MonoTime last_;
  std::atomic<int64_t> longest_{0};
};

}  // namespace cairn
