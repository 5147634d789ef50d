// Goal: a write goes on as long as any target takes it, and is told why when none does. Method:
// small maps, and every target refusing in turn.

#include "client/io/rotation.h"

#include <gtest/gtest.h>

#include <map>

#include <string>

namespace cairn {
namespace {

// `groups` groups of one target each, dealt out in turn.
wire::ClusterMap Map(uint32_t targets, uint32_t groups) {
  wire::ClusterMap map;
  map.add_nodes()->set_id(0);
  for (uint32_t i = 1; i <= targets; ++i) {
    wire::TargetInfo* target = map.add_targets();
    target->set_id(i);
    target->set_state(wire::TARGET_UP);
  }
  for (uint32_t i = 0; i < groups; ++i) {
    wire::PlacementGroup* group = map.add_groups();
    group->set_id(i);
    group->add_targets(1 + i % targets);
  }
  return map;
}
TargetId TargetOf(const wire::ClusterMap& map, PgId group) {
  return TargetId(map.groups(static_cast<int>(group.value())).targets(0));
}

TEST(Rotation, ConsecutiveStripesRotateOverSixteenGroups) {
  const Rotation rotation(Map(8, 64), Redundancy(), 1);
  for (uint64_t id = 0; id < 100; ++id) {
    EXPECT_EQ(rotation.GroupOf(StripeId(id)), rotation.GroupOf(StripeId(id + 16)));
    EXPECT_NE(rotation.GroupOf(StripeId(id)), rotation.GroupOf(StripeId(id + 1)));
  }
}

// Also those beyond the sixteen groups that it began with.
TEST(Rotation, TargetsThatRefusedGetNothingMoreAndTheOthersAll) {
  const wire::ClusterMap map = Map(40, 80);
  Rotation rotation(map, Redundancy(), 1);
  for (uint32_t refused = 1; refused < 40; ++refused) {
    ASSERT_TRUE(rotation.Usable().ok());
    rotation.Refuse(TargetId(refused), absl::ResourceExhaustedError("full"));
    for (uint64_t id = 0; id < 50; ++id) {
      EXPECT_GT(TargetOf(map, rotation.GroupOf(StripeId(id))), TargetId(refused));
    }
  }
  rotation.Refuse(TargetId(40), absl::FailedPreconditionError("failed"));
  const absl::Status usable = rotation.Usable();
  EXPECT_TRUE(absl::IsResourceExhausted(usable)) << usable;
}

TEST(Rotation, ReasonIsTheTargetsOwn) {
  Rotation failed(Map(1, 4), Redundancy(), 1);
  failed.Refuse(TargetId(1), absl::FailedPreconditionError("target 1 has failed"));
  EXPECT_TRUE(absl::IsFailedPrecondition(failed.Usable())) << failed.Usable();
  wire::ClusterMap map = Map(1, 4);
  map.mutable_targets(0)->set_state(wire::TARGET_FAILED);
  EXPECT_TRUE(absl::IsUnavailable(Rotation(map, Redundancy(), 1).Usable()));
}

TEST(Rotation, GroupWithOneRefusingTargetIsLeftOut) {
  wire::ClusterMap map = Map(3, 3);
  for (wire::PlacementGroup& group : *map.mutable_groups()) {
    group.add_targets(1 + group.targets(0) % 3);  // 1+2, 2+3, 3+1
  }
  Rotation rotation(map, Redundancy(), 1);
  rotation.Refuse(TargetId(1), absl::ResourceExhaustedError("full"));
  EXPECT_EQ(rotation.GroupOf(StripeId(5)), PgId(1));
  EXPECT_EQ(rotation.GroupOf(StripeId(6)), PgId(1));
}

// A cluster that is restarting must not look full for ever.
TEST(Rotation, SilentTargetsAreTriedAgainWhenNothingElseIsLeft) {
  const wire::ClusterMap map = Map(2, 4);
  Rotation rotation(map, Redundancy(), 1);
  EXPECT_TRUE(rotation.CanAvoid(TargetId(1)));
  rotation.Refuse(TargetId(1), absl::UnavailableError("silent"));
  EXPECT_FALSE(rotation.CanAvoid(TargetId(2)));
  EXPECT_EQ(TargetOf(map, rotation.GroupOf(StripeId(7))), TargetId(2));
  rotation.Refuse(TargetId(2), absl::ResourceExhaustedError("full"));
  ASSERT_TRUE(rotation.Usable().ok());
  EXPECT_EQ(TargetOf(map, rotation.GroupOf(StripeId(7))), TargetId(1));
  rotation.Refuse(TargetId(1), absl::FailedPreconditionError("failed"));
  EXPECT_TRUE(absl::IsResourceExhausted(rotation.Usable()));
}

TEST(Rotation, OnlyGroupsOfTheRedundancyTakePart) {
  wire::ClusterMap map = Map(6, 12);
  for (int i = 6; i < 12; ++i) map.mutable_groups(i)->set_redundancy("ec:4+2");
  const Rotation plain(map, Redundancy(), 1);
  const Rotation coded(map, *ParseRedundancy("ec:4+2"), 1);
  for (uint64_t id = 0; id < 20; ++id) {
    EXPECT_LT(plain.GroupOf(StripeId(id)).value(), 6u);
    EXPECT_GE(coded.GroupOf(StripeId(id)).value(), 6u);
  }
  EXPECT_TRUE(absl::IsUnavailable(Rotation(map, *ParseRedundancy("replica:3"), 1).Usable()));
}

// Four targets on a node each, of which every group has two.
wire::ClusterMap FourNodes() {
  wire::ClusterMap map;
  map.set_version(1);
  for (uint32_t id = 1; id <= 4; ++id) {
    map.add_nodes()->set_id(id);
    wire::TargetInfo* target = map.add_targets();
    target->set_id(id);
    target->set_node(id);
    target->set_state(wire::TARGET_UP);
    wire::PlacementGroup* group = map.add_groups();
    group->set_id(id);
    group->add_targets(id);
    group->add_targets(1 + id % 4);
    group->set_redundancy("replica:2");
  }
  return map;
}

TEST(Rotation, NodesThatAreNotUpGetNothingAndSuspectsWhenNobodyElseIsLeft) {
  wire::ClusterMap map = FourNodes();
  map.mutable_nodes(0)->set_state(wire::NODE_DOWN);
  map.mutable_nodes(1)->set_state(wire::NODE_SUSPECT);
  const Redundancy redundancy = *ParseRedundancy("replica:2");
  EXPECT_EQ(Rotation(map, redundancy, 1).GroupOf(StripeId(1)), PgId(3));  // 3 and 4
  map.mutable_nodes(3)->set_state(wire::NODE_OUT);
  EXPECT_EQ(Rotation(map, redundancy, 1).GroupOf(StripeId(1)), PgId(2));  // 2 and 3
  map.mutable_nodes(2)->set_state(wire::NODE_DOWN);
  EXPECT_TRUE(absl::IsUnavailable(Rotation(map, redundancy, 1).Usable()));
}

TEST(Rotation, LearnsOfNodesThatWentAndOfGroupsMadeSince) {
  wire::ClusterMap map = FourNodes();
  Rotation rotation(map, *ParseRedundancy("replica:2"), 1);
  for (int node : {0, 2}) map.mutable_nodes(node)->set_state(wire::NODE_DOWN);
  rotation.Learn(map);
  EXPECT_FALSE(rotation.IsAvoided(TargetId(1))) << "the version is not newer";
  map.set_version(2);
  rotation.Learn(map);
  // Each group has a target that is down: silence is forgiven, one may be back.
  EXPECT_TRUE(rotation.Usable().ok());
  EXPECT_FALSE(rotation.IsAvoided(TargetId(1)));
  wire::PlacementGroup* crowded = map.add_groups();
  crowded->set_id(9);
  crowded->add_targets(2);
  crowded->add_targets(4);
  crowded->set_redundancy("replica:2");
  crowded->set_crowded(true);
  map.set_version(3);
  rotation.Learn(map);
  EXPECT_TRUE(rotation.IsAvoided(TargetId(1)));
  EXPECT_TRUE(rotation.IsAvoided(TargetId(3)));
  for (uint64_t id = 0; id < 8; ++id) EXPECT_EQ(rotation.GroupOf(StripeId(id)), PgId(9));
  for (int node : {0, 2}) map.mutable_nodes(node)->set_state(wire::NODE_UP);
  map.set_version(4);
  rotation.Learn(map);
  for (uint64_t id = 0; id < 8; ++id) EXPECT_NE(rotation.GroupOf(StripeId(id)), PgId(9));
}

// The map has a target's groups side by side; a shard still is to be everywhere alike.
TEST(Rotation, TargetsGetTheSameShareOfAWrite) {
  for (uint64_t turn = 1; turn <= 20; ++turn) {
    wire::ClusterMap map = Map(4, 64);
    for (int i = 0; i < 64; ++i)
      map.mutable_groups(i)->set_targets(0, static_cast<uint32_t>(1 + i / 16));
    const Rotation rotation(map, Redundancy(), turn);
    std::map<TargetId, int> load;
    for (uint64_t id = 0; id < 16; ++id) ++load[TargetOf(map, rotation.GroupOf(StripeId(id)))];
    EXPECT_EQ(load.size(), 4u);
    for (const auto& [target, stripes] : load) EXPECT_EQ(stripes, 4) << target.value();
  }
}

// Without knowing of each other, and whichever of them write most.
TEST(Rotation, RanksThatBeginTogetherUseAllTargetsAlike) {
  constexpr uint32_t kTargets = 64, kRanks = 1000;
  wire::ClusterMap map = Map(kTargets, kTargets * 4);
  for (uint64_t step : {1, 2, 8, 16, 32}) {
    std::map<TargetId, int> load;
    for (uint64_t rank = 0; rank < kRanks; ++rank) {
      const Rotation rotation(map, Redundancy(), 5 + rank * step);
      for (uint64_t id = 0; id < 16; ++id) ++load[TargetOf(map, rotation.GroupOf(StripeId(id)))];
    }
    constexpr double kShare = 16.0 * kRanks / kTargets;
    ASSERT_EQ(load.size(), kTargets);
    for (const auto& [target, stripes] : load) {
      EXPECT_NEAR(stripes, kShare, kShare / 25) << "target " << target.value() << ", step " << step;
    }
  }
}

}  // namespace
}  // namespace cairn
