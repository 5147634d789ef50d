// Semaphore: order, deadlines, breaking. On the simulated executor with several seeds, because
// waiters are posted and the order in which they run must not matter.
#include "common/task/semaphore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "common/task/scope.h"
#include "tests/sim/sim_executor.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SemaphoreTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  Deadline In(absl::Duration duration) { return Deadline::After(executor_.clock(), duration); }
  // Starts a waiter and lets it queue up.
  void Start(Semaphore* semaphore, int64_t units, Deadline deadline, int id,
             std::optional<uint64_t> place = {});

  SimExecutor executor_{GetParam()};
  std::vector<int> granted_;
  std::vector<std::pair<int, absl::StatusCode>> failed_;
};
INSTANTIATE_TEST_SUITE_P(Seeds, SemaphoreTest, ::testing::Range<uint64_t>(1, 20));

Task<void> Acquire(Semaphore* semaphore, int64_t units, Deadline deadline, int id,
                   std::optional<uint64_t> place, std::vector<int>* granted,
                   std::vector<std::pair<int, absl::StatusCode>>* failed) {
  const absl::Status status = co_await semaphore->Acquire(units, deadline, place);
  if (status.ok()) {
    granted->push_back(id);
  } else {
    failed->emplace_back(id, status.code());
  }
}

void SemaphoreTest::Start(Semaphore* semaphore, int64_t units, Deadline deadline, int id,
                          std::optional<uint64_t> place) {
  executor_.Spawn(Acquire(semaphore, units, deadline, id, place, &granted_, &failed_));
  executor_.RunUntilIdle();
}

Task<void> Release(Semaphore* semaphore, int64_t units) {
  semaphore->Release(units);
  co_return;
}
Task<void> Break(Semaphore* semaphore) {
  semaphore->Break();
  co_return;
}

TEST_P(SemaphoreTest, LargeRequestAtTheHeadIsNotOvertaken) {
  Semaphore semaphore(2);
  Start(&semaphore, 3, Deadline::Infinite(), 1);
  Start(&semaphore, 1, Deadline::Infinite(), 2);
  EXPECT_THAT(granted_, IsEmpty());
  EXPECT_FALSE(semaphore.TryAcquire(1));
  executor_.Run(Release(&semaphore, 1));
  executor_.RunUntilIdle();
  EXPECT_THAT(granted_, ElementsAre(1));
  executor_.Run(Release(&semaphore, 3));
  executor_.RunUntilIdle();
  EXPECT_THAT(granted_, ElementsAre(1, 2));
  EXPECT_EQ(semaphore.available(), 2);
}

TEST_P(SemaphoreTest, TheLowestPlaceGoesFirstButNotForEver) {
  Semaphore semaphore(0, absl::Seconds(1));
  Start(&semaphore, 1, Deadline::Infinite(), 1, 30);
  Start(&semaphore, 1, Deadline::Infinite(), 2, 20);
  Start(&semaphore, 1, Deadline::Infinite(), 3);
  Start(&semaphore, 1, In(absl::Milliseconds(500)), 4, 5);
  executor_.RunFor(absl::Milliseconds(600));
  EXPECT_THAT(failed_, ElementsAre(std::pair(4, absl::StatusCode::kDeadlineExceeded)));
  executor_.Run(Release(&semaphore, 1));
  executor_.RunUntilIdle();
  EXPECT_THAT(granted_, ElementsAre(2));
  executor_.RunFor(absl::Milliseconds(600));
  Start(&semaphore, 1, Deadline::Infinite(), 5, 10);
  for (int i = 0; i < 3; ++i) {
    executor_.Run(Release(&semaphore, 1));
    executor_.RunUntilIdle();
  }
  EXPECT_THAT(granted_, ElementsAre(2, 1, 3, 5));
  EXPECT_EQ(semaphore.available(), 0);
}

TEST_P(SemaphoreTest, PassedDeadlineTakesNothingAndLetsTheNextOneIn) {
  Semaphore semaphore(1);
  Start(&semaphore, 2, In(absl::Seconds(1)), 1);
  Start(&semaphore, 1, In(absl::Seconds(9)), 2);
  executor_.RunFor(absl::Seconds(2));
  EXPECT_THAT(failed_, ElementsAre(std::pair(1, absl::StatusCode::kDeadlineExceeded)));
  EXPECT_THAT(granted_, ElementsAre(2));
  EXPECT_EQ(semaphore.available(), 0);
  EXPECT_EQ(semaphore.waiting(), 0u);
}

TEST_P(SemaphoreTest, GrantAndDeadlineAtTheSameTimeLoseNoUnits) {
  Semaphore semaphore(0);
  Start(&semaphore, 1, In(absl::Seconds(1)), 1);
  executor_.AddTimer(executor_.clock().Now() + absl::Seconds(1), [&] { semaphore.Release(1); });
  executor_.RunFor(absl::Seconds(2));
  EXPECT_EQ(granted_.size() + failed_.size(), 1u);
  EXPECT_EQ(semaphore.available(), granted_.empty() ? 1 : 0);
}

TEST_P(SemaphoreTest, BreakFailsWaitersPresentAndFuture) {
  Semaphore semaphore(0);
  Start(&semaphore, 1, In(absl::Seconds(1)), 1);
  executor_.Run(Break(&semaphore));
  executor_.RunUntilIdle();
  Start(&semaphore, 1, Deadline::Infinite(), 2);
  EXPECT_FALSE(semaphore.TryAcquire(0));
  EXPECT_THAT(failed_, ElementsAre(std::pair(1, absl::StatusCode::kCancelled),
                                   std::pair(2, absl::StatusCode::kCancelled)));
}

TEST_P(SemaphoreTest, ShrinkMakesLaterReleasesPayFirst) {
  Semaphore semaphore(1);
  ASSERT_TRUE(semaphore.TryAcquire(1));
  semaphore.Shrink(1);
  EXPECT_EQ(semaphore.available(), -1);
  executor_.Run(Release(&semaphore, 1));
  EXPECT_FALSE(semaphore.TryAcquire(1));
  executor_.Run(Release(&semaphore, 1));
  EXPECT_TRUE(semaphore.TryAcquire(1));
}

}  // namespace
}  // namespace cairn
