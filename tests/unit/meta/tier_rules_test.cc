// Goal: a policy says of each checkpoint and file what its rules mean, and contradictions are
// refused. Method: values in, values out.
#include "server/meta/tier_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kNow = 1'000'000 * kSecond;

wire::TierPolicy Policy() {
  wire::TierPolicy policy;
  policy.set_tier("cold");
  return policy;
}

TierFacts Checkpoint(uint64_t step, uint32_t newer, uint64_t age_seconds = 100) {
  TierFacts facts;
  facts.is_checkpoint = true;
  facts.size_bytes = 1 << 20;
  facts.step = step;
  facts.newer = newer;
  facts.written_at_ns = kNow - static_cast<int64_t>(age_seconds) * kSecond;
  return facts;
}

TierFacts Copied(TierFacts facts) {
  facts.copied = true;
  return facts;
}

TEST(TierRules, CopiesAreMadeEarlyOrAtAnAge) {
  wire::TierPolicy policy = Policy();
  EXPECT_EQ(DecideTier(policy, Checkpoint(1, 0), kNow).now, wire::TIER_STEP_ARCHIVE);
  policy.set_archive_after_seconds(200);
  const TierDecision later = DecideTier(policy, Checkpoint(1, 0), kNow);
  EXPECT_EQ(later.now, wire::TIER_STEP_NONE);
  EXPECT_EQ(later.next, wire::TIER_STEP_ARCHIVE);
  EXPECT_EQ(later.next_at_ns, kNow + 100 * kSecond);
  EXPECT_EQ(DecideTier(policy, Checkpoint(1, 0), kNow + 100 * kSecond).now,
            wire::TIER_STEP_ARCHIVE);
  policy.set_min_bytes(2 << 20);
  EXPECT_EQ(DecideTier(policy, Checkpoint(1, 0, 1000), kNow).now, wire::TIER_STEP_NONE);
}

TEST(TierRules, NothingIsReleasedWithoutACopyOrARule) {
  wire::TierPolicy policy = Policy();
  policy.set_keep_hot(1);
  EXPECT_EQ(DecideTier(policy, Checkpoint(1, 5), kNow).now, wire::TIER_STEP_ARCHIVE);
  EXPECT_EQ(DecideTier(policy, Copied(Checkpoint(1, 5)), kNow).now, wire::TIER_STEP_RELEASE);
  EXPECT_EQ(DecideTier(Policy(), Copied(Checkpoint(1, 5)), kNow).now, wire::TIER_STEP_NONE);
  TierFacts file = Copied(Checkpoint(1, 0));
  file.is_checkpoint = false;
  EXPECT_EQ(DecideTier(policy, file, kNow).now, wire::TIER_STEP_NONE)
      << "of files there are no newest";
}

TEST(TierRules, TheNewestAndThePinnedStayHot) {
  wire::TierPolicy policy = Policy();
  policy.set_keep_hot(2);
  policy.set_release_after_seconds(10);
  policy.set_high_percent(80);
  policy.set_low_percent(70);
  const TierDecision newest = DecideTier(policy, Copied(Checkpoint(1, 1)), kNow);
  EXPECT_EQ(newest.now, wire::TIER_STEP_NONE);
  EXPECT_FALSE(newest.spare);
  EXPECT_THAT(newest.rule, HasSubstr("newest 2"));
  TierFacts pinned = Copied(Checkpoint(1, 9));
  pinned.pinned = true;
  EXPECT_EQ(DecideTier(policy, pinned, kNow).now, wire::TIER_STEP_NONE);
  EXPECT_FALSE(DecideTier(policy, pinned, kNow).spare);
  EXPECT_EQ(DecideTier(policy, Copied(Checkpoint(1, 2)), kNow).now, wire::TIER_STEP_RELEASE);
}

TEST(TierRules, ReleaseByAgeAndByUse) {
  wire::TierPolicy policy = Policy();
  policy.set_release_after_seconds(1000);
  policy.set_release_unread_seconds(300);
  TierFacts facts = Copied(Checkpoint(1, 3));
  facts.read_at_ns = kNow - 50 * kSecond;
  const TierDecision decision = DecideTier(policy, facts, kNow);
  EXPECT_EQ(decision.next, wire::TIER_STEP_RELEASE);
  EXPECT_EQ(decision.next_at_ns, kNow + 250 * kSecond) << "whatever comes first";
  EXPECT_EQ(DecideTier(policy, facts, kNow + 250 * kSecond).now, wire::TIER_STEP_RELEASE);
  // Fetched: it stays for a while.
  facts.hot_until_ns = kNow + 400 * kSecond;
  EXPECT_EQ(DecideTier(policy, facts, kNow + 250 * kSecond).now, wire::TIER_STEP_NONE);
  EXPECT_EQ(DecideTier(policy, facts, kNow + 400 * kSecond).now, wire::TIER_STEP_RELEASE);
}

TEST(TierRules, KeepLastHotEveryTenthForEverAndDeleteTheRest) {
  wire::TierPolicy policy = Policy();
  policy.set_keep_hot(2);
  policy.set_keep_every_steps(10);
  policy.set_delete_after_seconds(0);
  EXPECT_EQ(DecideTier(policy, Checkpoint(7, 2), kNow).now, wire::TIER_STEP_DELETE);
  EXPECT_EQ(DecideTier(policy, Checkpoint(20, 2), kNow).now, wire::TIER_STEP_ARCHIVE);
  EXPECT_EQ(DecideTier(policy, Copied(Checkpoint(20, 2)), kNow).now, wire::TIER_STEP_RELEASE);
  const TierDecision window = DecideTier(policy, Checkpoint(7, 1), kNow);
  EXPECT_EQ(window.now, wire::TIER_STEP_NONE) << "a copy of what is deleted soon is for nothing";
  EXPECT_EQ(window.next, wire::TIER_STEP_DELETE);
  TierFacts cold = Copied(Checkpoint(7, 5));
  cold.released = true;
  EXPECT_EQ(DecideTier(policy, cold, kNow).now, wire::TIER_STEP_DELETE) << "also what is cold";
  cold.pinned = true;
  EXPECT_EQ(DecideTier(policy, cold, kNow).now, wire::TIER_STEP_NONE);
  policy.set_delete_after_seconds(1000);
  EXPECT_EQ(DecideTier(policy, Checkpoint(7, 5), kNow).now, wire::TIER_STEP_ARCHIVE);
  const TierDecision later = DecideTier(policy, Copied(Checkpoint(7, 5)), kNow);
  EXPECT_EQ(later.now, wire::TIER_STEP_RELEASE);
  TierFacts old = Copied(Checkpoint(7, 5));
  old.released = true;
  EXPECT_EQ(DecideTier(policy, old, kNow).next_at_ns, kNow + 900 * kSecond);
}

TEST(TierRules, TheNewestIsNeverDeleted) {
  wire::TierPolicy policy = Policy();
  policy.set_delete_after_seconds(0);
  EXPECT_NE(DecideTier(policy, Checkpoint(7, 0), kNow).now, wire::TIER_STEP_DELETE);
  EXPECT_EQ(DecideTier(policy, Checkpoint(7, 1), kNow).now, wire::TIER_STEP_DELETE);
}

TEST(TierRules, WithoutAKnownTimeNothingIsDeletedOrReleasedByAge) {
  wire::TierPolicy policy = Policy();
  policy.set_keep_hot(1);
  policy.set_release_after_seconds(1);
  policy.set_delete_after_seconds(1);
  EXPECT_EQ(DecideTier(policy, Checkpoint(7, 5), std::nullopt).now, wire::TIER_STEP_ARCHIVE);
  EXPECT_EQ(DecideTier(policy, Copied(Checkpoint(7, 5)), std::nullopt).now, wire::TIER_STEP_NONE);
}

TEST(TierRules, WhatIsReadOftenWhileColdIsFetched) {
  wire::TierPolicy policy = Policy();
  policy.set_promote_reads(3);
  TierFacts facts = Copied(Checkpoint(7, 5));
  facts.released = true;
  facts.cold_reads = 2;
  EXPECT_EQ(DecideTier(policy, facts, kNow).now, wire::TIER_STEP_NONE);
  facts.cold_reads = 3;
  EXPECT_EQ(DecideTier(policy, facts, kNow).now, wire::TIER_STEP_RECALL);
}

TEST(TierRules, FarOffTimesDoNotOverflow) {
  wire::TierPolicy policy = Policy();
  policy.set_archive_after_seconds(UINT64_MAX);
  const TierDecision decision = DecideTier(policy, Checkpoint(1, 0), kNow);
  EXPECT_EQ(decision.now, wire::TIER_STEP_NONE);
  EXPECT_GT(*decision.next_at_ns, kNow);
}

TEST(TierRules, ContradictionsAreRefused) {
  const auto refused = [](auto change, const char* words) {
    wire::TierPolicy policy = Policy();
    change(policy);
    const absl::Status status = CheckTierPolicy(policy);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << words;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  };
  EXPECT_TRUE(CheckTierPolicy(Policy()).ok());
  refused([](auto& policy) { policy.clear_tier(); }, "no tier");
  refused([](auto& policy) { policy.set_keep_hot(1001); }, "1000 at most");
  refused([](auto& policy) { policy.set_low_percent(50); }, "without a high one");
  refused(
      [](auto& policy) {
        policy.set_high_percent(50);
        policy.set_low_percent(50);
      },
      "not below");
  refused([](auto& policy) { policy.set_high_percent(100); }, "1 to 99");
  refused(
      [](auto& policy) {
        policy.set_archive_after_seconds(20);
        policy.set_release_after_seconds(10);
      },
      "before its copy exists");
  refused([](auto& policy) { policy.set_keep_every_steps(10); }, "deletes none");
  refused([](auto& policy) { policy.set_archive_after_seconds(UINT64_MAX); }, "hundred years");
}

}  // namespace
}  // namespace cairn
