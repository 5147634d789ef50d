// CallOn: runs a coroutine on another core's executor and resumes the caller on its own when it has
// ended.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "common/task/event.h"
#include "common/task/executor.h"
#include "common/task/scope.h"
#include "common/task/task.h"

namespace cairn {

namespace call_on_internal {

template <class T>
struct State {
  std::function<Task<T>()> make;
  Executor* caller;
  std::optional<T> result;
  Event done;  // on the caller's executor
};

template <class T>
Task<void> RunThere(State<T>* state) {
  T result = co_await state->make();
  state->result.emplace(std::move(result));
  // The last touch on this thread: the caller's frame, and the state in it, may be gone right
  // after.
  state->caller->PostRemote([state] { state->done.Set(); });
}

}  // namespace call_on_internal

// `make` is called on `there`, in `there_scope`, and everything it captures must outlive the call.
// `there` must not stop before the call has returned. On the caller's own executor it is a plain
// await.
template <class T>
Task<T> CallOn(Executor& there, Scope& there_scope, std::function<Task<T>()> make) {
  Executor& here = Executor::Current();
  if (&here == &there) co_return co_await make();
  call_on_internal::State<T> state{std::move(make), &here, std::nullopt, {}};
  auto start = [&state, &there_scope] { there_scope.Spawn(call_on_internal::RunThere<T>(&state)); };
  there.PostRemote(std::move(start));
  co_await state.done;
  co_return *std::move(state.result);
}

}  // namespace cairn
