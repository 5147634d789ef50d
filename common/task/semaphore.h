// Semaphore: bounded concurrency for coroutines of one executor, first come, first served, or by
// places (turn_line.h).
#pragma once

#include <coroutine>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "common/task/deadline.h"
#include "common/task/executor.h"
#include "common/task/task.h"
#include "common/task/turn_line.h"

namespace cairn {

class Semaphore {
 public:
  // `overtaken_for`: who waits with a place is not overtaken for longer.
  explicit Semaphore(int64_t units, absl::Duration overtaken_for = absl::ZeroDuration())
      : available_(units), waiters_(absl::ToInt64Nanoseconds(overtaken_for)) {}
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  ~Semaphore() { CAIRN_CHECK(waiters_.empty()); }

  // Waits for `units`. DEADLINE_EXCEEDED when they did not come in time (nothing is taken then),
  // CANCELLED after Break(). A large request at the head is not overtaken by small ones. Of those
  // who give a place, the lowest goes first.
  Task<absl::Status> Acquire(int64_t units, Deadline deadline, std::optional<uint64_t> place = {});
  bool TryAcquire(int64_t units);
  // Gives units back, or adds new ones; posts the waiters that now fit.
  void Release(int64_t units);
  // Takes `units` out of circulation without waiting; available() may become negative until they
  // are released.
  void Shrink(int64_t units) { available_ -= units; }
  // Fails all waiters, present and future, with CANCELLED.
  void Break();

  int64_t available() const { return available_; }
  size_t waiting() const { return waiters_.size(); }

 private:
  struct Waiter {
    int64_t units;
    std::coroutine_handle<> handle;
    absl::Status result;
  };
  struct Awaiter;
  void Grant();

  int64_t available_;
  bool broken_ = false;
  TurnLine<Waiter*> waiters_;
};

}  // namespace cairn
