// The clock seam. Everything that needs time takes a Clock; the simulation has one that only it
// moves.
#pragma once

#include <compare>
#include <cstdint>

#include "absl/time/time.h"

namespace cairn {

// A point on the monotonic clock: never goes back, unrelated to the time of day, valid in this
// process only.
class MonoTime {
 public:
  constexpr MonoTime() = default;
  constexpr explicit MonoTime(int64_t nanoseconds) : nanoseconds_(nanoseconds) {}
  static constexpr MonoTime Never() { return MonoTime(INT64_MAX); }

  constexpr int64_t nanoseconds() const { return nanoseconds_; }
  friend constexpr auto operator<=>(MonoTime, MonoTime) = default;
  friend MonoTime operator+(MonoTime time, absl::Duration duration) {
    if (time == Never() || duration == absl::InfiniteDuration()) return Never();
    // A duration of centuries ends up at an end of the scale and does not wrap around.
    const int64_t nanoseconds = absl::ToInt64Nanoseconds(duration);
    int64_t sum = 0;
    if (!__builtin_add_overflow(time.nanoseconds_, nanoseconds, &sum)) return MonoTime(sum);
    return nanoseconds > 0 ? Never() : MonoTime(INT64_MIN);
  }
  friend absl::Duration operator-(MonoTime a, MonoTime b) {
    if (a == Never()) return absl::InfiniteDuration();
    return absl::Nanoseconds(a.nanoseconds_ - b.nanoseconds_);
  }

 private:
  int64_t nanoseconds_ = 0;
};

class Clock {
 public:
  virtual ~Clock() = default;
  // For deadlines, timers and leases. Unmoved by changes of the time of day.
  virtual MonoTime Now() const = 0;
  // For what people read (modification times). Can jump both ways.
  virtual absl::Time WallNow() const = 0;
};

// The machine's clocks. Thread-safe.
class SystemClock final : public Clock {
 public:
  MonoTime Now() const override;
  absl::Time WallNow() const override;
};

}  // namespace cairn
