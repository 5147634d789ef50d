// What ends a blocking call early: a deadline, or a flag that another thread sets. A StopSource
// (common/task/stop.h) will not do, as it lives on one executor.
#pragma once

#include <atomic>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/task/deadline.h"

namespace cairn {

struct CallBounds {
  Deadline deadline = Deadline::Infinite();
  // Set by anyone at any time. Not owned; outlives the call. Null: nobody stops it.
  const std::atomic<bool>* stop = nullptr;
};

// How late a set flag may be noticed by a call that waits for the network or for time to pass.
inline constexpr absl::Duration kStopPollInterval = absl::Milliseconds(50);

// CANCELLED once the flag is set, DEADLINE_EXCEEDED once the deadline has passed, else OK.
absl::Status CheckBounds(const CallBounds& bounds, const Clock& clock);

// Blocks the thread for `duration`, or until CheckBounds() fails, which is then returned.
absl::Status PauseWithin(absl::Duration duration, const CallBounds& bounds, const Clock& clock);

}  // namespace cairn
