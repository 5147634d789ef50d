// Goal: what is held somewhere else than where it belongs is an orphan only when nobody needs it,
// and is at hand when somebody does; the same goes for what nothing refers to. Method: one stripe
// with all in its place, and fragments added, moved and taken away.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/repair/compare_fixture.h"

namespace cairn {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// --- moves

TEST_F(StorageCompareTest, CopiesOfAMoveAreNoOrphans) {
  Store(*group_);
  Move(0, 1, 7);
  EXPECT_THAT(Compare(), IsEmpty()) << "nothing is copied yet";
  Hold(0, 7);
  EXPECT_THAT(Compare(), IsEmpty());
}

TEST_F(StorageCompareTest, MemberThatIsBeingReplacedStillMissesWhatItLacks) {
  Store(*group_);
  Move(0, 1, 7);
  Hold(0, 7);
  Lose({0});
  EXPECT_THAT(Compare(), ElementsAre(AllOf(Missing(0), Elsewhere({7}))));
}

TEST_F(StorageCompareTest, WhatTheFormerMemberHoldsIsNoOrphanWhileSettling) {
  Store(*group_);
  Settle(0, 1, 7);
  Hold(0, 7);
  EXPECT_THAT(Compare(), IsEmpty());
  group_->clear_moves();
  EXPECT_THAT(Compare(), ElementsAre(Orphan(0, 1)));
}

TEST_F(StorageCompareTest, WhatMembersBeforeTheFormerOneHoldIsNoOrphan) {
  Store(*group_);
  Settle(0, 1, 7);
  group_->mutable_moves(0)->add_former(8);
  Hold(0, 8);
  EXPECT_THAT(Compare(), IsEmpty());
  // And it counts for reading.
  Lose({0, 1, 2});
  EXPECT_THAT(Compare(), ElementsAre(Missing(1), Missing(2)));
  std::erase_if(held_.by_stripe[kStripe], [](const auto& each) { return each.target == 8; });
  EXPECT_THAT(Compare(), ElementsAre(Missing(1), Missing(2), Lost()));
  held_.unreachable.insert(8);
  EXPECT_THAT(Compare(), ElementsAre(Missing(1), Missing(2))) << "it may be there";
}

TEST_F(StorageCompareTest, MissingWhileSettlingIsLeftToRebuild) {
  Store(*group_);
  Settle(0, 1, 7);
  EXPECT_THAT(Compare(), IsEmpty());
  // The former member's counts for reading.
  Lose({1, 2});
  EXPECT_THAT(Compare(), ElementsAre(Missing(1), Missing(2)));
  Lose({0});
  EXPECT_THAT(Compare(), ElementsAre(Missing(1), Missing(2), Lost()));
}

TEST_F(StorageCompareTest, DamagedWhileSettlingIsFound) {
  Store(*group_);
  Settle(0, 1, 7);
  Hold(0, 7);
  At(0, 7).damaged = true;
  EXPECT_THAT(Compare(), ElementsAre(AllOf(Of(wire::FRAGMENT_DAMAGED, 0, 7), Elsewhere({1}))));
}

TEST_F(StorageCompareTest, MoveExcusesOnlyItsIndexAndItsTargets) {
  Store(*group_);
  Move(0, 1, 7);
  Hold(0, 8);
  Hold(3, 7);
  EXPECT_THAT(Compare(), ElementsAre(Orphan(0, 8), Orphan(3, 7)));
}

// --- what lies somewhere else

TEST_F(StorageCompareTest, MisplacedCopyIsNamedAndNoOrphanWhileItIsNeeded) {
  Store(*group_);
  Lose({1});
  Hold(1, 9);
  Hold(1, 8);
  EXPECT_THAT(Compare(), ElementsAre(AllOf(Missing(1), Elsewhere({9, 8}))));
  Hold(1, 2);
  EXPECT_THAT(Compare(), ElementsAre(Orphan(1, 8), Orphan(1, 9)));
}

TEST_F(StorageCompareTest, MisplacedCopyCountsForReading) {
  Store(*group_);
  Lose({1, 2, 3});
  Hold(2, 9);
  EXPECT_THAT(Compare(), ElementsAre(Missing(1), AllOf(Missing(2), Elsewhere({9})), Missing(3)));
}

TEST_F(StorageCompareTest, BadCopyElsewhereIsOfNoUse) {
  Store(*group_);
  Lose({0, 1, 2});
  Hold(0, 8);
  At(0, 8).damaged = true;
  Hold(1, 9, kFragment - 1);
  Hold(3, 9);  // another index
  const Differences found = Compare();
  for (const StorageDifference& each : found) EXPECT_THAT(each, Elsewhere({}));
  EXPECT_EQ(std::count(found.begin(), found.end(), Lost()), 1);
}

TEST_F(StorageCompareTest, CopyWhoseRightfulPlaceCannotBeAskedIsNoOrphan) {
  Store(*group_);
  Hold(1, 9);
  held_.unreachable = {2};
  EXPECT_THAT(Compare(), IsEmpty());
  held_.unreachable = {3};
  EXPECT_THAT(Compare(), ElementsAre(Orphan(1, 9)));
}

TEST_F(StorageCompareTest, IndexThatNoStripeOfTheGroupHasIsAnOrphan) {
  Store(*group_);
  Hold(6, 1);
  Hold(UINT32_MAX, 9);
  EXPECT_THAT(Compare(), ElementsAre(Orphan(6, 1), Orphan(UINT32_MAX, 9)));
}

// --- what nothing refers to

TEST_F(StorageCompareTest, OrphansAreOfNoKnownLeaseAndNotPending) {
  Hold(2, 9);
  EXPECT_THAT(Compare(), ElementsAre(Unreferred(kStripe, 2, 9)));
  known_ = {LeaseId(kWriter)};
  EXPECT_THAT(Compare(), IsEmpty()) << "a writer is at it";
  known_ = {LeaseId(kWriter + 1)};
  EXPECT_THAT(Compare(), ElementsAre(Unreferred(kStripe, 2, 9)));
  page_.pending = {{10, 5}, {kStripe, 1}};
  EXPECT_THAT(Compare(), IsEmpty()) << "reclaim frees it";
  page_.pending = {{kStripe - 5, 5}, {kStripe + 1, 1}};
  EXPECT_THAT(Compare(), ElementsAre(Unreferred(kStripe, 2, 9)));
}

TEST_F(StorageCompareTest, EveryFragmentOfAnOrphanStripeIsNamed) {
  for (uint32_t index : {3, 0, 5}) Hold(index, index + 1);
  At(3, 4).damaged = true;
  EXPECT_THAT(Compare(), ElementsAre(Unreferred(kStripe, 0, 1), Unreferred(kStripe, 3, 4),
                                     Unreferred(kStripe, 5, 6)));
}

TEST_F(StorageCompareTest, OnlyTheRangeIsComparedBothWays) {
  for (const uint64_t stripe : {49, 150}) {
    Hold(0, 1, kFragment, stripe);
    Refer(stripe + 1000, kWhole, kGroup);
  }
  EXPECT_THAT(Compare(), IsEmpty());
  for (const uint64_t stripe : {50, 149}) Hold(0, 1, kFragment, stripe);
  EXPECT_THAT(Compare(), ElementsAre(Unreferred(50, 0, 1), Unreferred(149, 0, 1)));
  held_.by_stripe.clear();
  // A run that begins before the range and ends after it.
  page_.parts = {{40, 200, static_cast<uint32_t>(kWhole), 200 * kWhole, {kPair}, {40, 200}}};
  const Differences found = Compare();
  EXPECT_EQ(found.size(), 100 * 3u);
  EXPECT_EQ(found.front().stripe, 50u);
  EXPECT_EQ(found.back().stripe, 149u);
}

}  // namespace
}  // namespace cairn
