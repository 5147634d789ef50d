#include "common/task/semaphore.h"

#include <algorithm>

namespace cairn {

struct Semaphore::Awaiter {
  Semaphore& semaphore;
  Waiter waiter;
  Deadline deadline;
  TimerId timer = 0;

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter.handle = handle;
    semaphore.waiters_.push_back(&waiter);
    if (deadline.at() == MonoTime::Never()) return;
    timer = Executor::Current().AddTimer(deadline.at(), [this] {
      timer = 0;
      auto& waiters = semaphore.waiters_;
      const auto position = std::find(waiters.begin(), waiters.end(), &waiter);
      if (position == waiters.end()) return;  // granted in this very step
      waiters.erase(position);
      waiter.result = absl::DeadlineExceededError("no capacity became free in time");
      Executor::Current().Post(waiter.handle);
      semaphore.Grant();
    });
  }
  absl::Status await_resume() {
    if (timer != 0) Executor::Current().CancelTimer(timer);
    return waiter.result;
  }
};

Task<absl::Status> Semaphore::Acquire(int64_t units, Deadline deadline) {
  if (broken_) co_return absl::CancelledError("stopping");
  if (TryAcquire(units)) co_return absl::OkStatus();
  Awaiter awaiter{*this, Waiter{units, {}, absl::OkStatus()}, deadline};
  absl::Status status = co_await awaiter;
  co_return status;
}

bool Semaphore::TryAcquire(int64_t units) {
  if (broken_ || !waiters_.empty() || available_ < units) return false;
  available_ -= units;
  return true;
}

void Semaphore::Release(int64_t units) {
  available_ += units;
  Grant();
}

void Semaphore::Grant() {
  while (!waiters_.empty() && waiters_.front()->units <= available_) {
    Waiter* waiter = waiters_.front();
    waiters_.pop_front();
    available_ -= waiter->units;
    Executor::Current().Post(waiter->handle);
  }
}

void Semaphore::Break() {
  broken_ = true;
  for (Waiter* waiter : waiters_) {
    waiter->result = absl::CancelledError("stopping");
    Executor::Current().Post(waiter->handle);
  }
  waiters_.clear();
}

}  // namespace cairn
