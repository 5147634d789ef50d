// Goal: everything that is wrong with what is referred to is found under its name, and what is only
// unknown is not. Method: one stripe with all in its place, and one thing changed.

#include "server/repair/storage_compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/crc32c.h"
#include "tests/unit/repair/compare_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(StorageCompareTest, AllInItsPlaceIsNoDifference) {
  Store(*group_);
  Store(*pair_, 12345, kStripe + 1);
  EXPECT_THAT(Compare(), IsEmpty());
}

// --- what is wrong with a fragment

TEST_F(StorageCompareTest, MissingFragmentIsNamedWithWhatItsRepairTakes) {
  Store(*group_);
  Lose({2});
  const Differences found = Compare();
  ASSERT_THAT(found, ElementsAre(Missing(2)));
  EXPECT_EQ(found[0].stripe_length_bytes, kWhole);
  EXPECT_THAT(found[0].elsewhere, IsEmpty());
}

TEST_F(StorageCompareTest, StripeThatNobodyHoldsMissesAllAndIsLost) {
  Refer(kStripe, kWhole, kGroup);
  EXPECT_THAT(Compare(), ElementsAre(Missing(0), Missing(1), Missing(2), Missing(3), Missing(4),
                                     Missing(5), Lost()));
}

TEST_F(StorageCompareTest, DamagedFragmentIsNamed) {
  Store(*group_);
  At(1, 2).damaged = true;
  // Of a damaged record the length is not known.
  At(4, 5).damaged = true;
  At(4, 5).length_bytes = 0;
  EXPECT_THAT(Compare(),
              ElementsAre(Of(wire::FRAGMENT_DAMAGED, 1, 2), Of(wire::FRAGMENT_DAMAGED, 4, 5)));
}

TEST_F(StorageCompareTest, FragmentOfAnotherLengthIsNamed) {
  Store(*group_, kWhole - 5);
  At(0, 1).length_bytes -= 1;
  At(3, 4).length_bytes += 5;
  EXPECT_THAT(Compare(), ElementsAre(Of(wire::FRAGMENT_WRONG_LENGTH, 0, 1),
                                     Of(wire::FRAGMENT_WRONG_LENGTH, 3, 4)));
}

TEST_F(StorageCompareTest, OneMoreThanMayBeLostIsALostStripe) {
  Store(*group_);
  Lose({0, 5});
  EXPECT_THAT(Compare(), ElementsAre(Missing(0), Missing(5)));
  At(2, 3).damaged = true;
  EXPECT_THAT(Compare(),
              ElementsAre(Missing(0), Missing(5), Of(wire::FRAGMENT_DAMAGED, 2, 3), Lost()));
  At(2, 3).damaged = false;
  At(2, 3).length_bytes = 1;
  EXPECT_THAT(Compare(),
              ElementsAre(Missing(0), Missing(5), Of(wire::FRAGMENT_WRONG_LENGTH, 2, 3), Lost()));
}

TEST_F(StorageCompareTest, ReplicatedStripeIsLostWithItsLastCopy) {
  Store(*pair_);
  Lose({0});
  EXPECT_THAT(Compare(), ElementsAre(Of(wire::FRAGMENT_MISSING, 0, 1, kStripe, kPair)));
  Lose({1});
  EXPECT_THAT(Compare(),
              ElementsAre(Of(wire::FRAGMENT_MISSING, 0, 1, kStripe, kPair),
                          Of(wire::FRAGMENT_MISSING, 1, 2, kStripe, kPair), Lost(kPair)));
}

// --- short stripes

TEST_F(StorageCompareTest, EmptyDataFragmentsOfAShortStripeAreNotMissed) {
  Store(*group_, 100);
  EXPECT_EQ(held_.by_stripe[kStripe].size(), 3u) << "one of data, two of parity";
  EXPECT_THAT(Compare(), IsEmpty());
  Store(*group_, kBlockBytes + 1, kStripe + 1);
  EXPECT_EQ(held_.by_stripe[kStripe + 1].size(), 4u);
  EXPECT_THAT(Compare(), IsEmpty());
}

TEST_F(StorageCompareTest, WhatIsHeldAsAnEmptyDataFragmentIsAnOrphan) {
  Store(*group_, 100);
  Hold(1, 2, 100);
  EXPECT_THAT(Compare(), ElementsAre(Orphan(1, 2)));
}

TEST_F(StorageCompareTest, EmptyDataFragmentsCountAsThere) {
  Store(*group_, 100);
  Lose({0, 4});
  EXPECT_THAT(Compare(), ElementsAre(Missing(0), Missing(4)));
  Lose({5});
  EXPECT_THAT(Compare(), ElementsAre(Missing(0), Missing(4), Missing(5), Lost()));
}

// --- what is not known

TEST_F(StorageCompareTest, WhatAnUnreachableTargetLacksIsNotMissing) {
  Store(*group_);
  Lose({0, 1, 2});
  held_.unreachable = {1, 2, 3};
  EXPECT_THAT(Compare(), IsEmpty());
}

TEST_F(StorageCompareTest, StripeIsLostOnlyIfTheUnreachableCannotSaveIt) {
  Store(*group_);
  Lose({0, 1, 2});
  held_.unreachable = {1};
  EXPECT_THAT(Compare(), ElementsAre(Missing(1), Missing(2)));
  Lose({3});
  EXPECT_THAT(Compare(), ElementsAre(Missing(1), Missing(2), Missing(3), Lost()));
}

// --- groups

TEST_F(StorageCompareTest, StripeOfAGroupThatCannotBeReadIsNamedAndItsFragmentsStay) {
  AddGroup(8, "lrc:12+2+2", {1, 2, 3});
  AddGroup(9, "ec:4+2", {1, 2, 3});
  for (const uint32_t group : {7, 8, 9}) {
    Refer(kStripe + group, kWhole, group);
    Hold(0, 1, kFragment, kStripe + group);
  }
  EXPECT_THAT(Compare(), ElementsAre(Of(wire::GROUP_UNKNOWN, 0, 0, kStripe + 7, 7),
                                     Of(wire::GROUP_UNKNOWN, 0, 0, kStripe + 8, 8),
                                     Of(wire::GROUP_UNKNOWN, 0, 0, kStripe + 9, 9)));
}

TEST_F(StorageCompareTest, GroupsOfARunTakeTurns) {
  page_.parts = {
      {kStripe, 4, static_cast<uint32_t>(kWhole), 4 * kWhole, {kPair, 77}, {kStripe + 1, 2}}};
  EXPECT_THAT(Compare(), ElementsAre(Of(wire::GROUP_UNKNOWN, 0, 0, kStripe + 1, 77),
                                     Of(wire::FRAGMENT_MISSING, 0, 1, kStripe + 2, kPair),
                                     Of(wire::FRAGMENT_MISSING, 1, 2, kStripe + 2, kPair),
                                     Of(wire::STRIPE_LOST, 0, 0, kStripe + 2, kPair)));
}

// From before there was a choice.
TEST_F(StorageCompareTest, GroupThatSaysNoRedundancyHasOneCopy) {
  AddGroup(8, "", {4});
  Refer(kStripe, kWhole, 8);
  Hold(0, 4, kWhole);
  EXPECT_THAT(Compare(), IsEmpty());
  Hold(1, 5, kWhole);
  EXPECT_THAT(Compare(), ElementsAre(Of(wire::FRAGMENT_ORPHAN, 1, 5, kStripe, 8)));
}

// --- order and equality, by which what is found twice is told from what is found once

TEST_F(StorageCompareTest, DifferencesAreInOrderWhateverTheirKind) {
  Hold(0, 9, 1, kStripe + 3);
  Hold(0, 8, 1, kStripe - 3);
  Refer(kStripe + 4, kWhole, 77);
  Store(*group_, kWhole, kStripe - 1);
  Store(*group_);
  Lose({4, 2});
  Hold(0, 9);
  const Differences found = Compare();
  EXPECT_THAT(found, ElementsAre(Unreferred(kStripe - 3, 0, 8), Missing(2), Missing(4),
                                 Orphan(0, 9), Unreferred(kStripe + 3, 0, 9),
                                 Of(wire::GROUP_UNKNOWN, 0, 0, kStripe + 4, 77)));
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
}

TEST_F(StorageCompareTest, WhatARepairTakesIsNoPartOfWhatADifferenceIs) {
  const StorageDifference base = Of(wire::FRAGMENT_MISSING, 1, 2);
  StorageDifference other = base;
  other.stripe_length_bytes = 7;
  other.elsewhere = {9};
  EXPECT_EQ(base, other);
  EXPECT_EQ(base <=> other, std::strong_ordering::equal);
  for (const StorageDifference& greater :
       {Of(wire::FRAGMENT_DAMAGED, 1, 2), Of(wire::FRAGMENT_MISSING, 2, 2),
        Of(wire::FRAGMENT_MISSING, 1, 3), Of(wire::FRAGMENT_MISSING, 1, 2, kStripe + 1),
        Of(wire::FRAGMENT_MISSING, 1, 2, kStripe, kGroup + 1)}) {
    EXPECT_NE(greater, base);
    EXPECT_LT(base, greater);
  }
}

}  // namespace
}  // namespace cairn
