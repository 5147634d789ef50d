// Goal: all fragments of the spans are freed and no others, at the cost of one synced batch.
// Method: a target on a simulated disk and store that counts.

#include "server/repair/free_spans.h"

#include <gtest/gtest.h>

#include "tests/unit/chunk/target_world.h"

namespace cairn {
namespace {

TEST(FreeSpans, ManySpansCostOneBatchAndTouchNothingBetween) {
  constexpr uint32_t kStripes = 1000;
  TargetWorld w;
  ASSERT_TRUE(w.Open().ok());
  for (uint64_t stripe = 0; stripe < kStripes; ++stripe) ASSERT_TRUE(w.Write(stripe, 100).ok());
  ASSERT_TRUE(w.SealAll({Stripes(0, kStripes)}).ok());
  std::vector<StripeSpan> spans;
  for (uint64_t first = 0; first < kStripes; first += 4) {
    spans.push_back({first, 1});
    spans.push_back({first + 1, 1});
  }
  const int64_t synced = w.store.synced_writes();
  ASSERT_TRUE(w.executor.Run(FreeSpans(*w.target, spans)).ok());
  EXPECT_EQ(w.store.synced_writes() - synced, 1);
  EXPECT_EQ(w.target->usage().fragments, kStripes / 2);
  for (uint64_t stripe = 0; stripe < kStripes; ++stripe) {
    const bool freed = stripe % 4 < 2;
    EXPECT_EQ(absl::IsNotFound(w.ReadAll(stripe, 100)), freed) << stripe;
  }
}

TEST(FreeSpans, SpanLongerThanABatchIsFreedInSeveral) {
  constexpr uint32_t kStripes = 10'000;
  TargetWorld w(1, 64 * kMiB);
  ASSERT_TRUE(w.Open().ok());
  for (uint64_t stripe = 0; stripe < kStripes; ++stripe) ASSERT_TRUE(w.Write(stripe, 100).ok());
  ASSERT_TRUE(w.SealAll({Stripes(0, kStripes)}).ok());
  ASSERT_TRUE(w.executor.Run(FreeSpans(*w.target, {{0, 5}, {5, kStripes - 6}})).ok());
  EXPECT_EQ(w.target->usage().fragments, 1u);
  EXPECT_EQ(w.ReadAll(kStripes - 1, 100), absl::OkStatus());
}

}  // namespace
}  // namespace cairn
