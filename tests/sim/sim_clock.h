// The simulation's clock: it stands still until someone moves it, mostly SimExecutor when nothing
// else can run.
#pragma once

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace cairn {

// Not thread-safe.
class SimClock final : public Clock {
 public:
  MonoTime Now() const override { return now_; }
  absl::Time WallNow() const override { return wall_; }

  // Both clocks. REQUIRES: not backwards.
  void Advance(absl::Duration duration) {
    now_ = now_ + duration;
    wall_ += duration;
  }
  // What an administrator or NTP does to the time of day; either way.
  void StepWall(absl::Duration duration) { wall_ += duration; }

 private:
  // Not zero: a time that someone forgot to set differs from now.
  MonoTime now_{1'000'000'000};
  absl::Time wall_ = absl::FromUnixSeconds(1'800'000'000);
};

}  // namespace cairn
