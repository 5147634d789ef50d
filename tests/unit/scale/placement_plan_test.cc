// Goal: the model's calls are those that Cairn would make. Method: sums over all ranks, and how
// even the targets come out, which is what the study is about.

#include "bench/scale/placement_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "bench/scale/work.h"
#include "common/base/units.h"

namespace cairn::scale {
namespace {

constexpr uint32_t kNodes = 16;
constexpr uint32_t kTargets = kNodes * 4;

class PlacementPlanTest : public testing::Test {
 protected:
  void Make(uint32_t ranks, uint64_t rank_bytes) {
    map_ = *MakeMap(kNodes, 4, redundancy_);
    plan_ = *PlacementPlan::Make(map_, {ranks, rank_bytes, redundancy_}, 1);
  }
  std::vector<uint64_t> BytesOf(const Work& work) const {
    std::vector<uint64_t> bytes(kTargets);
    for (const PlannedCall& call : work.calls) bytes[call.target] += call.length_bytes;
    return bytes;
  }
  double SpreadOf(const Work& work) const {
    uint64_t most = 0, sum = 0;
    for (uint64_t each : BytesOf(work)) {
      most = std::max(most, each);
      sum += each;
    }
    return static_cast<double>(most) * kTargets / static_cast<double>(sum);
  }

  const Redundancy redundancy_ = *ParseRedundancy("ec:4+2");
  const std::vector<bool> all_ = std::vector<bool>(kTargets, true);
  wire::ClusterMap map_;
  PlacementPlan plan_;
};

TEST_F(PlacementPlanTest, SaveWritesParityAndRestoreReadsContentOnce) {
  Make(32, 40 * kMiB + 12345);
  const Work save = *Work::Make(plan_, Direction::kSave, all_);
  const Work restore = *Work::Make(plan_, Direction::kRestore, all_);
  uint64_t written = 0, read = 0, content = 0;
  for (const PlannedCall& call : save.calls) written += call.length_bytes;
  for (uint32_t each : save.item_content) content += each;
  for (const PlannedCall& call : restore.calls) read += call.length_bytes;
  EXPECT_EQ(content, plan_.ranks() * plan_.shape().rank_bytes);
  EXPECT_EQ(read, content);
  // Ten whole stripes of each rank at one and a half, and a short one with its parity.
  EXPECT_EQ(written, 32 * (10 * 6 * kMiB + 3 * 12345));
}

TEST_F(PlacementPlanTest, TargetsAreWrittenAndReadAlmostAlike) {
  Make(512, 64 * kMiB);
  EXPECT_LT(SpreadOf(*Work::Make(plan_, Direction::kSave, all_)), 1.12);
  EXPECT_LT(SpreadOf(*Work::Make(plan_, Direction::kRestore, all_)), 1.22);
}

TEST_F(PlacementPlanTest, WhatANodeHeldIsReadFromOthers) {
  Make(32, 64 * kMiB);
  std::vector<bool> reachable = all_;
  std::fill_n(reachable.begin(), 4, false);
  const Work work = *Work::Make(plan_, Direction::kRestore, reachable);
  const std::vector<uint64_t> bytes = BytesOf(work);
  for (uint32_t target = 0; target < 4; ++target) EXPECT_EQ(bytes[target], 0u);
  const Work whole = *Work::Make(plan_, Direction::kRestore, all_);
  EXPECT_EQ(work.item_ends.size(), whole.item_ends.size());
  EXPECT_GT(work.calls.size(), whole.calls.size());
}

TEST_F(PlacementPlanTest, NothingIsWrittenToNodesThatAreDown) {
  Make(1, kMiB);
  map_ = *MakeMap(kNodes, 4, redundancy_, 2);
  plan_ = *PlacementPlan::Make(map_, {64, 64 * kMiB, redundancy_}, 1);
  const Work save = *Work::Make(plan_, Direction::kSave, all_);
  for (const PlannedCall& call : save.calls) EXPECT_GE(call.target, 8u);
}

TEST_F(PlacementPlanTest, ShorterShardsLieWhereTheLongOnesBegin) {
  Make(8, 64 * kMiB);
  const std::vector<PlacedStripe> whole = plan_.StripesOf(3);
  const std::vector<PlacedStripe> part = plan_.WithShards(20 * kMiB).StripesOf(3);
  ASSERT_EQ(part.size(), 5u);
  for (size_t i = 0; i < part.size(); ++i) {
    EXPECT_EQ(part[i].id, whole[i].id);
    EXPECT_EQ(part[i].group, whole[i].group);
  }
}

}  // namespace
}  // namespace cairn::scale
