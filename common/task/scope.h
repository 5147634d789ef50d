// Scope: the owner of detached coroutines. Whoever spawns work joins it before going away.
#pragma once

#include <coroutine>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "common/base/check.h"
#include "common/task/event.h"
#include "common/task/frame_pool.h"
#include "common/task/task.h"

namespace cairn {

// Lives on one executor. Join() waits until everything spawned has ended; the destructor asserts
// that it has.
class Scope {
 public:
  Scope() = default;
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { CAIRN_CHECK(running_ == 0); }

  // Starts `task` in a later step of the current executor. Its arguments must be values or outlive
  // the scope.
  void Spawn(Task<void> task) {
    if (running_++ == 0) idle_.Reset();
    Run(this, std::move(task));
  }
  size_t running() const { return running_; }
  // Tasks spawned while joining are waited for too.
  Task<void> Join() {
    while (running_ > 0) co_await idle_;
  }

 private:
  // A coroutine that owns itself: starts suspended in the run queue, frees its frame at the end.
  struct Detached {
    struct promise_type {
      static void* operator new(size_t bytes) { return AllocateFrame(bytes); }
      static void operator delete(void* frame, size_t bytes) noexcept { FreeFrame(frame, bytes); }
      Detached get_return_object() { return {}; }
      auto initial_suspend() noexcept {
        struct Awaiter {
          bool await_ready() noexcept { return false; }
          void await_suspend(std::coroutine_handle<> self) { Executor::Current().Post(self); }
          void await_resume() noexcept {}
        };
        return Awaiter{};
      }
      std::suspend_never final_suspend() noexcept { return {}; }
      void return_void() {}
      void unhandled_exception() {
        CheckFailed(__FILE__, __LINE__, "exception left a detached coroutine");
      }
    };
  };
  static Detached Run(Scope* scope, Task<void> task) {
    co_await std::move(task);
    if (--scope->running_ == 0) scope->idle_.Set();
  }

  size_t running_ = 0;
  Event idle_;
};

}  // namespace cairn
