// The timers of one executor, the real and the simulated alike. Most timers are deadlines that
// never fire, so adding and cancelling must be cheap and leave nothing behind; hence an ordered map
// and not a lazy heap.
#pragma once

#include <cstddef>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "common/base/clock.h"
#include "common/task/executor.h"

namespace cairn {

// Not thread-safe.
class TimerQueue {
 public:
  TimerId Add(MonoTime at, absl::AnyInvocable<void()> function);
  // False when the timer was taken or is unknown.
  bool Cancel(TimerId timer);
  // Never() when there is none.
  MonoTime next() const;
  // Removes the earliest timer not after `now` and returns its function; an empty one when there is
  // none. Timers of the same time come in the order in which they were added.
  absl::AnyInvocable<void()> TakeDue(MonoTime now);
  size_t size() const { return timers_.size(); }

 private:
  std::map<std::pair<MonoTime, TimerId>, absl::AnyInvocable<void()>> timers_;
  absl::flat_hash_map<TimerId, MonoTime> times_;
  TimerId last_id_ = 0;
};

}  // namespace cairn
