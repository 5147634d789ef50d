#include "common/task/stop.h"

#include <utility>

namespace cairn {

struct StopSource::Awaiter {
  StopSource& stop;
  Deadline deadline;
  Sleeper sleeper{};

  bool await_ready() const { return stop.stopped_; }
  void await_suspend(std::coroutine_handle<> handle) {
    sleeper = {handle, 0, std::exchange(stop.sleepers_, &sleeper)};
    sleeper.timer = Executor::Current().AddTimer(deadline.at(), [this] {
      Sleeper** link = &stop.sleepers_;
      while (*link != nullptr && *link != &sleeper) link = &(*link)->next;
      if (*link == nullptr) return;  // stopped in this very step; already posted
      *link = sleeper.next;
      Executor::Current().Post(sleeper.handle);
    });
  }
  absl::Status await_resume() const {
    return stop.stopped_ ? absl::CancelledError("stopping") : absl::OkStatus();
  }
};

void StopSource::RequestStop() {
  stopped_ = true;
  for (Sleeper* sleeper = std::exchange(sleepers_, nullptr); sleeper != nullptr;
       sleeper = sleeper->next) {
    Executor::Current().CancelTimer(sleeper->timer);
    Executor::Current().Post(sleeper->handle);
  }
}

Task<absl::Status> SleepUntil(Deadline deadline, StopSource& stop) {
  StopSource::Awaiter awaiter{stop, deadline};
  absl::Status status = co_await awaiter;
  co_return status;
}

}  // namespace cairn
