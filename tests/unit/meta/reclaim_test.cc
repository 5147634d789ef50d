// Range arithmetic is pure: hand-made cases, and random ones against a bitmap.
#include "server/meta/reclaim.h"

#include <algorithm>
#include <random>

#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Spans = std::vector<StripeSpan>;

TEST(SubtractLive, LeavesWhatIsNotReferenced) {
  EXPECT_THAT(SubtractLive({10, 10}, Spans{}), ElementsAre(StripeSpan{10, 10}));
  EXPECT_THAT(SubtractLive({10, 10}, Spans{{10, 10}}), IsEmpty());
  EXPECT_THAT(SubtractLive({10, 10}, Spans{{0, 100}}), IsEmpty());
  EXPECT_THAT(SubtractLive({10, 10}, Spans{{12, 3}}),
              ElementsAre(StripeSpan{10, 2}, StripeSpan{15, 5}));
  EXPECT_THAT(SubtractLive({10, 10}, Spans{{5, 6}, {19, 9}}), ElementsAre(StripeSpan{11, 8}));
  EXPECT_THAT(SubtractLive({10, 10}, Spans{{20, 5}}), ElementsAre(StripeSpan{10, 10}));
  EXPECT_THAT(SubtractLive({10, 10}, Spans{{11, 2}, {13, 2}}),
              ElementsAre(StripeSpan{10, 1}, StripeSpan{15, 5}));
  EXPECT_THAT(SubtractLive({10, 0}, Spans{}), IsEmpty());
}

TEST(SubtractLive, AgreesWithABitmap) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 5000; ++round) {
    const StripeSpan range{random() % 40, random() % 40};
    Spans live;
    for (uint64_t i = random() % 6; i > 0; --i) live.push_back({random() % 80, random() % 20});
    std::sort(live.begin(), live.end(), [](auto& a, auto& b) { return a.first < b.first; });
    std::vector<bool> expected(120), actual(120);
    for (uint64_t id = range.first; id < range.end(); ++id) {
      expected[id] = std::none_of(live.begin(), live.end(),
                                  [&](auto& s) { return s.first <= id && id < s.end(); });
    }
    uint64_t last_end = 0;
    for (const StripeSpan& span : SubtractLive(range, live)) {
      ASSERT_GT(span.count, 0u);
      ASSERT_TRUE(last_end == 0 || span.first > last_end) << "adjacent or out of order";
      last_end = span.end();
      for (uint64_t id = span.first; id < span.end(); ++id) actual[id] = true;
    }
    ASSERT_EQ(expected, actual) << "round " << round;
  }
}

TEST(MergeAdjacent, MakesAsFewAsPossible) {
  EXPECT_THAT(MergeAdjacent({{5, 5}, {0, 5}, {20, 1}, {10, 0}}),
              ElementsAre(StripeSpan{0, 10}, StripeSpan{20, 1}));
  EXPECT_THAT(MergeAdjacent({{0, 10}, {2, 3}, {9, 5}}), ElementsAre(StripeSpan{0, 14}));
  EXPECT_THAT(MergeAdjacent({}), IsEmpty());
}

}  // namespace
}  // namespace cairn
