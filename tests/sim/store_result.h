// How tests run a task from outside a coroutine: it is wrapped into one that keeps its result for
// later.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "common/base/check.h"
#include "common/task/task.h"

namespace cairn {

template <class T>
struct StoredResult {
  std::optional<T> value;
  bool done = false;
  T Take() {
    CAIRN_CHECK(value.has_value());
    return *std::move(value);
  }
};

template <>
struct StoredResult<void> {
  bool done = false;
  void Take() {}
};

template <class T>
Task<void> StoreResult(Task<T> task, StoredResult<T>* result) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
  } else {
    T value = co_await std::move(task);
    result->value.emplace(std::move(value));
  }
  result->done = true;
}

}  // namespace cairn
