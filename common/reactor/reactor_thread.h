// ReactorThread: a reactor on a thread of its own, and the bridge from threads that block to its
// coroutines. The SDK's background thread and each core of a server are one of these.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "common/reactor/reactor.h"
#include "common/task/scope.h"
#include "common/task/task.h"

namespace cairn {

class ReactorThread {
 public:
  // Starts the thread; `name` shows in ps and debuggers (15 characters). Errors as
  // Reactor::Create() and StartThread().
  static absl::StatusOr<std::unique_ptr<ReactorThread>> Start(Reactor::Options options,
                                                              std::string name);
  // Stops the reactor and joins the thread. Everything spawned must have ended and no RunBlocking()
  // be under way.
  ~ReactorThread();
  ReactorThread(const ReactorThread&) = delete;
  ReactorThread& operator=(const ReactorThread&) = delete;

  Reactor& reactor() { return *reactor_; }

  // Makes a task on the reactor's thread, runs it there and blocks the calling thread until it has
  // ended. Returns its result. From any thread but the reactor's own. The task's arguments may
  // refer to the caller's stack.
  template <class T>
  T RunBlocking(absl::AnyInvocable<Task<T>()> make_task);

 private:
  template <class T>
  struct Call;
  template <class T>
  static Task<void> Serve(Call<T>* call);

  explicit ReactorThread(std::unique_ptr<Reactor> reactor) : reactor_(std::move(reactor)) {}

  std::unique_ptr<Reactor> reactor_;
  Scope calls_;
  std::thread thread_;
};

// One call, on the stack of its blocked caller.
template <class T>
struct ReactorThread::Call {
  void Finish() {
    // Notified under the lock: the caller destroys all this as soon as it sees `done`.
    std::lock_guard<std::mutex> lock(mutex);
    done = true;
    changed.notify_one();
  }
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return done; });
  }

  absl::AnyInvocable<Task<T>()> make_task;
  std::optional<std::conditional_t<std::is_void_v<T>, bool, T>> result{};
  std::mutex mutex{};
  std::condition_variable changed{};
  bool done = false;
};

template <class T>
T ReactorThread::RunBlocking(absl::AnyInvocable<Task<T>()> make_task) {
  CAIRN_CHECK(std::this_thread::get_id() != thread_.get_id());
  Call<T> call{std::move(make_task)};
  reactor_->PostRemote([this, &call] { calls_.Spawn(Serve(&call)); });
  call.Wait();
  if constexpr (!std::is_void_v<T>) return *std::move(call.result);
}

template <class T>
Task<void> ReactorThread::Serve(Call<T>* call) {
  {
    Task<T> task = call->make_task();
    if constexpr (std::is_void_v<T>) {
      co_await std::move(task);
    } else {
      T value = co_await std::move(task);
      call->result.emplace(std::move(value));
    }
  }
  call->Finish();
}

}  // namespace cairn
