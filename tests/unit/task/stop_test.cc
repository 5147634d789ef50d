// Sleeping and stopping, and the arithmetic of deadlines.
#include "common/task/stop.h"

#include <gtest/gtest.h>

#include "common/task/scope.h"
#include "tests/sim/sim_executor.h"

namespace cairn {
namespace {

class StopTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  SimExecutor executor_{GetParam()};
  StopSource stop_;
};
INSTANTIATE_TEST_SUITE_P(Seeds, StopTest, ::testing::Range<uint64_t>(1, 10));

Task<void> KeepStatus(Task<absl::Status> task, absl::Status* status) {
  absl::Status result = co_await std::move(task);
  *status = std::move(result);
}

TEST_P(StopTest, SleepEndsAtItsDeadline) {
  const MonoTime start = executor_.clock().Now();
  EXPECT_TRUE(executor_.Run(SleepUntil(Deadline(start + absl::Seconds(5)), stop_)).ok());
  EXPECT_EQ(executor_.clock().Now(), start + absl::Seconds(5));
}

TEST_P(StopTest, RequestEndsAllSleepsAtOnce) {
  const MonoTime start = executor_.clock().Now();
  std::vector<absl::Status> statuses(3, absl::UnknownError("not ended"));
  for (absl::Status& status : statuses) {
    executor_.Spawn(KeepStatus(SleepUntil(Deadline(start + absl::Hours(1)), stop_), &status));
  }
  executor_.Spawn(KeepStatus(SleepUntil(Deadline::Infinite(), stop_), &statuses[2]));
  executor_.RunFor(absl::Seconds(1));
  executor_.AddTimer(executor_.clock().Now(), [this] { stop_.RequestStop(); });
  executor_.RunUntilIdle();
  EXPECT_EQ(executor_.clock().Now(), start + absl::Seconds(1));
  for (const absl::Status& status : statuses)
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  executor_.RunFor(absl::Hours(2));  // no timer is left that points to an ended sleep
  EXPECT_EQ(executor_.Run(SleepUntil(Deadline::Infinite(), stop_)).code(),
            absl::StatusCode::kCancelled);
}

TEST_P(StopTest, StopAtTheDeadlineEndsTheSleepOnce) {
  const MonoTime end = executor_.clock().Now() + absl::Seconds(1);
  absl::Status status = absl::UnknownError("not ended");
  executor_.Spawn(KeepStatus(SleepUntil(Deadline(end), stop_), &status));
  executor_.AddTimer(end, [this] { stop_.RequestStop(); });
  executor_.RunFor(absl::Seconds(2));
  EXPECT_NE(status.code(), absl::StatusCode::kUnknown);
}

TEST(Deadline, RemainingIsNeverNegative) {
  SimClock clock;
  const Deadline deadline = Deadline::After(clock, absl::Seconds(3));
  EXPECT_EQ(deadline.Remaining(clock), absl::Seconds(3));
  EXPECT_FALSE(deadline.HasPassed(clock));
  clock.Advance(absl::Seconds(4));
  EXPECT_EQ(deadline.Remaining(clock), absl::ZeroDuration());
  EXPECT_TRUE(deadline.HasPassed(clock));
  EXPECT_FALSE(Deadline::Infinite().HasPassed(clock));
  EXPECT_EQ(Deadline::Infinite().Remaining(clock), absl::InfiniteDuration());
  EXPECT_EQ(Earlier(deadline, Deadline::Infinite()).at(), deadline.at());
}

}  // namespace
}  // namespace cairn
