#include "common/reactor/timer_queue.h"

namespace cairn {

TimerId TimerQueue::Add(MonoTime at, absl::AnyInvocable<void()> function) {
  const TimerId id = ++last_id_;
  timers_.emplace(std::make_pair(at, id), std::move(function));
  times_.emplace(id, at);
  return id;
}

bool TimerQueue::Cancel(TimerId timer) {
  const auto found = times_.find(timer);
  if (found == times_.end()) return false;
  timers_.erase({found->second, timer});
  times_.erase(found);
  return true;
}

MonoTime TimerQueue::next() const {
  return timers_.empty() ? MonoTime::Never() : timers_.begin()->first.first;
}

absl::AnyInvocable<void()> TimerQueue::TakeDue(MonoTime now) {
  if (timers_.empty() || timers_.begin()->first.first > now) return {};
  auto first = timers_.extract(timers_.begin());
  times_.erase(first.key().second);
  return std::move(first.mapped());
}

}  // namespace cairn
