// Task<T>: a lazy coroutine. It starts when awaited and resumes its awaiter when done, on the same
// executor.
//
// Rules (HACKING.md, "Coroutines"): await a task where it is created; no capturing coroutine
// lambdas; detached work goes through a Scope; a suspended task is never destroyed, because the
// kernel or the NIC may be working on memory that its frame keeps alive.
#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/task/frame_pool.h"

namespace cairn {

template <class T>
class Task;

namespace task_internal {

// A task that ends inside the call that starts it tells its awaiter so and returns; only one that
// ends later resumes its awaiter itself. A transfer in both cases would be shorter, but without
// optimization GCC makes it a nested call, and a loop of tasks that end at once would run out of
// stack.
struct FinalAwaiter {
  bool await_ready() noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) noexcept {
    auto& promise = done.promise();
    if (!promise.starting) return promise.continuation;
    promise.ended_at_once = true;
    return std::noop_coroutine();
  }
  void await_resume() noexcept {}
};

struct PromiseBase {
  static void* operator new(size_t bytes) { return AllocateFrame(bytes); }
  static void operator delete(void* frame, size_t bytes) noexcept { FreeFrame(frame, bytes); }

  std::coroutine_handle<> continuation;
  bool starting = false;
  bool ended_at_once = false;
  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  // No exceptions cross our functions; one that does is a broken invariant.
  void unhandled_exception() noexcept {
    CheckFailed(__FILE__, __LINE__, "exception left a coroutine");
  }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T Take() {
    CAIRN_CHECK(value.has_value());
    return *std::move(value);
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void Take() {}
};

}  // namespace task_internal

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = task_internal::Promise<T>;
  using value_type = T;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      std::coroutine_handle<promise_type> handle;
      bool await_ready() noexcept { return false; }
      // Nobody else resumes the awaiting coroutine meanwhile: executors do so only in a later step.
      bool await_suspend(std::coroutine_handle<> awaiting) noexcept {
        promise_type& promise = handle.promise();
        promise.continuation = awaiting;
        promise.starting = true;
        handle.resume();
        promise.starting = false;
        return !promise.ended_at_once;
      }
      T await_resume() { return handle.promise().Take(); }
    };
    return Awaiter{handle_};
  }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

namespace task_internal {

template <class T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace task_internal
}  // namespace cairn
