#include "common/task/semaphore.h"

namespace cairn {

namespace {

int64_t NowNs() { return Executor::Current().clock().Now().nanoseconds(); }

}  // namespace

struct Semaphore::Awaiter {
  Semaphore& semaphore;
  Waiter waiter;
  Deadline deadline;
  std::optional<uint64_t> place;
  TimerId timer = 0;

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter.handle = handle;
    const auto ticket = semaphore.waiters_.Push(&waiter, place, NowNs());
    if (deadline.at() == MonoTime::Never()) return;
    timer = Executor::Current().AddTimer(deadline.at(), [this, ticket] {
      timer = 0;
      if (!semaphore.waiters_.Remove(ticket)) return;  // granted in this very step
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

Task<absl::Status> Semaphore::Acquire(int64_t units, Deadline deadline,
                                      std::optional<uint64_t> place) {
  if (broken_) co_return absl::CancelledError("stopping");
  if (TryAcquire(units)) co_return absl::OkStatus();
  Awaiter awaiter{*this, Waiter{units, {}, absl::OkStatus()}, deadline, place};
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
  if (waiters_.empty()) return;
  const int64_t now_ns = NowNs();
  while (!waiters_.empty()) {
    const auto ticket = waiters_.Next(now_ns);
    Waiter* waiter = waiters_.Of(ticket);
    if (waiter->units > available_) return;
    waiters_.Remove(ticket);
    available_ -= waiter->units;
    Executor::Current().Post(waiter->handle);
  }
}

void Semaphore::Break() {
  broken_ = true;
  if (waiters_.empty()) return;
  const int64_t now_ns = NowNs();
  while (!waiters_.empty()) {
    const auto ticket = waiters_.Next(now_ns);
    Waiter* waiter = waiters_.Of(ticket);
    waiters_.Remove(ticket);
    waiter->result = absl::CancelledError("stopping");
    Executor::Current().Post(waiter->handle);
  }
}

}  // namespace cairn
