// Tasks, scopes, WhenAll: values, ownership and stack depth, on the simulated executor.
#include "common/task/task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/base/status_macros.h"
#include "common/task/event.h"
#include "common/task/scope.h"
#include "common/task/when_all.h"
#include "tests/sim/sim_executor.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;

class TaskTest : public ::testing::Test {
 protected:
  SimExecutor executor_{1};
};
using TaskDeathTest = TaskTest;

Task<int> Seven() { co_return 7; }
Task<std::unique_ptr<int>> MoveOnly() { co_return std::make_unique<int>(5); }
Task<absl::StatusOr<std::unique_ptr<int>>> MoveOnlyOr(bool ok) {
  if (!ok) co_return absl::NotFoundError("none");
  co_return std::make_unique<int>(6);
}

TEST_F(TaskTest, ValueReachesTheAwaiter) {
  EXPECT_EQ(executor_.Run(Seven()), 7);
  EXPECT_EQ(*executor_.Run(MoveOnly()), 5);
  EXPECT_EQ(**executor_.Run(MoveOnlyOr(true)), 6);
  EXPECT_EQ(executor_.Run(MoveOnlyOr(false)).status().code(), absl::StatusCode::kNotFound);
}

Task<void> MarkStarted(bool* started) {
  *started = true;
  co_return;
}

TEST_F(TaskTest, NeverAwaitedTaskNeverStarts) {
  bool started = false;
  { Task<void> task = MarkStarted(&started); }
  EXPECT_FALSE(started);
}

Task<int> SumInPlace(int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) {
    const int seven = co_await Seven();
    sum += seven;
  }
  co_return sum;
}

// Compilers turn a coroutine's transfer to the next into a jump only when optimizing; a loop of
// tasks that end at once must not need that.
TEST_F(TaskTest, LoopOfTasksThatEndAtOnceKeepsTheStackFlat) {
  EXPECT_EQ(executor_.Run(SumInPlace(1'000'000)), 7'000'000);
}

Task<absl::StatusOr<std::string>> Concatenate(absl::StatusOr<std::string> a, absl::Status b) {
  CO_ASSIGN_OR_RETURN(std::string text, std::move(a));
  CO_RETURN_IF_ERROR(b);
  co_return text + "!";
}

TEST_F(TaskTest, MacrosReturnTheFirstError) {
  EXPECT_EQ(*executor_.Run(Concatenate("a", absl::OkStatus())), "a!");
  EXPECT_EQ(
      executor_.Run(Concatenate(absl::AbortedError("x"), absl::InternalError("y"))).status().code(),
      absl::StatusCode::kAborted);
  EXPECT_EQ(executor_.Run(Concatenate("a", absl::InternalError("y"))).status().code(),
            absl::StatusCode::kInternal);
}

Task<absl::Status> AwaitInMacro(absl::Status status) { co_return status; }
Task<absl::StatusOr<std::string>> ChainInMacros(absl::Status status) {
  CO_RETURN_IF_ERROR(co_await AwaitInMacro(status));
  CO_ASSIGN_OR_RETURN(std::string text,
                      co_await Concatenate("long enough to be on the heap, surely", status));
  co_return text;
}

TEST_F(TaskTest, MacrosAwaitInside) {
  EXPECT_EQ(*executor_.Run(ChainInMacros(absl::OkStatus())),
            "long enough to be on the heap, surely!");
  EXPECT_EQ(executor_.Run(ChainInMacros(absl::DataLossError("z"))).status().message(), "z");
}

Task<void> WaitThenAppend(Event* event, int id, std::vector<int>* order) {
  co_await *event;
  order->push_back(id);
}

Task<std::vector<int>> ScopeOfWaiters() {
  Event event;
  Scope scope;
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) scope.Spawn(WaitThenAppend(&event, i, &order));
  EXPECT_EQ(scope.running(), 3u);
  event.Set();
  co_await scope.Join();
  EXPECT_EQ(scope.running(), 0u);
  // A joined scope can be used again.
  scope.Spawn(WaitThenAppend(&event, 3, &order));
  co_await scope.Join();
  std::sort(order.begin(), order.end());
  co_return order;
}

TEST_F(TaskTest, JoinWaitsForEverythingSpawned) {
  EXPECT_THAT(executor_.Run(ScopeOfWaiters()), ElementsAre(0, 1, 2, 3));
}

Task<void> JoinEmptyScope() {
  Scope scope;
  co_await scope.Join();
}

TEST_F(TaskTest, EmptyScopeJoinsAtOnce) { executor_.Run(JoinEmptyScope()); }

Task<void> SpawnNested(Scope* scope, int depth, int* ran) {
  ++*ran;
  if (depth > 0) scope->Spawn(SpawnNested(scope, depth - 1, ran));
  co_return;
}

Task<int> JoinNested() {
  int ran = 0;
  Scope scope;
  scope.Spawn(SpawnNested(&scope, 4, &ran));
  co_await scope.Join();
  co_return ran;
}

TEST_F(TaskTest, JoinWaitsForTasksSpawnedMeanwhile) { EXPECT_EQ(executor_.Run(JoinNested()), 5); }

Task<std::unique_ptr<int>> AfterEvent(Event* event, int value) {
  co_await *event;
  co_return std::make_unique<int>(value);
}

Task<void> SetEvent(Event* event) {
  event->Set();
  co_return;
}

Task<std::vector<std::unique_ptr<int>>> GatherMoveOnly() {
  Event event;
  Scope scope;
  std::vector<Task<std::unique_ptr<int>>> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(AfterEvent(&event, i));
  scope.Spawn(SetEvent(&event));
  std::vector<std::unique_ptr<int>> values = co_await WhenAll(std::move(tasks));
  co_await scope.Join();
  co_return values;
}

TEST_F(TaskTest, WhenAllKeepsTheOrderOfTheTasks) {
  const auto values = executor_.Run(GatherMoveOnly());
  ASSERT_EQ(values.size(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(*values[i], i);
}

Task<absl::Status> StatusAfter(Event* event, absl::Status status, int* ended) {
  if (event != nullptr) co_await *event;
  ++*ended;
  co_return status;
}

Task<absl::Status> GatherStatuses(int* ended) {
  Event event;
  Scope scope;
  std::vector<Task<absl::Status>> tasks;
  tasks.push_back(StatusAfter(nullptr, absl::OkStatus(), ended));
  tasks.push_back(StatusAfter(&event, absl::DataLossError("second"), ended));
  tasks.push_back(StatusAfter(nullptr, absl::AbortedError("third"), ended));
  scope.Spawn(SetEvent(&event));
  absl::Status status = co_await WhenAllOk(std::move(tasks));
  co_await scope.Join();
  co_return status;
}

TEST_F(TaskTest, WhenAllOkWaitsForAllAndReturnsTheFirstErrorInOrder) {
  int ended = 0;
  EXPECT_EQ(executor_.Run(GatherStatuses(&ended)).message(), "second");
  EXPECT_EQ(ended, 3);
}

Task<absl::Status> GatherNothing() { co_return co_await WhenAllOk({}); }

TEST_F(TaskTest, WhenAllOkOfNothingIsOk) { EXPECT_TRUE(executor_.Run(GatherNothing()).ok()); }

Task<void> WaitForever(Event* event) { co_await *event; }

TEST_F(TaskDeathTest, DeadlockIsNamed) {
  EXPECT_DEATH(
      {
        Event* event = new Event;
        executor_.Run(WaitForever(event));
      },
      "seed 1: deadlock");
}

Task<void> Throw() {
  throw 1;
  co_return;
}

TEST_F(TaskDeathTest, ExceptionStopsTheProcess) {
  EXPECT_DEATH(executor_.Run(Throw()), "exception left a coroutine");
}

}  // namespace
}  // namespace cairn
