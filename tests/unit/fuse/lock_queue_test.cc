// Goal: whoever asks for a lock is answered once, with what happened: got, taken, interrupted,
// failed; and whoever waits comes to it. Method: attempts that the test decides on, answers
// awaited.
#include "client/fuse/lock_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "absl/synchronization/notification.h"
#include "client/fuse/invalidator.h"
#include "client/fuse/lock_table.h"

namespace cairn {
namespace {

using Outcome = LockQueue::Outcome;

// One request, and what became of it.
struct Asked {
  std::atomic<int> attempts{0};
  std::atomic<int> answers{0};
  Outcome outcome = Outcome::kFailed;
  absl::Status status;
  absl::Notification tried;
  absl::Notification answered;

  LockQueue::Request Request(MonoTime gives_up, std::function<absl::StatusOr<bool>(int)> attempt) {
    LockQueue::Request request;
    request.key = this;
    request.gives_up = gives_up;
    request.attempt = [this, attempt = std::move(attempt)] {
      const int number = ++attempts;
      auto got = attempt(number);
      if (number == 1) tried.Notify();
      return got;
    };
    request.answer = [this](Outcome result, const absl::Status& why) {
      outcome = result;
      status = why;
      if (++answers == 1) answered.Notify();
    };
    return request;
  }
};

class LockQueueTest : public ::testing::Test {
 protected:
  ~LockQueueTest() override { queue_.Stop(); }
  static absl::StatusOr<bool> Taken(int) { return false; }

  SystemClock clock_;
  LockQueue queue_{&clock_, 2};
};

TEST_F(LockQueueTest, AFreeLockIsGotAtOnce) {
  Asked asked;
  queue_.Add(asked.Request(MonoTime::Never(), [](int) { return true; }));
  asked.answered.WaitForNotification();
  EXPECT_EQ(asked.outcome, Outcome::kGot);
  EXPECT_EQ(asked.attempts, 1);
}

TEST_F(LockQueueTest, WhoDoesNotWaitIsToldThatItIsTaken) {
  Asked asked;
  queue_.Add(asked.Request(MonoTime(), Taken));
  asked.answered.WaitForNotification();
  EXPECT_EQ(asked.outcome, Outcome::kTaken);
  EXPECT_EQ(asked.attempts, 1);
}

TEST_F(LockQueueTest, WhoWaitsAsksAgainUntilItIsFree) {
  Asked asked;
  queue_.Add(asked.Request(MonoTime::Never(), [](int number) { return number == 3; }));
  asked.answered.WaitForNotification();
  EXPECT_EQ(asked.outcome, Outcome::kGot);
  EXPECT_EQ(asked.attempts, 3);
}

TEST_F(LockQueueTest, WhoWaitsForAWhileAsksUntilThen) {
  Asked patient, tired;
  queue_.Add(
      patient.Request(clock_.Now() + absl::Hours(1), [](int number) { return number == 3; }));
  patient.answered.WaitForNotification();
  EXPECT_EQ(patient.outcome, Outcome::kGot);
  const MonoTime gives_up = clock_.Now() + absl::Milliseconds(30);
  queue_.Add(tired.Request(gives_up, Taken));
  tired.answered.WaitForNotification();
  EXPECT_GE(clock_.Now(), gives_up);
  EXPECT_EQ(tired.outcome, Outcome::kTaken);
  EXPECT_GT(tired.attempts, 1);
}

TEST_F(LockQueueTest, AnErrorEndsTheWait) {
  Asked asked;
  queue_.Add(asked.Request(MonoTime::Never(), [](int number) -> absl::StatusOr<bool> {
    if (number == 1) return false;
    return absl::UnavailableError("no node");
  }));
  asked.answered.WaitForNotification();
  EXPECT_EQ(asked.outcome, Outcome::kFailed);
  EXPECT_EQ(asked.status, absl::UnavailableError("no node"));
}

TEST_F(LockQueueTest, AnInterruptEndsTheWaitOfOneAlone) {
  Asked one, other;
  std::atomic<bool> free = false;
  queue_.Add(one.Request(MonoTime::Never(), Taken));
  queue_.Add(other.Request(MonoTime::Never(), [&free](int) { return free.load(); }));
  one.tried.WaitForNotification();
  queue_.Interrupt(&one);
  one.answered.WaitForNotification();
  EXPECT_EQ(one.outcome, Outcome::kInterrupted);
  EXPECT_EQ(other.answers, 0);
  free = true;
  other.answered.WaitForNotification();
  EXPECT_EQ(other.outcome, Outcome::kGot);
}

TEST_F(LockQueueTest, AnInterruptBeforeTheStartLetsItTryOnce) {
  Asked got, taken;
  queue_.Add(got.Request(MonoTime::Never(), [](int) { return true; }),
             [&] { queue_.Interrupt(&got); });
  queue_.Add(taken.Request(MonoTime::Never(), Taken), [&] { queue_.Interrupt(&taken); });
  got.answered.WaitForNotification();
  taken.answered.WaitForNotification();
  EXPECT_EQ(got.outcome, Outcome::kGot);
  EXPECT_EQ(taken.outcome, Outcome::kInterrupted);
  EXPECT_EQ(taken.attempts, 1);
}

TEST_F(LockQueueTest, NothingIsTriedBeforeItMayStart) {
  Asked asked;
  int attempts = -1;
  queue_.Add(asked.Request(MonoTime(), [](int) { return true; }), [&] {
    queue_.Retry();
    attempts = asked.attempts;
  });
  asked.answered.WaitForNotification();
  EXPECT_EQ(attempts, 0);
}

TEST_F(LockQueueTest, StopAnswersAllWhoWait) {
  Asked one, other;
  queue_.Add(one.Request(MonoTime::Never(), Taken));
  queue_.Add(other.Request(MonoTime::Never(), Taken));
  one.tried.WaitForNotification();
  other.tried.WaitForNotification();
  queue_.Stop();
  EXPECT_EQ(one.outcome, Outcome::kInterrupted);
  EXPECT_EQ(other.outcome, Outcome::kInterrupted);
  EXPECT_EQ(one.answers, 1);
  EXPECT_EQ(other.answers, 1);
}

TEST_F(LockQueueTest, ManyWhoWaitForEachOtherAllComeToIt) {
  constexpr int kMany = 20;
  std::atomic<int> holder{-1};
  std::vector<Asked> all(kMany);
  for (int i = 0; i < kMany; ++i) {
    queue_.Add(all[static_cast<size_t>(i)].Request(MonoTime::Never(), [&holder, i](int) {
      int nobody = -1;
      return holder.compare_exchange_strong(nobody, i);
    }));
  }
  for (int done = 0; done < kMany; ++done) {
    int now = -1;
    while ((now = holder.load()) < 0) std::this_thread::yield();
    all[static_cast<size_t>(now)].answered.WaitForNotification();
    EXPECT_EQ(all[static_cast<size_t>(now)].outcome, Outcome::kGot);
    holder = -1;
    queue_.Retry();
  }
}

TEST(LockQueuePause, GrowsFromFiveMillisecondsToHalfASecond) {
  absl::Duration pause = LockQueue::PauseAfter(absl::ZeroDuration());
  EXPECT_EQ(pause, absl::Milliseconds(5));
  pause = LockQueue::PauseAfter(pause);
  EXPECT_EQ(pause, absl::Milliseconds(10));
  for (int i = 0; i < 10; ++i) pause = LockQueue::PauseAfter(pause);
  EXPECT_EQ(pause, absl::Milliseconds(500));
}

TEST(LockTable, OnlyWhoMayHoldOneIsReleased) {
  LockTable table;
  EXPECT_FALSE(table.Forget(300, FileLockKind::kPosix, 1));
  table.Remember(300, FileLockKind::kPosix, 1);
  EXPECT_FALSE(table.Forget(300, FileLockKind::kPosix, 2));
  EXPECT_FALSE(table.Forget(301, FileLockKind::kPosix, 1));
  EXPECT_FALSE(table.Forget(300, FileLockKind::kFlock, 1));
  EXPECT_TRUE(table.Forget(300, FileLockKind::kPosix, 1));
  EXPECT_FALSE(table.Forget(300, FileLockKind::kPosix, 1));
}

TEST(LockTable, TellsWhenAFileWithAWholeLockWasClosed) {
  LockTable table;
  table.Close(300, MonoTime(10));
  table.Remember(300, FileLockKind::kPosix, 1);
  table.Close(300, MonoTime(20));
  EXPECT_EQ(table.ClosedAt(300), MonoTime());
  table.Remember(300, FileLockKind::kFlock, 2);
  table.Close(301, MonoTime(30));
  EXPECT_EQ(table.ClosedAt(300), MonoTime());
  table.Close(300, MonoTime(40));
  // Its end comes later, and is what another waits for.
  EXPECT_TRUE(table.Forget(300, FileLockKind::kFlock, 2));
  EXPECT_EQ(table.ClosedAt(300), MonoTime(40));
}

TEST(Invalidator, DropsWhatWasAddedAndAllOfItBeforeItEnds) {
  absl::Notification first, go_on;
  std::vector<NodeNumber> dropped;
  {
    Invalidator invalidator([&](NodeNumber node) {
      dropped.push_back(node);
      if (dropped.size() > 1) return;
      first.Notify();
      go_on.WaitForNotification();
    });
    invalidator.Add(1);
    first.WaitForNotification();
    // While one is being dropped the others gather, each once.
    for (const NodeNumber node : {2, 2, 2}) invalidator.Add(node);
    go_on.Notify();
  }
  EXPECT_EQ(dropped, (std::vector<NodeNumber>{1, 2}));
}

}  // namespace
}  // namespace cairn
