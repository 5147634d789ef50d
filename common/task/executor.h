// The executor seam: who runs coroutines next and when timers fire. The reactor is the real one;
// the simulation has one that picks the next ready coroutine from a seed.
#pragma once

#include <coroutine>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "common/base/clock.h"

namespace cairn {

using TimerId = uint64_t;

// One core's run queue and timers. All functions but PostRemote() are called on its own thread.
class Executor {
 public:
  virtual ~Executor() = default;

  // Resumes `handle` in a later step, never from inside this call.
  virtual void Post(std::coroutine_handle<> handle) = 0;
  // Runs `function` on this executor's thread in a later step. From any thread; wakes a sleeping
  // executor. After the executor has stopped, functions are destroyed without being run.
  virtual void PostRemote(absl::AnyInvocable<void()> function) = 0;
  // Runs `function` once the clock has reached `at`. Ids are never reused.
  virtual TimerId AddTimer(MonoTime at, absl::AnyInvocable<void()> function) = 0;
  // False when the timer has fired or is unknown. After true, its function never runs.
  virtual bool CancelTimer(TimerId timer) = 0;
  virtual Clock& clock() = 0;

  // The executor whose thread this is. REQUIRES: called from a coroutine or timer run by an
  // executor.
  static Executor& Current();
  // As Current(), or null on a thread that no executor runs.
  static Executor* CurrentOrNull();

 protected:
  // Makes `executor` the current one of this thread for the object's life.
  class Running {
   public:
    explicit Running(Executor* executor);
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    Executor* previous_;
  };
};

}  // namespace cairn
