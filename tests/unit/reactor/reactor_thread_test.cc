// ReactorThread and BlockingPool: real threads, synchronized by what they return and never by time.
#include "common/reactor/reactor_thread.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "common/reactor/blocking_pool.h"

namespace cairn {
namespace {

class ReactorThreadTest : public ::testing::TestWithParam<Reactor::Backend> {
 protected:
  void SetUp() override {
    auto thread = ReactorThread::Start({.backend = GetParam()}, "cairn-test-reactor");
    if (!thread.ok()) GTEST_SKIP() << thread.status();
    thread_ = *std::move(thread);
  }
  std::unique_ptr<ReactorThread> thread_;
};
INSTANTIATE_TEST_SUITE_P(Backends, ReactorThreadTest,
                         ::testing::Values(Reactor::Backend::kIoUring, Reactor::Backend::kPoll));

Task<std::unique_ptr<int>> Twice(std::unique_ptr<int> value) {
  co_return std::make_unique<int>(*value * 2);
}
Task<void> Increment(int* counter) {
  ++*counter;
  co_return;
}

TEST_P(ReactorThreadTest, ResultReachesTheCaller) {
  auto seven = std::make_unique<int>(7);
  const auto result =
      thread_->RunBlocking<std::unique_ptr<int>>([&seven] { return Twice(std::move(seven)); });
  EXPECT_EQ(*result, 14);
}

TEST_P(ReactorThreadTest, CallsOfManyThreadsRunOnOne) {
  int counter = 0;  // not atomic: only the reactor's thread touches it
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, &counter] {
      for (int j = 0; j < 500; ++j)
        thread_->RunBlocking<void>([&counter] { return Increment(&counter); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, 2000);
}

Task<std::vector<int>> RunMany(BlockingRunner& runner, int count) {
  std::vector<int> order;
  Scope scope;
  // One thread of the pool, so that no two write to `order` at once.
  for (int i = 0; i < count; ++i) scope.Spawn(runner.Run([&order, i] { order.push_back(i); }));
  co_await scope.Join();
  co_return order;
}

// Detached coroutines start in the order spawned on a reactor, so the pool sees the jobs in that
// order.
TEST_P(ReactorThreadTest, PoolOfOneThreadRunsJobsInTheOrderGiven) {
  BlockingPool pool(1);
  const std::vector<int> order =
      thread_->RunBlocking<std::vector<int>>([&pool] { return RunMany(pool, 100); });
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
}

Task<sigset_t> MaskOfThread() {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  co_return mask;
}

// An application's handlers run on the application's threads.
TEST_P(ReactorThreadTest, SignalsAreLeftToTheApplication) {
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, nullptr, &before);
  const sigset_t reactors = thread_->RunBlocking<sigset_t>([] { return MaskOfThread(); });
  BlockingPool pool(1);
  sigset_t pools;
  thread_->RunBlocking<void>(
      [&] { return pool.Run([&pools] { pthread_sigmask(SIG_BLOCK, nullptr, &pools); }); });
  for (const sigset_t& mask : {reactors, pools}) {
    for (const int signal : {SIGINT, SIGTERM, SIGCHLD, SIGUSR1, SIGPIPE}) {
      EXPECT_EQ(sigismember(&mask, signal), 1) << signal;
    }
    EXPECT_EQ(sigismember(&mask, SIGSEGV), sigismember(&before, SIGSEGV));
  }
  sigset_t after;
  pthread_sigmask(SIG_BLOCK, nullptr, &after);
  EXPECT_EQ(sigismember(&after, SIGINT), sigismember(&before, SIGINT));
}

// No machine has a stack of this size to give.
TEST_P(ReactorThreadTest, ThreadThatCannotStartIsAnError) {
  pthread_attr_t usual;
  pthread_attr_t huge;
  ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
  pthread_attr_init(&huge);
  ASSERT_EQ(pthread_attr_setstacksize(&huge, size_t{1} << 47), 0);
  ASSERT_EQ(pthread_setattr_default_np(&huge), 0);
  const auto started = ReactorThread::Start({.backend = GetParam()}, "cairn-test");
  ASSERT_EQ(pthread_setattr_default_np(&usual), 0);
  EXPECT_TRUE(absl::IsResourceExhausted(started.status())) << started.status();
  pthread_attr_destroy(&usual);
  pthread_attr_destroy(&huge);
}

// Ends only when both jobs run at the same time.
struct Rendezvous {
  void Meet() {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  }
  std::atomic<int> arrived{0};
};

Task<int> RunTwo(BlockingRunner& runner) {
  Rendezvous rendezvous;
  Scope scope;
  scope.Spawn(runner.Run([&rendezvous] { rendezvous.Meet(); }));
  scope.Spawn(runner.Run([&rendezvous] { rendezvous.Meet(); }));
  co_await scope.Join();
  co_return rendezvous.arrived.load();
}

TEST_P(ReactorThreadTest, PoolOfTwoThreadsRunsJobsSideBySide) {
  BlockingPool pool(2);
  EXPECT_EQ(thread_->RunBlocking<int>([&pool] { return RunTwo(pool); }), 2);
}

}  // namespace
}  // namespace cairn
