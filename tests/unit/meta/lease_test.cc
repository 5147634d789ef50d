// The lease table on a clock that only the test moves.
#include "server/meta/lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/sim/sim_clock.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LeaseTableTest : public ::testing::Test {
 protected:
  // Time passes in a table that is looked at as often as it wants to be.
  void Pass(absl::Duration duration) {
    for (; duration > absl::ZeroDuration(); duration -= table_.look_interval()) {
      clock_.Advance(std::min(duration, table_.look_interval()));
      (void)table_.Expired(0);
    }
  }
  SimClock clock_;
  LeaseTable table_{clock_, absl::Seconds(60)};
};

TEST_F(LeaseTableTest, RunsOutAfterItsTtl) {
  table_.Grant(LeaseId(1));
  Pass(absl::Seconds(59));
  EXPECT_THAT(table_.Expired(10), IsEmpty());
  Pass(absl::Seconds(1));
  EXPECT_THAT(table_.Expired(10), ElementsAre(LeaseId(1)));
}

TEST_F(LeaseTableTest, RenewalGivesAFullTtl) {
  table_.Grant(LeaseId(1));
  table_.Grant(LeaseId(2));
  Pass(absl::Seconds(40));
  EXPECT_TRUE(table_.Renew(LeaseId(1)));
  Pass(absl::Seconds(40));
  EXPECT_THAT(table_.Expired(10), ElementsAre(LeaseId(2)));
  EXPECT_TRUE(table_.Renew(LeaseId(1)));
}

TEST_F(LeaseTableTest, WhatHasRunOutCannotBeRevived) {
  table_.Grant(LeaseId(1));
  Pass(absl::Seconds(60));
  EXPECT_FALSE(table_.IsLive(LeaseId(1)));
  EXPECT_FALSE(table_.Renew(LeaseId(1)));
  table_.Grant(LeaseId(1));
  EXPECT_FALSE(table_.Renew(LeaseId(1)));
  EXPECT_THAT(table_.Expired(10), ElementsAre(LeaseId(1)));
}

TEST_F(LeaseTableTest, EndedAndUnknownLeasesAreNotRenewed) {
  table_.Grant(LeaseId(1));
  table_.End(LeaseId(1));
  EXPECT_FALSE(table_.Renew(LeaseId(1)));
  EXPECT_FALSE(table_.Renew(LeaseId(2)));
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(LeaseTableTest, NamesAtMostTheLimitAndForgetsTheEnded) {
  for (uint64_t i = 1; i <= 5; ++i) table_.Grant(LeaseId(i));
  Pass(absl::Seconds(60));
  EXPECT_THAT(table_.Expired(2), ElementsAre(LeaseId(1), LeaseId(2)));
  table_.End(LeaseId(1));
  EXPECT_THAT(table_.Expired(2), ElementsAre(LeaseId(2), LeaseId(3)));
}

TEST_F(LeaseTableTest, AFrozenOwnerTakesNoTimeFromLeases) {
  table_.Grant(LeaseId(1));
  Pass(absl::Seconds(30));
  clock_.Advance(absl::Hours(1));
  EXPECT_THAT(table_.Expired(10), IsEmpty());
  Pass(absl::Seconds(29));
  EXPECT_THAT(table_.Expired(10), IsEmpty());
  // What was granted after the gap gets no more than its due.
  clock_.Advance(absl::Hours(1));
  table_.Grant(LeaseId(2));
  Pass(absl::Seconds(1));
  EXPECT_THAT(table_.Expired(10), ElementsAre(LeaseId(1)));
  Pass(absl::Seconds(59));
  EXPECT_THAT(table_.Expired(10), ElementsAre(LeaseId(1), LeaseId(2)));
}

TEST_F(LeaseTableTest, ALateRenewalCountsUntilTheEndIsDecided) {
  table_.Grant(LeaseId(1));
  Pass(absl::Seconds(55));
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(table_.Renew(LeaseId(1)));
  Pass(absl::Seconds(59));
  EXPECT_THAT(table_.Expired(10), IsEmpty());
}

TEST_F(LeaseTableTest, StepsOfTheWallClockEndNothing) {
  table_.Grant(LeaseId(1));
  clock_.StepWall(absl::Hours(24));
  EXPECT_THAT(table_.Expired(10), IsEmpty());
  clock_.StepWall(-absl::Hours(48));
  EXPECT_TRUE(table_.Renew(LeaseId(1)));
}

// Fragments of a lease that has run out are its own until what it left behind is queued.
TEST_F(LeaseTableTest, KnownUntilItsEndHasBeenApplied) {
  EXPECT_FALSE(table_.IsKnown(LeaseId(1)));
  table_.Grant(LeaseId(1));
  EXPECT_TRUE(table_.IsKnown(LeaseId(1)));
  EXPECT_FALSE(table_.IsKnown(LeaseId(2)));
  Pass(absl::Seconds(60));
  EXPECT_FALSE(table_.IsLive(LeaseId(1)));
  EXPECT_TRUE(table_.IsKnown(LeaseId(1)));
  EXPECT_THAT(table_.Expired(10), ElementsAre(LeaseId(1)));
  EXPECT_TRUE(table_.IsKnown(LeaseId(1))) << "named, and not ended";
  table_.End(LeaseId(1));
  EXPECT_FALSE(table_.IsKnown(LeaseId(1)));
}

TEST_F(LeaseTableTest, ALeaseThatEndsAliveIsNotKnownAnyMore) {
  table_.Grant(LeaseId(1));
  table_.End(LeaseId(1));
  EXPECT_FALSE(table_.IsKnown(LeaseId(1)));
}

TEST_F(LeaseTableTest, AnyBelowLooksAtAllThatAreKnown) {
  EXPECT_FALSE(table_.AnyBelow(LeaseId(100)));
  table_.Grant(LeaseId(5));
  table_.Grant(LeaseId(3));
  EXPECT_TRUE(table_.AnyBelow(LeaseId(4)));
  EXPECT_FALSE(table_.AnyBelow(LeaseId(3))) << "below, not up to";
  table_.End(LeaseId(3));
  EXPECT_FALSE(table_.AnyBelow(LeaseId(5)));
  EXPECT_TRUE(table_.AnyBelow(LeaseId(6)));
}

TEST_F(LeaseTableTest, AnyBelowCountsWhatHasRunOutUntilItsEnd) {
  table_.Grant(LeaseId(3));
  Pass(absl::Seconds(30));
  table_.Grant(LeaseId(7));
  Pass(absl::Seconds(30));
  ASSERT_THAT(table_.Expired(10), ElementsAre(LeaseId(3)));
  EXPECT_TRUE(table_.AnyBelow(LeaseId(4)));
  EXPECT_FALSE(table_.AnyBelow(LeaseId(3)));
  table_.End(LeaseId(3));
  EXPECT_FALSE(table_.AnyBelow(LeaseId(7)));
  EXPECT_TRUE(table_.AnyBelow(LeaseId(8)));
}

// The order of renewal is not that of the ids.
TEST_F(LeaseTableTest, AnyBelowFindsARenewedOne) {
  for (uint64_t lease : {2, 8, 9}) table_.Grant(LeaseId(lease));
  EXPECT_TRUE(table_.Renew(LeaseId(2)));
  EXPECT_TRUE(table_.AnyBelow(LeaseId(3)));
}

}  // namespace
}  // namespace cairn
