// Goal: what a target says it holds is what is sealed there, damaged records included, and what is
// restored is no writer's. Method: one target on a simulated disk and store.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/chunk/target_world.h"

namespace cairn {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;

class TargetHeldTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(w_.Open().ok()); }
  void Put(uint64_t stripe, uint64_t length, uint64_t lease = 1) {
    ASSERT_TRUE(w_.Write(stripe, length, lease).ok());
    ASSERT_TRUE(w_.SealAll({Stripes(stripe)}, lease).ok());
  }
  void DamageRecord(uint64_t stripe) {
    const std::string key = EncodeFragmentKey(Key(stripe));
    std::string record = w_.store.family(0).at(key);
    record.back() ^= 1;
    w_.store.Overwrite(0, key, std::move(record));
  }
  std::vector<HeldFragment> List(FragmentKey from, uint64_t end, size_t limit = 100) {
    auto held = w_.executor.Run(w_.target->ListHeld(from, StripeId(end), limit));
    EXPECT_TRUE(held.ok()) << held.status();
    return *std::move(held);
  }
  std::vector<HeldFragment> Find(std::vector<FragmentKey> keys) {
    auto held = w_.executor.Run(w_.target->FindHeld(std::move(keys)));
    EXPECT_TRUE(held.ok()) << held.status();
    return *std::move(held);
  }
  TargetWorld w_;
};

auto Intact(uint64_t stripe, uint32_t length, LeaseId lease = LeaseId(1)) {
  return AllOf(Field(&HeldFragment::key, Key(stripe)), Field(&HeldFragment::lease, lease),
               Field(&HeldFragment::length_bytes, length), Field(&HeldFragment::damaged, false));
}
// Nothing but the key is known.
auto Damaged(uint64_t stripe) {
  return AllOf(Field(&HeldFragment::key, Key(stripe)), Field(&HeldFragment::lease, LeaseId()),
               Field(&HeldFragment::length_bytes, 0u), Field(&HeldFragment::damaged, true));
}

TEST_F(TargetHeldTest, ListTellsOfWhatIsSealedInTheOrderOfKeys) {
  Put(30, 5000);
  Put(10, 70'000, 8);
  Put(20, 1);
  ASSERT_TRUE(w_.Write(15, 5000).ok());
  EXPECT_THAT(List(Key(0), 1000),
              ElementsAre(Intact(10, 70'000, LeaseId(8)), Intact(20, 1), Intact(30, 5000)));
  ASSERT_TRUE(w_.CrashAndOpen(1).ok());
  EXPECT_EQ(List(Key(0), 1000).size(), 3u);
}

TEST_F(TargetHeldTest, ListIsPagedAndEndsWhereAsked) {
  for (uint64_t stripe : {10, 20, 30, 40}) Put(stripe, 5000);
  EXPECT_THAT(List(Key(0), 1000, 2), ElementsAre(Intact(10, 5000), Intact(20, 5000)));
  EXPECT_THAT(List(Key(20, 1), 1000, 2), ElementsAre(Intact(30, 5000), Intact(40, 5000)));
  EXPECT_THAT(List(Key(20), 40), ElementsAre(Intact(20, 5000), Intact(30, 5000)));
  EXPECT_THAT(List(Key(11), 20), IsEmpty());
  EXPECT_THAT(List(Key(0), 1000, 0), IsEmpty());
  EXPECT_EQ(List(Key(0), UINT64_MAX).size(), 4u);
}

TEST_F(TargetHeldTest, DamagedRecordIsListedWithTheOthers) {
  for (uint64_t stripe : {1, 2, 3}) Put(stripe, 5000);
  DamageRecord(2);
  EXPECT_THAT(List(Key(0), 10), ElementsAre(Intact(1, 5000), Damaged(2), Intact(3, 5000)));
  EXPECT_TRUE(w_.target->failure().ok());
}

TEST_F(TargetHeldTest, FindTellsOfThoseThatAreSealedAndLeavesOutTheOthers) {
  for (uint64_t stripe : {1, 2, 3}) Put(stripe, 1000 * stripe);
  ASSERT_TRUE(w_.Write(4, 5000).ok());
  EXPECT_THAT(Find({Key(3), Key(1), Key(2, 1), Key(4), Key(77)}),
              ElementsAre(Intact(3, 3000), Intact(1, 1000)));
  EXPECT_THAT(Find({}), IsEmpty());
  ASSERT_TRUE(w_.Free({Stripes(1)}).ok());
  EXPECT_THAT(Find({Key(1)}), IsEmpty());
}

TEST_F(TargetHeldTest, FindTellsOfADamagedRecordAndGoesOn) {
  for (uint64_t stripe : {1, 2}) Put(stripe, 5000);
  DamageRecord(1);
  EXPECT_THAT(Find({Key(1), Key(2)}), ElementsAre(Damaged(1), Intact(2, 5000)));
  EXPECT_TRUE(w_.target->failure().ok());
}

TEST_F(TargetHeldTest, IndexThatCannotBeReadIsAnErrorAndNotAnEmptyAnswer) {
  Put(1, 5000);
  w_.store.FailNextGet(absl::InternalError("planted"));
  const auto found = w_.executor.Run(w_.target->FindHeld({Key(1)}));
  EXPECT_TRUE(absl::IsFailedPrecondition(found.status())) << found.status();
}

TEST_F(TargetHeldTest, FailedTargetSaysNothingOfWhatItHolds) {
  Put(1, 5000);
  ASSERT_TRUE(w_.Write(2, 5000).ok());
  w_.disk.FailNext(SimDisk::Kind::kFlush, absl::DataLossError("planted"));
  ASSERT_FALSE(w_.SealAll({Stripes(2)}).ok());
  const auto listed = w_.executor.Run(w_.target->ListHeld(Key(0), StripeId(10), 10));
  EXPECT_TRUE(absl::IsFailedPrecondition(listed.status())) << listed.status();
  const auto found = w_.executor.Run(w_.target->FindHeld({Key(1)}));
  EXPECT_TRUE(absl::IsFailedPrecondition(found.status())) << found.status();
}

// --- what is restored

// Whoever looks for leases that have ended would ask for this one, which was never granted, and
// have what is being restored dropped.
TEST_F(TargetHeldTest, WhatIsBeingRestoredIsNoPendingLeases) {
  const uint64_t restore = kRestoreLease.value();
  ASSERT_TRUE(w_.Write(1, 5000, restore).ok());
  EXPECT_THAT(w_.target->PendingLeases(), IsEmpty());
  EXPECT_EQ(w_.target->usage().pending_fragments, 1u);
  ASSERT_TRUE(w_.Write(2, 5000, 8).ok());
  EXPECT_THAT(w_.target->PendingLeases(), ElementsAre(LeaseId(8)));
  w_.target->DropLease(LeaseId(8));
  EXPECT_EQ(w_.target->usage().pending_fragments, 1u);
}

TEST_F(TargetHeldTest, WhatIsRestoredIsSealedAndReadAsAnyFragment) {
  const uint64_t restore = kRestoreLease.value();
  ASSERT_TRUE(w_.Write(1, 5000, restore).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1)}, restore).ok());
  ASSERT_TRUE(w_.CrashAndOpen(1).ok());
  EXPECT_EQ(w_.ReadAll(1, 5000), absl::OkStatus());
  EXPECT_THAT(Find({Key(1)}), ElementsAre(Intact(1, 5000, kRestoreLease)));
}

TEST_F(TargetHeldTest, WhatIsDiscardedInTheMiddleOfARestoreIsGone) {
  ASSERT_TRUE(w_.Write(1, 5000, kRestoreLease.value()).ok());
  w_.target->Discard({Stripes(1)});
  EXPECT_EQ(w_.target->usage().pending, 0u);
  EXPECT_THAT(*w_.Seal({Stripes(1)}, kRestoreLease.value()), ElementsAre(StripeId(1)));
}

}  // namespace
}  // namespace cairn
