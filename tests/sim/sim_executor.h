// SimExecutor: the simulated executor. One thread, a clock that jumps to the next timer when
// nothing can run, and a seed that decides which of the ready coroutines runs next: the same seed
// replays the same run, another seed tries another interleaving.
#pragma once

#include <coroutine>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "common/base/random.h"
#include "common/reactor/timer_queue.h"
#include "common/task/blocking.h"
#include "common/task/executor.h"
#include "common/task/scope.h"
#include "common/task/task.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/store_result.h"

namespace cairn {

// Not thread-safe: PostRemote() too is called on the one thread of the simulation.
class SimExecutor final : public Executor {
 public:
  explicit SimExecutor(uint64_t seed) : seed_(seed), random_(seed) {}

  void Post(std::coroutine_handle<> handle) override { ready_.push_back(handle); }
  // Messages run in the order given, as a reactor's mailbox does.
  void PostRemote(absl::AnyInvocable<void()> function) override {
    messages_.push_back(std::move(function));
  }
  TimerId AddTimer(MonoTime at, absl::AnyInvocable<void()> function) override {
    return timers_.Add(at, std::move(function));
  }
  bool CancelTimer(TimerId timer) override { return timers_.Cancel(timer); }
  SimClock& clock() override { return clock_; }

  // Where the seams of the same simulation draw from, so that one seed decides everything.
  Random& random() { return random_; }
  uint64_t seed() const { return seed_; }

  // Runs `task` to its end and returns its result, moving the clock as needed. Aborts, naming the
  // seed, on a deadlock (nothing can run and no timer is set) and when the simulated time moves by
  // more than hang_limit.
  template <class T>
  T Run(Task<T> task) {
    StoredResult<T> result;
    Spawn(StoreResult(std::move(task), &result));
    RunUntil(&result.done);
    return result.Take();
  }
  // Starts `task` on the side, in a scope that the destructor of the executor wants empty.
  void Spawn(Task<void> task);

  // Runs what can run without moving the clock.
  void RunUntilIdle();
  // As RunUntilIdle(), and lets `duration` pass.
  void RunFor(absl::Duration duration);
  // Runs until `*done`; see Run().
  void RunUntil(const bool* done);

  void set_hang_limit(absl::Duration limit) { hang_limit_ = limit; }

 private:
  bool Step();
  [[noreturn]] void Fail(const char* what) const;

  const uint64_t seed_;
  SeededRandom random_;
  SimClock clock_;
  absl::Duration hang_limit_ = absl::Hours(24);
  std::vector<std::coroutine_handle<>> ready_;
  std::deque<absl::AnyInvocable<void()>> messages_;
  TimerQueue timers_;
  Scope scope_;
};

// Runs the blocking function as a message: at a later step, in the order given.
class SimBlockingRunner final : public BlockingRunner {
 public:
  Task<void> Run(absl::AnyInvocable<void()> function) override;
};

}  // namespace cairn
