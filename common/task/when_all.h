// WhenAll: runs tasks side by side on the current executor and waits for all of them, also when
// some fail.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/task/scope.h"
#include "common/task/task.h"

namespace cairn {

namespace when_all_internal {

template <class T>
Task<void> Store(Task<T> task, std::optional<T>* result) {
  result->emplace(co_await std::move(task));
}

}  // namespace when_all_internal

// The results, in the order of `tasks`. The caller bounds how many there are.
template <class T>
Task<std::vector<T>> WhenAll(std::vector<Task<T>> tasks) {
  std::vector<std::optional<T>> slots(tasks.size());
  Scope scope;
  for (size_t i = 0; i < tasks.size(); ++i) {
    scope.Spawn(when_all_internal::Store<T>(std::move(tasks[i]), &slots[i]));
  }
  co_await scope.Join();
  std::vector<T> results;
  results.reserve(slots.size());
  for (auto& slot : slots) results.push_back(*std::move(slot));
  co_return results;
}

// OK, or the first error in the order of `tasks`. All have ended when it returns.
inline Task<absl::Status> WhenAllOk(std::vector<Task<absl::Status>> tasks) {
  const std::vector<absl::Status> results = co_await WhenAll(std::move(tasks));
  const auto failed = std::find_if_not(results.begin(), results.end(),
                                       [](const absl::Status& status) { return status.ok(); });
  co_return failed == results.end() ? absl::OkStatus() : *failed;
}

}  // namespace cairn
