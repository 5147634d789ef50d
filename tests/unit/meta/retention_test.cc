// Retention is pure: policies and candidates in, indices out.
#include "server/meta/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kSecond = 1'000'000'000;

// Steps 10, 20, ...; one committed each second from time 1 s.
std::vector<RetentionCandidate> Candidates(int count) {
  std::vector<RetentionCandidate> candidates;
  for (int i = 1; i <= count; ++i) {
    candidates.push_back({static_cast<uint64_t>(10 * i), i * kSecond, false});
  }
  return candidates;
}

TEST(Retention, KeepsAllWithoutRules) {
  EXPECT_THAT(SelectForRemoval({}, Candidates(5), 100 * kSecond), IsEmpty());
}

TEST(Retention, KeepsTheLastN) {
  EXPECT_THAT(SelectForRemoval({.keep_last = 2}, Candidates(5), 0), ElementsAre(0, 1, 2));
  EXPECT_THAT(SelectForRemoval({.keep_last = 5}, Candidates(5), 0), IsEmpty());
  EXPECT_THAT(SelectForRemoval({.keep_last = 6}, Candidates(5), 0), IsEmpty());
  EXPECT_THAT(SelectForRemoval({.keep_last = UINT32_MAX}, Candidates(5), 0), IsEmpty());
}

TEST(Retention, KeepsEveryKthStep) {
  EXPECT_THAT(SelectForRemoval({.keep_every_steps = 20}, Candidates(5), 0), ElementsAre(0, 2));
  auto candidates = Candidates(3);
  candidates[1].step.reset();
  EXPECT_THAT(SelectForRemoval({.keep_every_steps = 1}, candidates, 0), ElementsAre(1));
}

TEST(Retention, KeepsTheYoung) {
  // At 6 s their ages are 5, 4, 3, 2, 1 s.
  EXPECT_THAT(SelectForRemoval({.keep_newer_than_seconds = 3}, Candidates(5), 6 * kSecond),
              ElementsAre(0, 1, 2));
}

TEST(Retention, TakesFutureTimesAsYoung) {
  EXPECT_THAT(SelectForRemoval({.keep_newer_than_seconds = 1}, Candidates(5), 0), IsEmpty());
  auto candidates = Candidates(2);
  candidates[0].committed_at_ns = INT64_MAX;
  EXPECT_THAT(SelectForRemoval({.keep_newer_than_seconds = 1}, candidates, INT64_MIN), IsEmpty());
  candidates[0].committed_at_ns = INT64_MIN;
  EXPECT_THAT(SelectForRemoval({.keep_newer_than_seconds = 1}, candidates, INT64_MAX),
              ElementsAre(0));
}

TEST(Retention, KeepsAllThatMayBeYoungWhenNoAgeIsKnown) {
  EXPECT_THAT(SelectForRemoval({.keep_newer_than_seconds = 1}, Candidates(5), std::nullopt),
              IsEmpty());
  EXPECT_THAT(SelectForRemoval({.keep_last = 4}, Candidates(5), std::nullopt), ElementsAre(0));
}

TEST(Retention, KeepsWhatAnyRuleKeeps) {
  EXPECT_THAT(SelectForRemoval({.keep_last = 1, .keep_every_steps = 20}, Candidates(5), 0),
              ElementsAre(0, 2));
}

TEST(Retention, KeepsPinnedAndNewest) {
  auto candidates = Candidates(4);
  candidates[0].pinned = true;
  EXPECT_THAT(SelectForRemoval({.keep_every_steps = 1000}, candidates, 0), ElementsAre(1, 2));
  EXPECT_THAT(SelectForRemoval({.keep_every_steps = 1000}, Candidates(1), 0), IsEmpty());
  EXPECT_THAT(SelectForRemoval({.keep_last = 1}, {}, 0), IsEmpty());
}

// A pinned one counts among the last N: N is what a person sees in a listing.
TEST(Retention, CountsPinnedAmongTheLast) {
  auto candidates = Candidates(4);
  candidates[3].pinned = true;
  EXPECT_THAT(SelectForRemoval({.keep_last = 2}, candidates, 0), ElementsAre(0, 1));
}

TEST(Retention, PruningTwiceRemovesNothingMore) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 1000; ++round) {
    std::vector<RetentionCandidate> candidates;
    const int count = static_cast<int>(random() % 20);
    for (int i = 0; i < count; ++i) {
      RetentionCandidate candidate;
      if (random() % 4 != 0) candidate.step = random() % 100;
      candidate.committed_at_ns = static_cast<int64_t>(random() % 100) * kSecond;
      candidate.pinned = random() % 8 == 0;
      candidates.push_back(candidate);
    }
    const RetentionRules rules{static_cast<uint32_t>(random() % 5), random() % 4 * 10,
                               random() % 3 * 20};
    const int64_t now = static_cast<int64_t>(random() % 200) * kSecond;
    const std::vector<size_t> removed = SelectForRemoval(rules, candidates, now);
    for (auto i = removed.rbegin(); i != removed.rend(); ++i) {
      ASSERT_FALSE(candidates[*i].pinned);
      candidates.erase(candidates.begin() + static_cast<ptrdiff_t>(*i));
    }
    ASSERT_EQ(candidates.empty(), count == 0);
    ASSERT_THAT(SelectForRemoval(rules, candidates, now), IsEmpty()) << "round " << round;
  }
}

}  // namespace
}  // namespace cairn
