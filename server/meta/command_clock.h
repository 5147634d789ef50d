// The time that commands are stamped with. The wall clock, as long as it moves as the monotonic one
// does: a step of it must not make checkpoints old. Owned by MetaEngine.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace cairn {

struct CommandTime {
  int64_t unix_ns = 0;
  bool in_doubt = false;  // the wall clock says something else, and nobody knows which is right
};

// Lives on one executor.
class CommandClock {
 public:
  // Takes what the wall clock says now as the truth: what happened before this process is unknown.
  explicit CommandClock(const Clock& clock)
      : clock_(clock), known_(clock.WallNow()), known_at_(clock.Now()) {}

  // Follows the wall clock while it is where the monotonic clock expects it since the last look,
  // give or take kTolerance; otherwise counts on by the monotonic clock, in doubt, until they agree
  // again. So it has to be looked at now and then, or what slewing adds up to looks like a step.
  CommandTime Now();

  // How far the wall clock was ahead (or behind, negative) at the last look.
  absl::Duration wall_ahead() const { return wall_ahead_; }
  bool in_doubt() const { return in_doubt_; }
  // How often it came to be in doubt.
  uint64_t steps() const { return steps_; }

  // Retention counts in hours and days, so a minute deletes nothing that was to stay much longer;
  // NTP slews by less than a second in the time between two looks.
  static constexpr absl::Duration kTolerance = absl::Minutes(1);

 private:
  const Clock& clock_;
  absl::Time known_;
  MonoTime known_at_;
  absl::Duration wall_ahead_;
  bool in_doubt_ = false;
  uint64_t steps_ = 0;
};

}  // namespace cairn
