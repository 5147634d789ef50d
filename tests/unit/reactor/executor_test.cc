// What every executor promises, on both reactors and on the simulation: order of timers and
// messages, fairness, blocking work.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/task/stop.h"
#include "common/task/when_all.h"
#include "tests/sim/worlds.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;

template <class World>
class ExecutorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!world_.available()) GTEST_SKIP() << "the kernel refuses io_uring";
  }
  Executor& executor() { return world_.executor(); }
  World world_;
};
TYPED_TEST_SUITE(ExecutorTest, Worlds);

Task<std::vector<int>> FireTimers(Executor& executor) {
  std::vector<int> fired;
  Event last;
  const MonoTime now = executor.clock().Now();
  executor.AddTimer(now + absl::Milliseconds(3), [&] {
    fired.push_back(3);
    last.Set();
  });
  executor.AddTimer(now + absl::Milliseconds(1), [&] { fired.push_back(1); });
  executor.AddTimer(now + absl::Milliseconds(2), [&] { fired.push_back(2); });
  executor.AddTimer(now + absl::Milliseconds(1), [&] { fired.push_back(11); });
  const TimerId cancelled =
      executor.AddTimer(now + absl::Milliseconds(2), [&] { fired.push_back(99); });
  EXPECT_TRUE(executor.CancelTimer(cancelled));
  EXPECT_FALSE(executor.CancelTimer(cancelled));
  co_await last;
  EXPECT_GE(executor.clock().Now(), now + absl::Milliseconds(3));
  co_return fired;
}

TYPED_TEST(ExecutorTest, TimersFireInOrderUnlessCancelled) {
  EXPECT_THAT(this->world_.Run(FireTimers(this->executor())), ElementsAre(1, 11, 2, 3));
}

Task<bool> CancelFiredTimer(Executor& executor) {
  Event fired;
  const TimerId timer = executor.AddTimer(executor.clock().Now(), [&] { fired.Set(); });
  co_await fired;
  co_return executor.CancelTimer(timer);
}

TYPED_TEST(ExecutorTest, FiredTimerCannotBeCancelled) {
  EXPECT_FALSE(this->world_.Run(CancelFiredTimer(this->executor())));
}

Task<std::vector<int>> SendMessages(Executor& executor) {
  std::vector<int> seen;
  Event last;
  for (int i = 0; i < 5; ++i) executor.PostRemote([&seen, i] { seen.push_back(i); });
  executor.PostRemote([&] { last.Set(); });
  EXPECT_TRUE(seen.empty()) << "a message ran inside PostRemote()";
  co_await last;
  co_return seen;
}

TYPED_TEST(ExecutorTest, MessagesRunInTheOrderSent) {
  EXPECT_THAT(this->world_.Run(SendMessages(this->executor())), ElementsAre(0, 1, 2, 3, 4));
}

// Gives way to everything else that is ready.
struct Yield {
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) { Executor::Current().Post(handle); }
  void await_resume() const {}
};

Task<void> Spin(const bool* stop) {
  while (!*stop) {
    Yield yield;
    co_await yield;
  }
}

Task<void> StopBySignals(Executor& executor, bool* stop) {
  StopSource source;
  // The clock of the simulation moves only when nothing is ready: the timer is due at once there.
  absl::Status slept = co_await SleepUntil(Deadline(executor.clock().Now()), source);
  EXPECT_TRUE(slept.ok());
  Event message;
  executor.PostRemote([&message] { message.Set(); });
  co_await message;
  *stop = true;
}

Task<void> SpinAndStop(Executor& executor) {
  bool stop = false;
  Scope scope;
  for (int i = 0; i < 200; ++i) scope.Spawn(Spin(&stop));
  scope.Spawn(StopBySignals(executor, &stop));
  co_await scope.Join();
}

TYPED_TEST(ExecutorTest, BusyCoroutinesDoNotStarveTimersAndMessages) {
  this->world_.Run(SpinAndStop(this->executor()));
}

Task<std::vector<int>> RunBlockingInOrder(BlockingRunner& runner) {
  std::vector<int> order;
  Scope scope;
  for (int i = 0; i < 5; ++i) scope.Spawn(runner.Run([&order, i] { order.push_back(i); }));
  co_await scope.Join();
  std::sort(order.begin(), order.end());
  co_return order;
}

TYPED_TEST(ExecutorTest, BlockingWorkRunsAndItsCallersResume) {
  EXPECT_THAT(this->world_.Run(RunBlockingInOrder(this->world_.blocking())),
              ElementsAre(0, 1, 2, 3, 4));
}

Task<Executor*> ExecutorAfterBlockingWork(BlockingRunner& runner) {
  co_await runner.Run([] {});
  co_return &Executor::Current();
}

TYPED_TEST(ExecutorTest, BlockingWorkReturnsToItsExecutor) {
  EXPECT_EQ(this->world_.Run(ExecutorAfterBlockingWork(this->world_.blocking())),
            &this->executor());
}

}  // namespace
}  // namespace cairn
