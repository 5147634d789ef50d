// Goal: ranges become the fewest fragment reads, with every byte going to its own place, and wrong
// ranges are refused. Method: small extents by hand.

#include "client/io/read_plan.h"
#include "tests/unit/client/one_replica.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cairn {
namespace {

std::vector<ColdRead> cold;  // of the last plan

wire::ExtentRun Extent(uint64_t offset, uint64_t length, uint64_t first, uint32_t stripe_bytes,
                       std::vector<uint32_t> groups) {
  wire::ExtentRun run;
  run.set_offset_bytes(offset);
  run.set_length_bytes(length);
  run.set_first_stripe(first);
  run.set_stripe_count(static_cast<uint32_t>((length + stripe_bytes - 1) / stripe_bytes));
  run.set_stripe_bytes(stripe_bytes);
  for (uint32_t group : groups) run.add_groups(group);
  return run;
}

class ReadPlan : public testing::Test {
 protected:
  std::vector<std::byte> memory_ = std::vector<std::byte>(1000);
  MutableBytes At(size_t offset, size_t length) {
    return MutableBytes(memory_).subspan(offset, length);
  }
};

TEST_F(ReadPlan, NeighboursInAFragmentShareOneReadWhateverTheirOrder) {
  const std::vector<wire::ExtentRun> extents = {Extent(0, 300, 50, 100, {1, 2})};
  const std::vector<WantedRange> ranges = {
      {130, At(500, 20)}, {110, At(0, 20)}, {160, At(700, 10)}};
  const auto reads = PlanReads(extents, 300, ranges, OneReplica, &cold);
  ASSERT_TRUE(reads.ok());
  ASSERT_EQ(reads->size(), 2u);
  EXPECT_EQ((*reads)[0].stripe, StripeId(51));
  EXPECT_EQ((*reads)[0].group, PgId(2));
  EXPECT_EQ((*reads)[0].offset_bytes, 10u);
  EXPECT_EQ((*reads)[0].length_bytes, 40u);
  ASSERT_EQ((*reads)[0].pieces.size(), 2u);
  EXPECT_EQ((*reads)[0].pieces[0].bytes.data(), memory_.data());
  EXPECT_EQ((*reads)[0].pieces[1].bytes.data(), memory_.data() + 500);
  EXPECT_EQ((*reads)[1].offset_bytes, 60u);
}

TEST_F(ReadPlan, RangeAcrossRunsAndStripesIsCutAtEach) {
  const std::vector<wire::ExtentRun> extents = {Extent(0, 150, 7, 100, {0}),
                                                Extent(150, 100, 90, 100, {3})};
  const std::vector<WantedRange> ranges = {{90, At(0, 100)}};
  const auto reads = PlanReads(extents, 250, ranges, OneReplica, &cold);
  ASSERT_TRUE(reads.ok());
  ASSERT_EQ(reads->size(), 3u);
  EXPECT_EQ((*reads)[0].length_bytes, 10u);
  EXPECT_EQ((*reads)[1].stripe, StripeId(8));
  EXPECT_EQ((*reads)[1].length_bytes, 50u);
  EXPECT_EQ((*reads)[2].stripe, StripeId(90));
  EXPECT_EQ((*reads)[2].length_bytes, 40u);
  EXPECT_EQ((*reads)[2].pieces[0].range_offset_bytes, 60u);
}

TEST_F(ReadPlan, PastTheEndIsOutOfRangeAlsoWhereSumsWouldWrap) {
  const std::vector<wire::ExtentRun> extents = {Extent(0, 100, 1, 100, {0})};
  const std::vector<WantedRange> past = {{60, At(0, 41)}};
  EXPECT_EQ(PlanReads(extents, 100, past, OneReplica, &cold).status().code(),
            absl::StatusCode::kOutOfRange);
  const std::vector<WantedRange> wraps = {{UINT64_MAX - 5, At(0, 10)}};
  EXPECT_EQ(PlanReads(extents, 100, wraps, OneReplica, &cold).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST_F(ReadPlan, HoleInTheExtentsIsDataLoss) {
  const std::vector<wire::ExtentRun> extents = {Extent(0, 100, 1, 100, {0}),
                                                Extent(120, 80, 5, 100, {0})};
  const std::vector<WantedRange> ranges = {{90, At(0, 50)}};
  EXPECT_EQ(PlanReads(extents, 200, ranges, OneReplica, &cold).status().code(),
            absl::StatusCode::kDataLoss);
}

wire::ExtentRun Part(wire::ExtentRun run, uint64_t skip, uint64_t length) {
  run.set_run_bytes(run.length_bytes());
  run.set_skip_bytes(skip);
  run.set_length_bytes(length);
  return run;
}

TEST_F(ReadPlan, APartOfARunIsReadFromWhereItBeginsInIt) {
  // Two stripes and a short one, of which bytes 130 to 220 are the file's.
  const std::vector<wire::ExtentRun> extents = {Part(Extent(0, 230, 50, 100, {1, 2}), 130, 90)};
  const std::vector<WantedRange> ranges = {{0, At(0, 90)}};
  const auto reads = PlanReads(extents, 90, ranges, OneReplica, &cold);
  ASSERT_TRUE(reads.ok()) << reads.status();
  ASSERT_EQ(reads->size(), 2u);
  EXPECT_EQ((*reads)[0].stripe, StripeId(51));
  EXPECT_EQ((*reads)[0].group, PgId(2));
  EXPECT_EQ((*reads)[0].offset_bytes, 30u);
  EXPECT_EQ((*reads)[0].length_bytes, 70u);
  EXPECT_EQ((*reads)[1].stripe, StripeId(52));
  EXPECT_EQ((*reads)[1].group, PgId(1));
  EXPECT_EQ((*reads)[1].stripe_length_bytes, 30u) << "as it was written, not as it is used";
  EXPECT_EQ((*reads)[1].length_bytes, 20u);
}

TEST_F(ReadPlan, APartThatIsLongerThanItsRunIsDataLoss) {
  const std::vector<wire::ExtentRun> extents = {Part(Extent(0, 230, 50, 100, {1}), 150, 81)};
  const std::vector<WantedRange> ranges = {{0, At(0, 10)}};
  EXPECT_EQ(PlanReads(extents, 81, ranges, OneReplica, &cold).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(ReadPlan, CarriedBytesAndHolesAreFilledWithoutACall) {
  wire::ExtentRun carried;
  carried.set_offset_bytes(100);
  carried.set_length_bytes(4);
  carried.set_data("abcd");
  wire::ExtentRun hole;
  hole.set_offset_bytes(104);
  hole.set_length_bytes(50);
  const std::vector<wire::ExtentRun> extents = {Extent(0, 100, 1, 100, {0}), carried, hole,
                                                Extent(154, 100, 2, 100, {0})};
  std::fill(memory_.begin(), memory_.end(), std::byte{0xEE});
  const std::vector<WantedRange> ranges = {{98, At(0, 60)}, {103, At(200, 3)}};
  const auto reads = PlanReads(extents, 254, ranges, OneReplica, &cold);
  ASSERT_TRUE(reads.ok()) << reads.status();
  ASSERT_EQ(reads->size(), 2u);
  EXPECT_EQ((*reads)[0].length_bytes, 2u);
  EXPECT_EQ((*reads)[1].stripe, StripeId(2));
  EXPECT_EQ((*reads)[1].pieces[0].bytes.data(), memory_.data() + 56);
  EXPECT_EQ(memory_[1], std::byte{0xEE});
  EXPECT_EQ(memory_[2], std::byte{'a'});
  EXPECT_EQ(memory_[5], std::byte{'d'});
  for (size_t i = 6; i < 56; ++i) EXPECT_EQ(memory_[i], std::byte{0});
  EXPECT_EQ(memory_[56], std::byte{0xEE});
  EXPECT_EQ(memory_[200], std::byte{'d'});
  EXPECT_EQ(memory_[202], std::byte{0});
}

TEST_F(ReadPlan, CarriedBytesOfAnotherLengthThanTheExtentAreDataLoss) {
  wire::ExtentRun carried;
  carried.set_length_bytes(5);
  carried.set_data("abcd");
  const std::vector<WantedRange> ranges = {{0, At(0, 5)}};
  EXPECT_EQ(PlanReads({&carried, 1}, 5, ranges, OneReplica, &cold).status().code(),
            absl::StatusCode::kDataLoss);
}

wire::ExtentRun ColdRun(uint64_t offset, uint64_t length, uint64_t object, uint64_t at) {
  wire::ExtentRun run;
  run.set_offset_bytes(offset);
  run.set_length_bytes(length);
  run.mutable_cold()->set_tier("archive");
  run.mutable_cold()->set_object(object);
  run.mutable_cold()->set_offset_bytes(at);
  return run;
}

TEST_F(ReadPlan, ColdRunsAreReadFromTheirObjectsInPiecesOfALimitedSize) {
  const std::vector<wire::ExtentRun> extents = {ColdRun(0, 20 * kMiB, 7, 64),
                                                ColdRun(20 * kMiB, 100, 8, 500)};
  std::vector<std::byte> memory(20 * kMiB);
  const std::vector<WantedRange> ranges = {{100, std::span(memory).first(10)},
                                           {110, std::span(memory).subspan(10)}};
  const uint64_t size = 20 * kMiB + 100;
  std::vector<WantedRange> within = ranges;
  within[1].destination = within[1].destination.first(20 * kMiB - 20);
  const auto reads = PlanReads(extents, size, within, OneReplica, &cold);
  ASSERT_TRUE(reads.ok()) << reads.status();
  EXPECT_TRUE(reads->empty());
  ASSERT_EQ(cold.size(), 4u);
  EXPECT_EQ(cold[0].place.offset_bytes(), 164u);
  EXPECT_EQ(cold[0].length_bytes, kColdReadBytesMax);
  EXPECT_EQ(cold[0].pieces.size(), 2u) << "two ranges that meet share a call";
  EXPECT_EQ(cold[1].place.offset_bytes(), 164u + kColdReadBytesMax);
  EXPECT_EQ(cold[3].place.object(), 8u);
  uint64_t bytes = 0;
  for (const ColdRead& read : cold) bytes += read.length_bytes;
  EXPECT_EQ(bytes, 20 * kMiB - 10);
}

TEST_F(ReadPlan, AReadOfColdBytesStaysWithinARun) {
  // They are neighbours in the object, too, and pieces of their own there.
  const std::vector<wire::ExtentRun> extents = {ColdRun(0, kMiB, 7, 64),
                                                ColdRun(kMiB, kMiB, 7, 64 + kMiB)};
  std::vector<std::byte> memory(2 * kMiB);
  const std::vector<WantedRange> ranges = {{0, memory}};
  std::vector<ColdRead> cold;
  ASSERT_TRUE(PlanReads(extents, 2 * kMiB, ranges, OneReplica, &cold).ok());
  ASSERT_EQ(cold.size(), 2u);
  EXPECT_EQ(cold[0].length_bytes, kMiB);
  EXPECT_EQ(cold[1].place.offset_bytes(), 64 + kMiB);
  EXPECT_EQ(cold[1].length_bytes, kMiB);
}

TEST_F(ReadPlan, APartOfAColdRunBeginsBehindWhatIsSkipped) {
  const std::vector<wire::ExtentRun> extents = {Part(ColdRun(0, 1000, 7, 64), 300, 200)};
  const std::vector<WantedRange> ranges = {{10, At(0, 190)}};
  std::vector<ColdRead> cold;
  ASSERT_TRUE(PlanReads(extents, 200, ranges, OneReplica, &cold).ok());
  ASSERT_EQ(cold.size(), 1u);
  EXPECT_EQ(cold[0].place.offset_bytes(), 64u + 310u);
  EXPECT_EQ(cold[0].length_bytes, 190u);
}

}  // namespace
}  // namespace cairn
