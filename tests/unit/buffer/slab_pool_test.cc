// Goal: a server never hands out more slabs than it has, in the order in which they were asked for,
// and gets each of them back exactly once. Method: the pool on the simulated executor with several
// seeds, because waiters are posted and the order in which they run must not matter.
#include "common/buffer/slab_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "tests/sim/sim_executor.h"

namespace cairn {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The least the pool takes: what is tested does not depend on the size.
constexpr size_t kSmall = 4 * kKiB;

std::unique_ptr<SlabPool> MakePool(size_t slab_bytes, size_t slab_count) {
  auto made = SlabPool::Create({.slab_bytes = slab_bytes, .slab_count = slab_count});
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

Task<void> Drop(Slab* slab) {
  const Slab dropped = std::move(*slab);
  co_return;
}

class SlabPoolTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  static constexpr size_t kSlabs = 2;

  Deadline In(absl::Duration duration) { return Deadline::After(executor_.clock(), duration); }
  static Task<void> Take(SlabPoolTest* test, Deadline deadline, int id) {
    absl::StatusOr<Slab> slab = co_await test->pool_->Acquire(deadline);
    if (slab.ok()) {
      test->granted_.push_back(id);
      test->held_.push_back(*std::move(slab));
    } else {
      test->failed_.emplace_back(id, slab.status().code());
    }
  }
  // Asks for a slab and lets the asker queue up.
  void Start(Deadline deadline, int id) {
    executor_.Spawn(Take(this, deadline, id));
    executor_.RunUntilIdle();
  }
  // Gives back what was granted first.
  void ReturnOne() {
    Slab first = std::move(held_.front());
    held_.erase(held_.begin());
    executor_.Run(Drop(&first));
    executor_.RunUntilIdle();
  }
  // Takes all slabs, as asker 0.
  void Exhaust() {
    for (size_t i = 0; i < kSlabs; ++i) Start(Deadline::Infinite(), 0);
    ASSERT_EQ(held_.size(), kSlabs);
    granted_.clear();
  }

  SimExecutor executor_{GetParam()};
  std::unique_ptr<SlabPool> pool_ = MakePool(kSmall, kSlabs);
  // After the pool, which wants all of them back.
  std::vector<Slab> held_;
  std::vector<int> granted_;
  std::vector<std::pair<int, absl::StatusCode>> failed_;
};
INSTANTIATE_TEST_SUITE_P(Seeds, SlabPoolTest, ::testing::Range<uint64_t>(1, 20));

TEST_P(SlabPoolTest, ExhaustedPoolMakesTheNextAskerWaitForAReturn) {
  Exhaust();
  EXPECT_EQ(pool_->free_slabs(), 0u);
  Start(Deadline::Infinite(), 1);
  EXPECT_THAT(granted_, IsEmpty());
  const std::byte* const returned = held_.front().bytes().data();
  ReturnOne();
  EXPECT_THAT(granted_, ElementsAre(1));
  EXPECT_EQ(held_.back().bytes().data(), returned);
  EXPECT_EQ(pool_->free_slabs(), 0u);
  EXPECT_THAT(failed_, IsEmpty());
}

TEST_P(SlabPoolTest, WaitersAreServedInTheOrderInWhichTheyAsked) {
  Exhaust();
  for (int id = 1; id <= 5; ++id) Start(Deadline::Infinite(), id);
  for (int id = 1; id <= 5; ++id) {
    ReturnOne();
    EXPECT_EQ(granted_.size(), static_cast<size_t>(id));
  }
  EXPECT_THAT(granted_, ElementsAre(1, 2, 3, 4, 5));
}

// The newcomer finds a free slab that already belongs to someone who has not run yet.
TEST_P(SlabPoolTest, NewcomerDoesNotOvertakeAWaiterWhoseSlabHasJustComeBack) {
  Exhaust();
  Start(Deadline::Infinite(), 1);
  Slab first = std::move(held_.front());
  held_.erase(held_.begin());
  executor_.Run(Drop(&first));
  Start(Deadline::Infinite(), 2);
  EXPECT_THAT(granted_, ElementsAre(1));
  ReturnOne();
  EXPECT_THAT(granted_, ElementsAre(1, 2));
}

TEST_P(SlabPoolTest, PassedDeadlineTakesNoSlabAndNoTurn) {
  Exhaust();
  Start(In(absl::Seconds(1)), 1);
  Start(In(absl::Seconds(9)), 2);
  executor_.RunFor(absl::Seconds(2));
  EXPECT_THAT(failed_, ElementsAre(std::pair(1, absl::StatusCode::kDeadlineExceeded)));
  EXPECT_THAT(granted_, IsEmpty());
  ReturnOne();
  EXPECT_THAT(granted_, ElementsAre(2));
  ReturnOne();
  EXPECT_EQ(pool_->free_slabs(), 1u);
}

TEST_P(SlabPoolTest, ReturnAndDeadlineAtTheSameTimeLoseNoSlab) {
  Exhaust();
  Start(In(absl::Seconds(1)), 1);
  executor_.AddTimer(executor_.clock().Now() + absl::Seconds(1), [this] { held_.pop_back(); });
  executor_.RunFor(absl::Seconds(2));
  EXPECT_EQ(granted_.size() + failed_.size(), 1u);
  EXPECT_EQ(pool_->free_slabs() + held_.size(), kSlabs);
  // What is free can be had.
  if (pool_->free_slabs() == 1) Start(In(absl::Seconds(1)), 2);
  EXPECT_EQ(pool_->free_slabs(), 0u);
  EXPECT_EQ(held_.size(), kSlabs);
}

TEST_P(SlabPoolTest, BrokenPoolFailsWaitersPresentAndFutureAndTakesSlabsBack) {
  Exhaust();
  Start(In(absl::Seconds(1)), 1);
  struct Breaking {
    static Task<void> Run(SlabPool* pool) {
      pool->Break();
      co_return;
    }
  };
  executor_.Run(Breaking::Run(pool_.get()));
  executor_.RunUntilIdle();
  Start(Deadline::Infinite(), 2);
  EXPECT_THAT(failed_, ElementsAre(std::pair(1, absl::StatusCode::kCancelled),
                                   std::pair(2, absl::StatusCode::kCancelled)));
  ReturnOne();
  ReturnOne();
  EXPECT_EQ(pool_->free_slabs(), kSlabs);
}

Slab MustAcquire(SimExecutor& executor, SlabPool& pool) {
  auto slab = executor.Run(pool.Acquire(Deadline::Infinite()));
  EXPECT_TRUE(slab.ok()) << slab.status();
  return *std::move(slab);
}

TEST(Slab, IsReturnedOnceByItsLastHolder) {
  SimExecutor executor(1);
  const auto pool = MakePool(kSmall, 3);
  {
    Slab first = MustAcquire(executor, *pool);
    EXPECT_TRUE(first);
    const std::byte* const begin = first.bytes().data();
    Slab second(std::move(first));
    EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): emptiness is what is promised
    EXPECT_EQ(second.bytes().data(), begin);
    EXPECT_EQ(pool->free_slabs(), 2u);
    Slab third;
    EXPECT_FALSE(third);
    third = std::move(second);
    EXPECT_FALSE(second);  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(third.bytes().data(), begin);
    EXPECT_EQ(pool->free_slabs(), 2u);
  }
  EXPECT_EQ(pool->free_slabs(), 3u);
}

TEST(Slab, AssignmentReturnsTheSlabHeldBefore) {
  SimExecutor executor(1);
  const auto pool = MakePool(kSmall, 3);
  Slab kept = MustAcquire(executor, *pool);
  Slab other = MustAcquire(executor, *pool);
  const std::byte* const begin = other.bytes().data();
  EXPECT_EQ(pool->free_slabs(), 1u);
  kept = std::move(other);
  EXPECT_EQ(pool->free_slabs(), 2u);
  EXPECT_EQ(kept.bytes().data(), begin);
  Slab& itself = kept;
  kept = std::move(itself);
  EXPECT_TRUE(kept);
  EXPECT_EQ(pool->free_slabs(), 2u);
  kept = Slab();
  EXPECT_EQ(pool->free_slabs(), 3u);
}

// The NIC and the disk work on a slab by its address: O_DIRECT wants pages, huge pages their own.
TEST(SlabPool, SlabsAreDisjointAlignedPartsOfOneRange) {
  SimExecutor executor(1);
  for (const size_t slab_bytes : {kSmall, size_t{12 * kKiB}, size_t{2 * kMiB}}) {
    const auto pool = MakePool(slab_bytes, 5);
    EXPECT_EQ(pool->slab_bytes(), slab_bytes);
    EXPECT_EQ(pool->slab_count(), 5u);
    EXPECT_EQ(pool->memory().size(), 5 * slab_bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pool->memory().data()) % (2 * kMiB), 0u);
    std::vector<Slab> slabs;
    std::vector<std::ptrdiff_t> offsets;
    for (int i = 0; i < 5; ++i) {
      slabs.push_back(MustAcquire(executor, *pool));
      const MutableBytes bytes = slabs.back().bytes();
      EXPECT_EQ(bytes.size(), slab_bytes);
      offsets.push_back(bytes.data() - pool->memory().data());
      std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>('a' + i));
    }
    std::sort(offsets.begin(), offsets.end());
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(offsets[i], static_cast<std::ptrdiff_t>(i * slab_bytes));
    }
    // Nobody wrote into another's.
    for (int i = 0; i < 5; ++i) {
      const MutableBytes bytes = slabs[static_cast<size_t>(i)].bytes();
      EXPECT_EQ(std::count(bytes.begin(), bytes.end(), static_cast<std::byte>('a' + i)),
                static_cast<std::ptrdiff_t>(slab_bytes));
    }
  }
}

// A lightly loaded server stays in a few slabs that its caches hold.
TEST(SlabPool, SlabThatCameBackIsTheNextToBeTaken) {
  SimExecutor executor(1);
  const auto pool = MakePool(kSmall, 8);
  const std::byte* first = nullptr;
  for (int i = 0; i < 3; ++i) {
    const Slab slab = MustAcquire(executor, *pool);
    if (i == 0) first = slab.bytes().data();
    EXPECT_EQ(slab.bytes().data(), first);
  }
}

// A server short of memory fails when it starts, not in the middle of a save.
TEST(SlabPool, MemoryIsPresentFromTheStart) {
  const auto pool = MakePool(64 * kKiB, 16);
  const MutableBytes memory = pool->memory();
  std::vector<unsigned char> present(memory.size() / kSmall);
  ASSERT_EQ(mincore(memory.data(), memory.size(), present.data()), 0);
  for (unsigned char& page : present) page &= 1;  // the other bits mean nothing
  EXPECT_THAT(present, Each(1));
}

TEST(SlabPool, SizesThatCannotBeServedAreRefused) {
  const SlabPool::Options wrong[] = {
      {.slab_bytes = 0, .slab_count = 1},
      {.slab_bytes = kSmall, .slab_count = 0},
      {.slab_bytes = kSmall - 1, .slab_count = 1},
      {.slab_bytes = kSmall + 512, .slab_count = 1},
      {.slab_bytes = kSmall, .slab_count = SIZE_MAX / kSmall},
      {.slab_bytes = size_t{1} << 62, .slab_count = 4},  // the product wraps around to zero
  };
  for (const SlabPool::Options& options : wrong) {
    const auto made = SlabPool::Create(options);
    EXPECT_TRUE(absl::IsInvalidArgument(made.status()))
        << options.slab_bytes << " * " << options.slab_count << ": " << made.status();
  }
  // A number, but more than any address space holds.
  EXPECT_FALSE(SlabPool::Create({.slab_bytes = size_t{1} << 62, .slab_count = 1}).ok());
}

TEST(SlabPoolDeathTest, PoolThatGoesBeforeItsSlabsStopsTheProcess) {
  EXPECT_DEATH(
      {
        SimExecutor executor(1);
        auto pool = MakePool(kSmall, 1);
        const Slab outlives = MustAcquire(executor, *pool);
        pool.reset();
      },
      "");
}

}  // namespace
}  // namespace cairn
