// Runs one task to its end on a real reactor, on the calling thread. For tests; a program that
// calls coroutines from other threads uses ReactorThread.
#pragma once

#include <utility>

#include "common/reactor/reactor.h"
#include "common/task/scope.h"
#include "common/task/task.h"
#include "tests/sim/store_result.h"

namespace cairn {

namespace run_on_internal {

template <class T>
Task<void> StoreAndStop(Task<T> task, StoredResult<T>* result, Reactor* reactor) {
  co_await StoreResult(std::move(task), result);
  reactor->Stop();
}

}  // namespace run_on_internal

// REQUIRES: always the same thread for the same reactor.
template <class T>
T RunOn(Reactor& reactor, Task<T> task) {
  StoredResult<T> result;
  Scope scope;
  reactor.PostRemote([&scope, &result, &reactor, task = std::move(task)]() mutable {
    scope.Spawn(run_on_internal::StoreAndStop(std::move(task), &result, &reactor));
  });
  reactor.Run();
  return result.Take();
}

}  // namespace cairn
