#include "server/tier/call_bounds.h"

#include <poll.h>

#include <algorithm>

#include "common/base/status_macros.h"

namespace cairn {

absl::Status CheckBounds(const CallBounds& bounds, const Clock& clock) {
  if (bounds.stop != nullptr && bounds.stop->load(std::memory_order_relaxed))
    return absl::CancelledError("stopped");
  if (bounds.deadline.HasPassed(clock))
    return absl::DeadlineExceededError("the deadline of the call has passed");
  return absl::OkStatus();
}

absl::Status PauseWithin(absl::Duration duration, const CallBounds& bounds, const Clock& clock) {
  const Deadline end = Deadline::After(clock, duration);
  for (;;) {
    RETURN_IF_ERROR(CheckBounds(bounds, clock));
    const absl::Duration left = end.Remaining(clock);
    if (left == absl::ZeroDuration()) return absl::OkStatus();
    const absl::Duration step =
        std::min({left, kStopPollInterval, bounds.deadline.Remaining(clock)});
    // Rounded up: no spinning through the last fraction.
    (void)poll(nullptr, 0, static_cast<int>(absl::ToInt64Milliseconds(step)) + 1);
  }
}

}  // namespace cairn
