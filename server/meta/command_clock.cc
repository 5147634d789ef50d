#include "server/meta/command_clock.h"

namespace cairn {

CommandTime CommandClock::Now() {
  const MonoTime now = clock_.Now();
  const absl::Time wall = clock_.WallNow();
  const absl::Time expected = known_ + (now - known_at_);
  wall_ahead_ = wall - expected;
  const bool agrees = absl::AbsDuration(wall_ahead_) <= kTolerance;
  if (!agrees && !in_doubt_) ++steps_;
  in_doubt_ = !agrees;
  known_ = agrees ? wall : expected;
  known_at_ = now;
  return {absl::ToUnixNanos(known_), in_doubt_};
}

}  // namespace cairn
