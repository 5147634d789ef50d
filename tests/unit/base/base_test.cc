// Ids, units, times, randomness and the macros: the values that everything else computes with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <type_traits>

#include "absl/hash/hash.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/base/units.h"

namespace cairn {
namespace {

static_assert(!std::is_convertible_v<StripeId, LeaseId>);
static_assert(!std::is_convertible_v<uint64_t, StripeId>);
static_assert(!std::is_convertible_v<StripeId, uint64_t>);
static_assert(AlignUp(0, 4096) == 0 && AlignUp(1, 4096) == 4096 && AlignUp(4096, 4096) == 4096);
static_assert(AlignDown(4095, 4096) == 0 && AlignDown(8191, 4096) == 4096);
static_assert(DivideUp(0, 3) == 0 && DivideUp(1, 3) == 1 && DivideUp(3, 3) == 1 &&
              DivideUp(4, 3) == 2);

TEST(StrongId, ComparesHashesAndPrintsAsItsValue) {
  EXPECT_LT(StripeId(1), StripeId(2));
  EXPECT_EQ(StripeId(), StripeId(0));
  EXPECT_EQ(absl::Hash<StripeId>()(StripeId(1)), absl::Hash<StripeId>()(StripeId(1)));
  EXPECT_NE(absl::Hash<StripeId>()(StripeId(1)), absl::Hash<StripeId>()(StripeId(2)));
  std::ostringstream text;
  text << TargetId(17);
  EXPECT_EQ(text.str(), "17");
}

TEST(MonoTime, AdditionStopsAtNever) {
  const MonoTime now(5'000'000'000);
  EXPECT_EQ(now + absl::Seconds(2), MonoTime(7'000'000'000));
  EXPECT_EQ(now + -absl::Seconds(2), MonoTime(3'000'000'000));
  EXPECT_EQ(now + absl::InfiniteDuration(), MonoTime::Never());
  EXPECT_EQ(now + absl::Hours(24 * 366 * 1000), MonoTime::Never());
  EXPECT_EQ(MonoTime(-5) + absl::InfiniteDuration(), MonoTime::Never());
  EXPECT_EQ(MonoTime(-5) + -absl::InfiniteDuration(), MonoTime(INT64_MIN));
  EXPECT_EQ(MonoTime::Never() + -absl::Seconds(1), MonoTime::Never());
}

TEST(MonoTime, DifferenceToNeverIsInfinite) {
  EXPECT_EQ(MonoTime::Never() - MonoTime(1), absl::InfiniteDuration());
  EXPECT_EQ(MonoTime(3'000) - MonoTime(5'000), -absl::Microseconds(2));
}

TEST(SystemClock, MonotonicTimeNeverGoesBack) {
  SystemClock clock;
  MonoTime previous = clock.Now();
  for (int i = 0; i < 1000; ++i) {
    const MonoTime now = clock.Now();
    ASSERT_GE(now, previous);
    previous = now;
  }
  EXPECT_GT(clock.WallNow(), absl::FromUnixSeconds(1'600'000'000));
}

TEST(SeededRandom, SequenceIsTheSameEverywhere) {
  // The C++ standard fixes the 10,000th number of the default seed.
  SeededRandom random(5489);
  for (int i = 0; i < 9'999; ++i) random.Next();
  EXPECT_EQ(random.Next(), 9981545732273789042u);
}

TEST(Random, BelowStaysBelowAndReachesAll) {
  SeededRandom random(1);
  std::set<uint64_t> seen;
  for (int i = 0; i < 200; ++i) seen.insert(random.Below(5));
  EXPECT_THAT(seen, ::testing::ElementsAre(0, 1, 2, 3, 4));
}

TEST(SystemRandom, NumbersDiffer) {
  SystemRandom random;
  EXPECT_NE(random.Next(), random.Next());
}

absl::StatusOr<int> Doubled(absl::StatusOr<int> value, absl::Status also) {
  ASSIGN_OR_RETURN(const int number, std::move(value));
  RETURN_IF_ERROR(also);
  return 2 * number;
}

TEST(StatusMacros, FirstErrorReturns) {
  EXPECT_EQ(*Doubled(4, absl::OkStatus()), 8);
  EXPECT_EQ(Doubled(absl::AbortedError("a"), absl::InternalError("b")).status().message(), "a");
  EXPECT_EQ(Doubled(4, absl::InternalError("b")).status().message(), "b");
}

TEST(CheckDeathTest, BrokenInvariantStopsTheProcess) {
  CAIRN_CHECK(true);
  EXPECT_DEATH(CAIRN_CHECK(1 + 1 == 3), "base_test.cc:.*broken invariant: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace cairn
