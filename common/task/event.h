// Event: a one-way switch that coroutines of one executor wait for.
#pragma once

#include <coroutine>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/task/executor.h"

namespace cairn {

// Lives on one executor. Set() posts every waiter; later waiters do not suspend. Reset() arms it
// again.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { CAIRN_CHECK(waiters_.empty()); }

  bool is_set() const { return set_; }
  void Set() {
    set_ = true;
    for (std::coroutine_handle<> waiter : std::exchange(waiters_, {}))
      Executor::Current().Post(waiter);
  }
  void Reset() { set_ = false; }

  auto operator co_await() {
    struct Awaiter {
      Event& event;
      bool await_ready() const { return event.set_; }
      void await_suspend(std::coroutine_handle<> waiter) { event.waiters_.push_back(waiter); }
      void await_resume() {}
    };
    return Awaiter{*this};
  }

 private:
  bool set_ = false;
  std::vector<std::coroutine_handle<>> waiters_;
};

}  // namespace cairn
