// Goal: hedges begin when a read is late by the measure of the others, are few, and slow targets
// are left alone but found out about again.
#include "client/io/hedge_policy.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

constexpr TargetId kA(1);
constexpr TargetId kB(2);
constexpr MonoTime kStart(1'000'000'000);

void Answer(HedgePolicy& policy, TargetId target, absl::Duration took, int times) {
  for (int i = 0; i < times; ++i) policy.Answered(target, took, kStart);
}

TEST(HedgePolicy, MeasuresByWhatMostReadsTake) {
  HedgePolicy policy;
  EXPECT_EQ(policy.HedgeAfter(), HedgePolicy::kDefault);
  Answer(policy, kA, absl::Milliseconds(10), 64);
  EXPECT_EQ(policy.HedgeAfter(), absl::Milliseconds(40));
  // A few that are late do not count.
  Answer(policy, kB, absl::Milliseconds(900), 8);
  EXPECT_EQ(policy.HedgeAfter(), absl::Milliseconds(40));
  // Where all are slow, that is how it is.
  Answer(policy, kA, absl::Milliseconds(200), 64);
  EXPECT_EQ(policy.HedgeAfter(), absl::Milliseconds(800));
}

TEST(HedgePolicy, KeepsToItsBounds) {
  HedgePolicy policy;
  Answer(policy, kA, absl::Microseconds(50), 64);
  EXPECT_EQ(policy.HedgeAfter(), HedgePolicy::kMin);
  Answer(policy, kA, absl::Seconds(30), 64);
  EXPECT_EQ(policy.HedgeAfter(), HedgePolicy::kMax);
}

TEST(HedgePolicy, AllowsAFewHedgesAndThenOneInSixteenReads) {
  HedgePolicy policy;
  for (int i = 0; i < HedgePolicy::kHedgesAtOnce; ++i) EXPECT_TRUE(policy.TakeHedge());
  EXPECT_FALSE(policy.TakeHedge());
  Answer(policy, kA, absl::Milliseconds(1), HedgePolicy::kReadsPerHedge - 1);
  EXPECT_FALSE(policy.TakeHedge());
  Answer(policy, kA, absl::Milliseconds(1), 1);
  EXPECT_TRUE(policy.TakeHedge());
  EXPECT_FALSE(policy.TakeHedge());
}

TEST(HedgePolicy, AvoidsWhatWasBeatenAndLooksAgainLater) {
  HedgePolicy policy;
  EXPECT_FALSE(policy.Avoid(kA, kStart));
  policy.Beaten(kA, kStart);
  EXPECT_TRUE(policy.IsSlow(kA));
  EXPECT_FALSE(policy.Avoid(kB, kStart));
  EXPECT_TRUE(policy.Avoid(kA, kStart + absl::Milliseconds(1900)));
  const MonoTime later = kStart + absl::Seconds(2);
  EXPECT_FALSE(policy.Avoid(kA, later)) << "nobody finds out how it is by now";
  EXPECT_TRUE(policy.Avoid(kA, later)) << "one is enough to find out";
  policy.Answered(kA, absl::Milliseconds(1), later);
  EXPECT_FALSE(policy.IsSlow(kA));
  EXPECT_FALSE(policy.Avoid(kA, later));
}

TEST(HedgePolicy, AvoidsForLongerWhatIsBeatenAgain) {
  HedgePolicy policy;
  policy.Beaten(kA, kStart);
  policy.Beaten(kA, kStart + absl::Milliseconds(5));  // was under way at the same time
  MonoTime now = kStart + absl::Seconds(2);
  ASSERT_FALSE(policy.Avoid(kA, now));
  now = now + absl::Milliseconds(100);
  policy.Beaten(kA, now);
  EXPECT_TRUE(policy.Avoid(kA, now + absl::Seconds(3)));
  EXPECT_FALSE(policy.Avoid(kA, now + absl::Seconds(4)));
}

TEST(HedgePolicy, ALateAnswerDoesNotMakeASlowTargetGood) {
  HedgePolicy policy;
  Answer(policy, kB, absl::Milliseconds(10), 64);
  policy.Beaten(kA, kStart);
  policy.Answered(kA, absl::Milliseconds(300), kStart);
  EXPECT_TRUE(policy.IsSlow(kA));
  EXPECT_EQ(policy.HedgeAfter(), absl::Milliseconds(40));
  EXPECT_EQ(policy.LastAnswer(kA), kStart);
  EXPECT_LT(policy.LastAnswer(TargetId(3)), kStart);
}

}  // namespace
}  // namespace cairn
