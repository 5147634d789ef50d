// Goal: extents that are changed here describe the file as the service's do; seeking finds data and
// holes; what is compacted are small pieces and nothing else. Method: cases by hand, and random
// overwrites against a naive file. A failing seed is printed, and replayed with CAIRN_SEED=<seed>.

#include "client/core/fs_extents.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "common/base/random.h"

namespace cairn::client_internal {
namespace {

using Extents = std::vector<wire::ExtentRun>;

wire::ExtentRun Stripes(uint64_t offset, uint64_t length, uint64_t first, uint32_t stripe_bytes) {
  wire::ExtentRun run;
  run.set_offset_bytes(offset);
  run.set_length_bytes(length);
  run.set_first_stripe(first);
  run.set_stripe_bytes(stripe_bytes);
  run.set_stripe_count(static_cast<uint32_t>((length + stripe_bytes - 1) / stripe_bytes));
  run.add_groups(1);
  return run;
}

wire::ExtentRun Inline(uint64_t offset, std::string data) {
  wire::ExtentRun run;
  run.set_offset_bytes(offset);
  run.set_length_bytes(data.size());
  run.set_data(std::move(data));
  return run;
}

TEST(FsExtents, APartOfARunKnowsWhereItBeginsAndHowLongTheRunIs) {
  const wire::ExtentRun run = Stripes(1000, 250, 7, 100);
  const wire::ExtentRun part = PartOf(run, {1030, 1240});
  EXPECT_EQ(part.offset_bytes(), 1030u);
  EXPECT_EQ(part.length_bytes(), 210u);
  EXPECT_EQ(part.skip_bytes(), 30u);
  EXPECT_EQ(part.run_bytes(), 250u);
  const wire::ExtentRun again = PartOf(part, {1040, 1050});
  EXPECT_EQ(again.skip_bytes(), 40u);
  EXPECT_EQ(again.run_bytes(), 250u);
  EXPECT_EQ(PartOf(Inline(10, "abcdef"), {12, 14}).data(), "cd");
  EXPECT_EQ(PartOf(HoleExtent({0, 100}), {5, 50}).skip_bytes(), 0u);
}

TEST(FsExtents, WhatIsWrittenBehindTheEndLeavesAHole) {
  Extents file = {Inline(0, "abc")};
  Overwrite(file, {Inline(10, "x")});
  ASSERT_EQ(file.size(), 3u);
  EXPECT_TRUE(IsHole(file[1]));
  EXPECT_EQ(file[1].offset_bytes(), 3u);
  EXPECT_EQ(file[1].length_bytes(), 7u);
}

// Which byte of which stripe, carried byte or hole each byte of the file is.
std::vector<std::string> Spell(const Extents& extents) {
  std::vector<std::string> bytes;
  for (const wire::ExtentRun& extent : extents) {
    EXPECT_EQ(extent.offset_bytes(), bytes.size()) << "extents tile the file";
    for (uint64_t i = 0; i < extent.length_bytes(); ++i) {
      if (extent.stripe_count() > 0) {
        bytes.push_back(std::to_string(extent.first_stripe()) + "+" +
                        std::to_string(extent.skip_bytes() + i));
      } else {
        bytes.push_back(extent.data().empty() ? "hole" : std::string(1, extent.data()[i]));
      }
    }
  }
  return bytes;
}

TEST(FsExtents, RandomOverwritesAreThoseOfANaiveFile) {
  const char* replay = std::getenv("CAIRN_SEED");
  const uint64_t first =
      replay != nullptr ? std::strtoull(replay, nullptr, 10) : SystemRandom().Next() % 1'000'000;
  for (uint64_t seed = first; seed < first + (replay != nullptr ? 1 : 200); ++seed) {
    SCOPED_TRACE(testing::Message() << "CAIRN_SEED=" << seed);
    SeededRandom random(seed);
    Extents file;
    std::vector<std::string> naive;
    for (uint64_t round = 0; round < 30; ++round) {
      Extents fresh;
      uint64_t at = 0;
      for (uint64_t i = 0; i <= random.Below(3); ++i) {
        const uint64_t begin = at + random.Below(60), length = 1 + random.Below(40);
        switch (random.Below(3)) {
          case 0:
            fresh.push_back(Inline(begin, std::string(length, 'a' + static_cast<char>(i))));
            break;
          case 1:
            fresh.push_back(Stripes(begin, length, 1000 * (round + 1) + 100 * i, 16));
            break;
          default:
            fresh.push_back(HoleExtent({begin, begin + length}));
        }
        at = begin + length;
      }
      for (const wire::ExtentRun& each : fresh) {
        wire::ExtentRun alone = each;
        alone.set_offset_bytes(0);
        const std::vector<std::string> spelled = Spell({alone});
        const uint64_t end = each.offset_bytes() + each.length_bytes();
        if (naive.size() < end) naive.resize(end, "hole");
        std::copy(spelled.begin(), spelled.end(),
                  naive.begin() + static_cast<std::ptrdiff_t>(each.offset_bytes()));
      }
      Overwrite(file, fresh);
      ASSERT_EQ(Spell(file), naive);
    }
  }
}

TEST(FsExtents, SeekFindsDataAndHolesAndTheEndIsAHole) {
  const Extents file = {HoleExtent({0, 10}), Inline(10, "abc"), Stripes(13, 7, 5, 100),
                        HoleExtent({20, 30})};
  EXPECT_EQ(SeekInExtents(file, 30, 0, false), 10u);
  EXPECT_EQ(SeekInExtents(file, 30, 11, false), 11u);
  EXPECT_EQ(SeekInExtents(file, 30, 11, true), 20u);
  EXPECT_EQ(SeekInExtents(file, 30, 5, true), 5u);
  EXPECT_EQ(SeekInExtents(file, 30, 20, false), std::nullopt);
  EXPECT_EQ(SeekInExtents(file, 30, 30, true), std::nullopt);
  EXPECT_EQ(SeekInExtents({Inline(0, "abc")}, 3, 1, true), 3u);
}

TEST(FsExtents, PagesFitMessagesAndKeepTheOrder) {
  Extents extents;
  for (uint64_t i = 5; i-- > 0;) extents.push_back(Inline(i * 30'000, std::string(30'000, 'x')));
  const auto pages = PageExtents(std::move(extents));
  ASSERT_EQ(pages.size(), 5u);
  for (uint64_t i = 0; i < 5; ++i) EXPECT_EQ(pages[i][0].offset_bytes(), i * 30'000);
}

TEST(FsExtents, SmallNeighboursWithinAStripeAreCompactedAndWholeStripesStay) {
  constexpr uint64_t kStripe = 1000;
  Extents file = {Stripes(0, 3000, 1, kStripe)};
  for (uint64_t at = 3000; at < 3500; at += 100) file.push_back(Inline(at, std::string(100, 'a')));
  file.push_back(HoleExtent({3500, 3600}));
  for (uint64_t at = 3600; at < 5000; at += 200) file.push_back(Inline(at, std::string(200, 'b')));
  EXPECT_EQ(PlanCompaction(file, kStripe, 10),
            (std::vector<ByteRange>{{3000, 3500}, {4000, 5000}}));
  EXPECT_EQ(PlanCompaction(file, kStripe, 1).size(), 1u);
}

TEST(FsExtents, AFileOfFewOrLargePiecesIsNotWorthCompacting) {
  EXPECT_FALSE(IsWorthCompacting(10 * kMiB, 200 * kKiB, 40));
  EXPECT_TRUE(IsWorthCompacting(10 * kMiB, 300 * kKiB, 40));
  EXPECT_FALSE(IsWorthCompacting(kGiB, 0, 250));
  EXPECT_TRUE(IsWorthCompacting(20 * kMiB, 0, 250));
}

}  // namespace
}  // namespace cairn::client_internal
