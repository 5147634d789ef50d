// The reactor on both of its backends: what executors share with the simulation is in
// executor_test.cc; here are descriptors, pollers, the ring, sleeping and threads. Real
// descriptors, no waiting on wall time but where idle CPU time is the question.
#include "common/reactor/reactor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <thread>

#include "common/base/units.h"
#include "common/task/stop.h"
#include "common/task/when_all.h"
#include "tests/sim/worlds.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

template <class World>
class ReactorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!world_.available()) GTEST_SKIP() << "the kernel refuses io_uring";
  }
  Reactor& reactor() { return world_.reactor(); }
  World world_;
};
TYPED_TEST_SUITE(ReactorTest, ReactorWorlds);

struct Pipe {
  Pipe() { CAIRN_CHECK(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0); }
  ~Pipe() {
    close(fds[0]);
    if (fds[1] >= 0) close(fds[1]);
  }
  int reader() const { return fds[0]; }
  int writer() const { return fds[1]; }
  void CloseWriter() {
    close(fds[1]);
    fds[1] = -1;
  }
  int fds[2];
};

Deadline In(absl::Duration duration) {
  static SystemClock clock;
  return Deadline::After(clock, duration);
}

TYPED_TEST(ReactorTest, ReadyDescriptorEndsTheWait) {
  Pipe pipe;
  EXPECT_TRUE(
      this->world_.Run(this->reactor().WaitWritable(pipe.writer(), Deadline::Infinite())).ok());
  ASSERT_EQ(write(pipe.writer(), "x", 1), 1);
  EXPECT_TRUE(
      this->world_.Run(this->reactor().WaitReadable(pipe.reader(), Deadline::Infinite())).ok());
}

TYPED_TEST(ReactorTest, HangUpEndsTheWait) {
  Pipe pipe;
  pipe.CloseWriter();
  EXPECT_TRUE(
      this->world_.Run(this->reactor().WaitReadable(pipe.reader(), Deadline::Infinite())).ok());
}

TYPED_TEST(ReactorTest, DataFromAnotherThreadEndsTheWait) {
  Pipe pipe;
  std::thread writer([&pipe] { ASSERT_EQ(write(pipe.writer(), "x", 1), 1); });
  EXPECT_TRUE(
      this->world_.Run(this->reactor().WaitReadable(pipe.reader(), Deadline::Infinite())).ok());
  writer.join();
}

TYPED_TEST(ReactorTest, PassedDeadlineEndsTheWait) {
  Pipe pipe;
  for (const auto wait : {absl::Milliseconds(2), absl::ZeroDuration(), -absl::Seconds(1)}) {
    const absl::Status status =
        this->world_.Run(this->reactor().WaitReadable(pipe.reader(), In(wait)));
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  }
}

TYPED_TEST(ReactorTest, ReadyDescriptorWinsOverPassedDeadline) {
  Pipe pipe;
  ASSERT_EQ(write(pipe.writer(), "x", 1), 1);
  EXPECT_TRUE(
      this->world_.Run(this->reactor().WaitReadable(pipe.reader(), In(-absl::Seconds(1)))).ok());
}

TYPED_TEST(ReactorTest, BadDescriptorIsAnError) {
  const absl::Status status =
      this->world_.Run(this->reactor().WaitReadable(987654, Deadline::Infinite()));
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr("987654"));
}

Task<std::vector<absl::Status>> WaitForMany(Reactor& reactor, std::vector<Pipe>& pipes) {
  std::vector<Task<absl::Status>> waits;
  for (Pipe& pipe : pipes)
    waits.push_back(reactor.WaitReadable(pipe.reader(), In(absl::Seconds(100))));
  co_return co_await WhenAll(std::move(waits));
}

TYPED_TEST(ReactorTest, MoreWaitsThanRingEntriesAllEnd) {
  std::vector<Pipe> pipes(400);
  std::thread writer([&pipes] {
    for (Pipe& pipe : pipes) ASSERT_EQ(write(pipe.writer(), "x", 1), 1);
  });
  for (const absl::Status& status : this->world_.Run(WaitForMany(this->reactor(), pipes))) {
    EXPECT_TRUE(status.ok()) << status;
  }
  writer.join();
}

// Gives way to everything else that is ready.
struct Yield {
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) { Executor::Current().Post(handle); }
  void await_resume() const {}
};

Task<void> SpinUntil(const bool* stop) {
  while (!*stop) {
    Yield yield;
    co_await yield;
  }
}

Task<absl::Status> WaitWhileSpinning(Reactor& reactor, int fd) {
  bool stop = false;
  Scope scope;
  for (int i = 0; i < 200; ++i) scope.Spawn(SpinUntil(&stop));
  absl::Status status = co_await reactor.WaitReadable(fd, Deadline::Infinite());
  stop = true;
  co_await scope.Join();
  co_return status;
}

TYPED_TEST(ReactorTest, BusyCoroutinesDoNotStarveDescriptors) {
  Pipe pipe;
  std::thread writer([&pipe] { ASSERT_EQ(write(pipe.writer(), "x", 1), 1); });
  EXPECT_TRUE(this->world_.Run(WaitWhileSpinning(this->reactor(), pipe.reader())).ok());
  writer.join();
}

// Counts down what other threads post.
struct Countdown {
  Reactor& reactor;
  int left;
  void Arrive() {
    if (--left == 0) reactor.Stop();
  }
};

TYPED_TEST(ReactorTest, MessagesOfManyThreadsAllRun) {
  constexpr int kThreads = 4;
  constexpr int kMessages = 2000;
  Countdown countdown{this->reactor(), kThreads * kMessages};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this, &countdown] {
      for (int j = 0; j < kMessages; ++j) {
        this->reactor().PostRemote([&countdown] { countdown.Arrive(); });
      }
    });
  }
  this->reactor().Run();
  EXPECT_EQ(countdown.left, 0);
  for (std::thread& thread : threads) thread.join();
}

TYPED_TEST(ReactorTest, StopBeforeRunEndsItAfterWhatCameBefore) {
  int ran = 0;
  this->reactor().PostRemote([&ran] { ++ran; });
  this->reactor().Stop();
  this->reactor().PostRemote([&ran] { ran += 10; });
  this->reactor().Run();
  EXPECT_EQ(ran, 1);
  this->reactor().Stop();
  this->reactor().Run();
  EXPECT_EQ(ran, 11);
}

// An eventfd that counts as the progress of a fabric.
class CountingPoller final : public Poller {
 public:
  CountingPoller(Reactor& reactor, uint64_t enough) : reactor_(reactor), enough_(enough) {}
  ~CountingPoller() override { close(fd_); }
  bool Poll() override {
    ++polls;
    uint64_t count = 0;
    if (read(fd_, &count, sizeof(count)) != sizeof(count)) return false;
    seen += count;
    if (seen == enough_) reactor_.Stop();
    return true;
  }
  int wait_fd() const override { return fd_; }
  // Refusing now and then must only cost another look.
  bool PrepareToSleep() override { return ++prepared % 3 != 0; }
  void Signal() {
    const uint64_t one = 1;
    CAIRN_CHECK(write(fd_, &one, sizeof(one)) == sizeof(one));
  }
  uint64_t seen = 0;
  int polls = 0;
  int prepared = 0;

 private:
  Reactor& reactor_;
  const uint64_t enough_;
  const int fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
};

TYPED_TEST(ReactorTest, PollerWakesTheSleepingReactor) {
  constexpr int kSignals = 2000;
  CountingPoller poller(this->reactor(), kSignals);
  this->reactor().AddPoller(&poller);
  std::thread signaller([&poller] {
    for (int i = 0; i < kSignals; ++i) poller.Signal();
  });
  this->reactor().Run();
  signaller.join();
  EXPECT_EQ(poller.seen, kSignals);
  this->reactor().RemovePoller(&poller);
}

TYPED_TEST(ReactorTest, RemovedPollerIsNotCalledAgain) {
  auto poller = std::make_unique<CountingPoller>(this->reactor(), 1);
  this->reactor().AddPoller(poller.get());
  poller->Signal();
  this->reactor().Run();  // has slept on it: the wake source may be armed
  this->reactor().PostRemote([this, &poller] {
    this->reactor().RemovePoller(poller.get());
    poller.reset();
  });
  StopSource stop;
  EXPECT_TRUE(this->world_.Run(SleepUntil(In(absl::Milliseconds(1)), stop)).ok());
}

int64_t ThreadCpuNanoseconds() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

TYPED_TEST(ReactorTest, IdleReactorUsesNoCpu) {
  CountingPoller poller(this->reactor(), 1);
  this->reactor().AddPoller(&poller);
  StopSource stop;
  const int64_t before = ThreadCpuNanoseconds();
  EXPECT_TRUE(this->world_.Run(SleepUntil(In(absl::Milliseconds(200)), stop)).ok());
  const int64_t used = ThreadCpuNanoseconds() - before;
  EXPECT_LT(used, 50'000'000) << "CPU nanoseconds in 200 ms of idling";
  EXPECT_LT(poller.polls, 20);
  this->reactor().RemovePoller(&poller);
}

Task<void> Burn(Reactor& reactor, absl::Duration duration) {
  const MonoTime end = reactor.clock().Now() + duration;
  while (reactor.clock().Now() < end) {
  }
  co_return;
}

TYPED_TEST(ReactorTest, LongestStepIsMeasuredOnce) {
  this->world_.Run(Burn(this->reactor(), absl::Milliseconds(20)));
  EXPECT_GE(this->reactor().TakeLongestStep(), absl::Milliseconds(20));
  EXPECT_EQ(this->reactor().TakeLongestStep(), absl::ZeroDuration());
}

TYPED_TEST(ReactorTest, StepsOverTenMillisecondsCountAsStalls) {
  const Reactor::Load before = this->reactor().load();
  this->world_.Run(Burn(this->reactor(), absl::Milliseconds(1)));
  const Reactor::Load quiet = this->reactor().load();
  EXPECT_GE(quiet.busy - before.busy, absl::Milliseconds(1));
  this->world_.Run(Burn(this->reactor(), absl::Milliseconds(20)));
  const Reactor::Load stalled = this->reactor().load();
  EXPECT_GT(stalled.stalls, quiet.stalls);
  EXPECT_GE(stalled.stalled - quiet.stalled, absl::Milliseconds(20));
  EXPECT_GE(stalled.busy - quiet.busy, absl::Milliseconds(20));
}

TEST(PollReactor, HasNoRing) {
  PollWorld world;
  EXPECT_EQ(world.reactor().ring(), nullptr);
  EXPECT_FALSE(world.reactor().ring_refusal().empty());
}

class RingReactor : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!world_.available()) GTEST_SKIP() << "the kernel refuses io_uring";
  }
  RingWorld world_;
};

// One ring operation as an awaitable, the way disks use the ring.
struct Operation final : RingOperation {
  explicit Operation(Reactor& reactor_in) : reactor(reactor_in), entry(reactor.GetSqe(this)) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) { waiter = handle; }
  int32_t await_resume() const { return result; }
  void OnCompletion(int32_t completed_with) override {
    result = completed_with;
    reactor.Post(waiter);
  }
  Reactor& reactor;
  io_uring_sqe* entry;
  std::coroutine_handle<> waiter;
  int32_t result = 0;
};

Task<int32_t> Nop(Reactor& reactor) {
  Operation operation(reactor);
  io_uring_prep_nop(operation.entry);
  co_return co_await operation;
}

Task<int32_t> ReadFile(Reactor& reactor, int fd, MutableBytes into) {
  Operation operation(reactor);
  io_uring_prep_read(operation.entry, fd, into.data(), into.size(), 0);
  co_return co_await operation;
}

TEST_F(RingReactor, ReadReturnsTheBytes) {
  const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  std::byte bytes[4];
  EXPECT_EQ(world_.Run(ReadFile(world_.reactor(), fd, bytes)), 4);
  EXPECT_EQ(std::memcmp(bytes, "\177ELF", 4), 0);
  close(fd);
}

Task<int> ManyNops(Reactor& reactor, int count) {
  std::vector<Task<int32_t>> nops;
  for (int i = 0; i < count; ++i) nops.push_back(Nop(reactor));
  const std::vector<int32_t> results = co_await WhenAll(std::move(nops));
  co_return std::count(results.begin(), results.end(), 0);
}

TEST_F(RingReactor, MoreOperationsThanEntriesAllComplete) {
  EXPECT_EQ(world_.Run(ManyNops(world_.reactor(), 5000)), 5000);
}

TEST_F(RingReactor, AutoChoosesTheRing) {
  auto reactor = Reactor::Create({});
  ASSERT_TRUE(reactor.ok());
  EXPECT_NE((*reactor)->ring(), nullptr);
  EXPECT_EQ((*reactor)->ring_refusal(), "");
}

}  // namespace
}  // namespace cairn
