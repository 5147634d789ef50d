// Deadline: the time after which nobody wants the answer any more. Every call has one.
#pragma once

#include "common/base/clock.h"

namespace cairn {

class Deadline {
 public:
  // Never passes. For work that is bounded by something else; say by what where it is used.
  static constexpr Deadline Infinite() { return Deadline(MonoTime::Never()); }
  static Deadline After(const Clock& clock, absl::Duration duration) {
    return Deadline(clock.Now() + duration);
  }
  constexpr explicit Deadline(MonoTime at) : at_(at) {}

  constexpr MonoTime at() const { return at_; }
  bool HasPassed(const Clock& clock) const { return clock.Now() >= at_; }
  // Zero or more.
  absl::Duration Remaining(const Clock& clock) const {
    if (at_ == MonoTime::Never()) return absl::InfiniteDuration();
    const absl::Duration left = at_ - clock.Now();
    return left > absl::ZeroDuration() ? left : absl::ZeroDuration();
  }
  friend constexpr Deadline Earlier(Deadline a, Deadline b) { return a.at_ < b.at_ ? a : b; }

 private:
  MonoTime at_;
};

}  // namespace cairn
