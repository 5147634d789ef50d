// Goal: a gather list of any shape becomes stripes that hold its bytes in order, and stripes become
// the fewest extent runs that the reader finds again. Method: shapes at the limits, then random
// round trips through the read plan.

#include "client/io/stripe_cutter.h"

#include <gtest/gtest.h>

#include <random>

#include "client/io/read_plan.h"
#include "common/base/random.h"
#include "tests/unit/client/one_replica.h"

namespace cairn {
namespace {

std::vector<ColdRead> cold;  // of the last plan

constexpr uint64_t kStripe = 1 * kMiB;

TEST(StripeCutter, PieceLongerThanAStripeFillsItExactly) {
  StripeCutter cutter(kStripe);
  std::vector<std::byte> bytes(kStripe + 10);
  EXPECT_EQ(cutter.Add(0, 0, bytes), kStripe);
  EXPECT_TRUE(cutter.full());
  EXPECT_EQ(cutter.Add(0, kStripe, ConstBytes(bytes).subspan(kStripe)), 0u);
  const std::vector<Segment> segments = cutter.Take();
  ASSERT_EQ(segments.size(), 1u);
  EXPECT_EQ(segments[0].bytes.data(), bytes.data());
  EXPECT_TRUE(cutter.empty());
}

TEST(StripeCutter, TooManySmallPiecesEndTheStripeShort) {
  StripeCutter cutter(kStripe);
  std::vector<std::byte> bytes(kStripeSegmentsMax + 1);
  for (size_t i = 0; i < kStripeSegmentsMax; ++i)
    EXPECT_EQ(cutter.Add(i, 0, ConstBytes(bytes).subspan(i, 1)), 1u);
  EXPECT_TRUE(cutter.full());
  EXPECT_EQ(cutter.Add(0, 0, ConstBytes(bytes).first(1)), 0u);
  EXPECT_EQ(cutter.Take().size(), kStripeSegmentsMax);
}

TEST(StripeCutter, EmptyPieceIsNoSegment) {
  StripeCutter cutter(kStripe);
  EXPECT_EQ(cutter.Add(0, 0, ConstBytes()), 0u);
  EXPECT_TRUE(cutter.empty());
}

TEST(ToExtentRuns, ConsecutiveFullStripesInRotationAreOneRun) {
  const std::vector<PgId> rotation = {PgId(4), PgId(9), PgId(2)};
  std::vector<PlacedStripe> stripes;
  for (uint64_t i = 0; i < 1000; ++i)
    stripes.push_back({StripeId(70 + i), rotation[(70 + i) % 3], kStripe});
  stripes.push_back({StripeId(1070), rotation[1070 % 3], 5});
  const auto runs = ToExtentRuns(stripes, kStripe, 0);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].stripe_count(), 1001u);
  EXPECT_EQ(runs[0].length_bytes(), 1000 * kStripe + 5);
  EXPECT_EQ(runs[0].groups(0), rotation[70 % 3].value());
}

TEST(ToExtentRuns, StripeUnderAnIdOutOfOrderBreaksTheRun) {
  const std::vector<PlacedStripe> stripes = {{StripeId(1), PgId(0), kStripe},
                                             {StripeId(9), PgId(7), kStripe},
                                             {StripeId(11), PgId(0), kStripe}};
  const auto runs = ToExtentRuns(stripes, kStripe, 0);
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[1].groups(0), 7u);
  EXPECT_EQ(runs[2].offset_bytes(), 2 * kStripe);
}

// What a target that fills up in the middle of a large shard costs: one run more, not one a round.
TEST(ToExtentRuns, RotationThatLosesAGroupStaysShort) {
  std::vector<PlacedStripe> stripes;
  for (uint64_t i = 0; i < 1000; ++i) {
    const uint64_t groups = i < 500 ? 16 : 15;
    stripes.push_back({StripeId(64 + i), PgId(static_cast<uint32_t>((64 + i) % groups)), kStripe});
  }
  EXPECT_LE(ToExtentRuns(stripes, kStripe, 0).size(), 3u);
}

// Every byte of every stripe is found where it was put.
TEST(ToExtentRuns, ReadPlanFindsEveryStripeAgain) {
  const uint64_t seed = SystemRandom().Next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::vector<PgId> rotation;
    for (uint64_t i = 0; i < 1 + random() % 5; ++i)
      rotation.push_back(PgId(static_cast<uint32_t>(i)));
    std::vector<PlacedStripe> stripes;
    uint64_t id = random() % 1000, size = 0;
    for (uint64_t i = 0; i < 1 + random() % 40; ++i) {
      id += random() % 8 == 0 ? 1 + random() % 3 : 1;
      const bool moved = random() % 10 == 0;
      const PgId group =
          moved ? PgId(static_cast<uint32_t>(random() % 7)) : rotation[id % rotation.size()];
      const uint64_t length = random() % 6 == 0 ? 1 + random() % 100 : 100;
      stripes.push_back({StripeId(id), group, length});
      size += length;
    }
    const auto runs = ToExtentRuns(stripes, 100, 0);
    std::vector<std::byte> memory(size);
    const std::vector<WantedRange> ranges = {{0, memory}};
    const auto reads = PlanReads(runs, size, ranges, OneReplica, &cold);
    ASSERT_TRUE(reads.ok()) << reads.status();
    ASSERT_EQ(reads->size(), stripes.size());
    for (size_t i = 0; i < stripes.size(); ++i) {
      EXPECT_EQ((*reads)[i].stripe, stripes[i].id);
      EXPECT_EQ((*reads)[i].group, stripes[i].group);
      EXPECT_EQ((*reads)[i].offset_bytes, 0u);
      EXPECT_EQ((*reads)[i].length_bytes, stripes[i].length_bytes);
    }
  }
}

TEST(ExtentRuns, PiecesOfAFileAreLaidInItsOrderAndNeighboursShareARun) {
  // Written in this order: the third megabyte, the first two, a bit far behind.
  const std::vector<FilePiece> pieces = {{2 * kStripe, kStripe}, {0, 2 * kStripe}, {9'000'000, 77}};
  const std::vector<PlacedStripe> stripes = {{StripeId(10), PgId(1), kStripe},
                                             {StripeId(11), PgId(2), kStripe},
                                             {StripeId(12), PgId(1), kStripe},
                                             {StripeId(13), PgId(2), 77}};
  const std::vector<wire::ExtentRun> runs = ToExtentRuns(pieces, stripes, kStripe);
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].offset_bytes(), 0u);
  EXPECT_EQ(runs[0].first_stripe(), 11u);
  EXPECT_EQ(runs[0].length_bytes(), 2 * kStripe);
  EXPECT_EQ(runs[1].offset_bytes(), 2 * kStripe);
  EXPECT_EQ(runs[1].first_stripe(), 10u);
  EXPECT_EQ(runs[2].offset_bytes(), 9'000'000u);
  EXPECT_EQ(runs[2].length_bytes(), 77u);
}

TEST(ExtentRuns, PiecesThatFollowEachOtherInStripesAndFileAreOneRun) {
  const std::vector<FilePiece> pieces = {{0, kStripe}, {kStripe, kStripe}, {2 * kStripe, 5}};
  const std::vector<PlacedStripe> stripes = {{StripeId(10), PgId(1), kStripe},
                                             {StripeId(11), PgId(1), kStripe},
                                             {StripeId(12), PgId(1), 5}};
  const std::vector<wire::ExtentRun> runs = ToExtentRuns(pieces, stripes, kStripe);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].stripe_count(), 3u);
  EXPECT_EQ(runs[0].length_bytes(), 2 * kStripe + 5);
}

}  // namespace
}  // namespace cairn
