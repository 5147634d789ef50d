#include "common/task/executor.h"

#include <utility>

#include "common/base/check.h"

namespace cairn {
namespace {

thread_local Executor* current_executor = nullptr;

}  // namespace

Executor& Executor::Current() {
  CAIRN_CHECK(current_executor != nullptr);
  return *current_executor;
}

Executor* Executor::CurrentOrNull() { return current_executor; }

Executor::Running::Running(Executor* executor)
    : previous_(std::exchange(current_executor, executor)) {}

Executor::Running::~Running() { current_executor = previous_; }

}  // namespace cairn
