// Measures how long the steps of a reactor take: a step that computes for 10 ms stalls everything
// on its core.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace cairn {

// Start() and StepDone() on the reactor's thread; the totals and TakeLongest() on any.
class StepMeter {
 public:
  // Forgets the time since the last step: it was spent asleep.
  void Start() { last_ = clock_.Now(); }
  // A step began where the one before ended: one clock read a step instead of two.
  void StepDone() {
    const MonoTime now = clock_.Now();
    const int64_t took = now.nanoseconds() - last_.nanoseconds();
    last_ = now;
    // One writer, so that no addition has to be atomic: it would cost more than all of this.
    Add(&busy_, took);
    if (took > kStallNanoseconds) [[unlikely]] {
      Add(&stalled_, took);
      Add(&stalls_, 1);
    }
    if (took > longest_.load(std::memory_order_relaxed))
      longest_.store(took, std::memory_order_relaxed);
  }
  // When the last step ended: the time, at no cost.
  MonoTime last() const { return last_; }
  absl::Duration TakeLongest() {
    return absl::Nanoseconds(longest_.exchange(0, std::memory_order_relaxed));
  }
  // Since the start: in steps, in steps of over 10 ms, and the number of those.
  absl::Duration busy() const { return absl::Nanoseconds(busy_.load(std::memory_order_relaxed)); }
  absl::Duration stalled() const {
    return absl::Nanoseconds(stalled_.load(std::memory_order_relaxed));
  }
  uint64_t stalls() const { return static_cast<uint64_t>(stalls_.load(std::memory_order_relaxed)); }

 private:
  static constexpr int64_t kStallNanoseconds = 10'000'000;
  static void Add(std::atomic<int64_t>* total, int64_t amount) {
    total->store(total->load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }

  SystemClock clock_;
  MonoTime last_;
  std::atomic<int64_t> longest_{0};
  std::atomic<int64_t> busy_{0};
  std::atomic<int64_t> stalled_{0};
  std::atomic<int64_t> stalls_{0};
};

}  // namespace cairn
