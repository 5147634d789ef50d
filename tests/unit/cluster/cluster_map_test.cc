// Goal: groups made once mean the same targets for ever, a target with data is never forgotten, and
// new groups lie on what works. Method: maps merged step by step. Nodes that join: membership_test.

#include "server/cluster/cluster_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace cairn {
namespace {

wire::ClusterMap Present(uint32_t targets) {
  wire::ClusterMap map;
  map.set_cluster_id("c");
  map.set_stripe_bytes(4 << 20);
  auto* node = map.add_nodes();
  node->set_id(1);
  node->set_endpoint("h:1");
  for (uint32_t id = 1; id <= targets; ++id) {
    auto* target = map.add_targets();
    target->set_id(id);
    target->set_node(1);
    target->set_path("/t" + std::to_string(id));
  }
  return map;
}

TEST(MergeClusterMap, FirstStartMakesGroupsForEveryTarget) {
  const auto map = MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(map->version(), 1u);
  EXPECT_EQ(map->groups_size(), 32);
}

TEST(MergeClusterMap, SameTargetsChangeNothing) {
  const auto first = MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  const auto second = MergeClusterMap(*first, Present(2), 16);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->SerializeAsString(), first->SerializeAsString());
}

TEST(MergeClusterMap, JoiningTargetLeavesOldGroupsAsTheyWere) {
  const auto first = MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  const auto second = MergeClusterMap(*first, Present(3), 16);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->version(), 2u);
  ASSERT_EQ(second->groups_size(), 48);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(second->groups(i).SerializeAsString(), first->groups(i).SerializeAsString());
  }
  for (int i = 32; i < 48; ++i) {
    EXPECT_EQ(second->groups(i).id(), static_cast<uint32_t>(i));
    EXPECT_EQ(second->groups(i).targets(0), 3u);
  }
}

TEST(MergeClusterMap, TargetThatIsGoneFromTheConfigurationIsNamed) {
  const auto first = MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  const auto second = MergeClusterMap(*first, Present(1), 16);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), testing::HasSubstr("/t2"));
}

TEST(MergeClusterMap, AFailedTargetKeepsItsGroupsAndComesBack) {
  const auto first = MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  wire::ClusterMap present = Present(2);
  present.mutable_targets(1)->set_state(wire::TARGET_FAILED);
  const auto failed = MergeClusterMap(*first, present, 16);
  ASSERT_TRUE(failed.ok()) << failed.status();
  EXPECT_EQ(failed->version(), 2u);
  EXPECT_EQ(failed->targets(1).state(), wire::TARGET_FAILED);
  EXPECT_EQ(failed->groups_size(), 32);
  const auto back = MergeClusterMap(*failed, Present(2), 16);
  EXPECT_EQ(back->version(), 3u);
  EXPECT_EQ(back->groups_size(), 32);
}

TEST(MergeClusterMap, ANewTargetThatHasFailedIsRefused) {
  wire::ClusterMap present = Present(3);
  present.mutable_targets(2)->set_state(wire::TARGET_FAILED);
  const auto map =
      MergeClusterMap(*MergeClusterMap(wire::ClusterMap(), Present(2), 16), present, 16);
  EXPECT_EQ(map.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(map.status().message()),
              testing::HasSubstr("/t3) is new and could not be opened"));
}

TEST(MergeClusterMap, WhatTheFoundingNodeDoesNotSayOfItselfStays) {
  wire::ClusterMap stored = *MergeClusterMap(wire::ClusterMap(), Present(1), 16);
  wire::NodeInfo* node = stored.mutable_nodes(0);
  node->set_rack("r1");
  node->set_name("host");
  node->set_state_since_ns(7);
  stored.mutable_targets(0)->set_capacity_bytes(1000);
  const auto same = MergeClusterMap(stored, Present(1), 16);
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ(same->SerializeAsString(), stored.SerializeAsString());

  node->set_state(wire::NODE_SUSPECT);
  wire::ClusterMap present = Present(1);
  present.mutable_nodes(0)->set_rack("r2");
  present.mutable_nodes(0)->set_endpoint("h:2");
  present.mutable_targets(0)->set_number(3);
  present.mutable_targets(0)->set_capacity_bytes(2000);
  const auto merged = MergeClusterMap(stored, present, 16);
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(merged->nodes(0).state(), wire::NODE_UP);
  EXPECT_EQ(merged->nodes(0).rack(), "r2");
  EXPECT_EQ(merged->nodes(0).name(), "host");
  EXPECT_EQ(merged->nodes(0).endpoint(), "h:2");
  EXPECT_EQ(merged->targets(0).number(), 3u);
  EXPECT_EQ(merged->targets(0).capacity_bytes(), 2000u);
  EXPECT_EQ(merged->version(), stored.version() + 1);
}

TEST(MergeClusterMap, ATargetWithAnIdOfAnotherNodeIsRefused) {
  wire::ClusterMap stored = *MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  stored.add_nodes()->set_id(2);
  wire::TargetInfo* joined = stored.add_targets();
  joined->set_id(3);
  joined->set_node(2);
  const auto unchanged = MergeClusterMap(stored, Present(2), 16);
  ASSERT_TRUE(unchanged.ok()) << unchanged.status();
  EXPECT_EQ(unchanged->SerializeAsString(), stored.SerializeAsString());
  const auto taken = MergeClusterMap(stored, Present(3), 16);
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(taken.status().message()), testing::HasSubstr("target 3 (/t3)"));
  EXPECT_THAT(std::string(taken.status().message()), testing::HasSubstr("add a node instead"));
  // The node has left, but groups still mean its target.
  stored.mutable_targets()->RemoveLast();
  stored.mutable_nodes()->RemoveLast();
  EXPECT_TRUE(MergeClusterMap(stored, Present(3), 16).ok());
  stored.mutable_groups(0)->add_targets(3);
  EXPECT_EQ(MergeClusterMap(stored, Present(3), 16).status(), taken.status());
}

TEST(MergeClusterMap, WhatAnOperatorWantsOfTheFoundingNodeStays) {
  wire::ClusterMap stored = *MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  stored.mutable_nodes(0)->set_draining(true);
  stored.mutable_nodes(0)->set_removing(true);
  stored.mutable_targets(1)->set_draining(true);
  const auto same = MergeClusterMap(stored, Present(2), 16);
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ(same->SerializeAsString(), stored.SerializeAsString());
}

TEST(MergeClusterMap, ATargetWithAnIdOfARemovedNodesIsRefused) {
  wire::ClusterMap stored = *MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  stored.set_last_removed_target(3);
  EXPECT_TRUE(MergeClusterMap(stored, Present(2), 16).ok());
  const auto taken = MergeClusterMap(stored, Present(3), 16);
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(taken.status().message()), testing::HasSubstr("target 3 (/t3)"));
}

wire::ClusterMap Nodes(uint32_t nodes, uint32_t targets_each) {
  wire::ClusterMap map;
  map.set_version(1);
  for (uint32_t id = 1; id <= nodes * targets_each; ++id) {
    auto* target = map.add_targets();
    target->set_id(id);
    target->set_node(1 + (id - 1) / targets_each);
    target->set_state(wire::TARGET_UP);
  }
  for (uint32_t id = 1; id <= nodes; ++id) map.add_nodes()->set_id(id);
  return map;
}

Redundancy Parsed(const char* text) { return *ParseRedundancy(text); }

TEST(AddGroupsFor, SpreadsFragmentsOverNodesAndLoadOverTargets) {
  const wire::ClusterMap before = Nodes(6, 2);
  const auto map = AddGroupsFor(before, Parsed("ec:4+2"), wire::DOMAIN_NODE, 16);
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(map->version(), 2u);
  ASSERT_EQ(map->groups_size(), 32);
  std::map<uint32_t, int> load;
  for (const auto& group : map->groups()) {
    EXPECT_EQ(group.redundancy(), "ec:4+2");
    ASSERT_EQ(group.targets_size(), 6);
    std::set<uint32_t> nodes;
    for (uint32_t target : group.targets()) {
      nodes.insert((target - 1) / 2);
      ++load[target];
    }
    EXPECT_EQ(nodes.size(), 6u);
  }
  for (const auto& [target, groups] : load) EXPECT_EQ(groups, 16) << target;
}

TEST(AddGroupsFor, OnceIsEnoughAndOldGroupsStay) {
  const auto one = AddGroupsFor(Nodes(4, 1), Parsed("replica:1"), wire::DOMAIN_NODE, 16);
  const auto two = AddGroupsFor(*one, Parsed("replica:2"), wire::DOMAIN_NODE, 16);
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(two->groups_size(), 64 + 32);
  for (int i = 0; i < 64; ++i)
    EXPECT_EQ(two->groups(i).SerializeAsString(), one->groups(i).SerializeAsString());
  const auto again = AddGroupsFor(*two, Parsed("replica:2"), wire::DOMAIN_NODE, 16);
  EXPECT_EQ(again->SerializeAsString(), two->SerializeAsString());
}

TEST(AddGroupsFor, TooFewDomainsAreRefusedWithWhatFits) {
  const auto nodes = AddGroupsFor(Nodes(3, 4), Parsed("ec:4+2"), wire::DOMAIN_NODE, 16);
  EXPECT_EQ(nodes.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(nodes.status().message(),
            "ec:4+2 needs 6 nodes, and the cluster has 3 that work; ec:2+1 or replica:3 would fit");
  const auto one = AddGroupsFor(Nodes(1, 4), Parsed("replica:2"), wire::DOMAIN_NODE, 16);
  EXPECT_EQ(one.status().message(),
            "replica:2 needs 2 nodes, and the cluster has 1 that work; replica:1 would fit");
  EXPECT_TRUE(AddGroupsFor(Nodes(1, 4), Parsed("replica:2"), wire::DOMAIN_TARGET, 16).ok());
  wire::ClusterMap failed = Nodes(6, 1);
  failed.mutable_targets(2)->set_state(wire::TARGET_FAILED);
  EXPECT_FALSE(AddGroupsFor(failed, Parsed("ec:4+2"), wire::DOMAIN_NODE, 16).ok());
}

TEST(AddGroupsFor, OnlyTargetsThatWorkNowAreTaken) {
  const auto fails = [](const wire::ClusterMap& map) {
    return AddGroupsFor(map, Parsed("replica:4"), wire::DOMAIN_NODE, 16).status().message() ==
           "replica:4 needs 4 nodes, and the cluster has 3 that work; replica:3 would fit";
  };
  wire::ClusterMap map = Nodes(4, 1);
  map.mutable_nodes(1)->set_state(wire::NODE_SUSPECT);
  EXPECT_TRUE(AddGroupsFor(map, Parsed("replica:4"), wire::DOMAIN_NODE, 16).ok());
  for (wire::NodeState state : {wire::NODE_DOWN, wire::NODE_OUT}) {
    map.mutable_nodes(1)->set_state(state);
    EXPECT_TRUE(fails(map)) << state;
  }
  map = Nodes(4, 1);
  map.mutable_nodes(1)->set_draining(true);
  EXPECT_TRUE(fails(map));
  map = Nodes(4, 1);
  map.mutable_nodes(1)->set_removing(true);
  EXPECT_TRUE(fails(map));
  map = Nodes(4, 1);
  map.mutable_targets(1)->set_draining(true);
  EXPECT_TRUE(fails(map));
  map = Nodes(4, 1);
  map.mutable_targets(3)->set_joining(true);
  EXPECT_TRUE(fails(map));
  const auto three = AddGroupsFor(map, Parsed("replica:3"), wire::DOMAIN_NODE, 16);
  ASSERT_TRUE(three.ok()) << three.status();
  for (const auto& group : three->groups())
    EXPECT_THAT(group.targets(), testing::UnorderedElementsAre(1, 2, 3));
}

TEST(AddGroupsFor, KeepsRacksApart) {
  wire::ClusterMap map = Nodes(6, 1);
  for (int i = 0; i < 6; ++i) map.mutable_nodes(i)->set_rack(std::string(1, "abc"[i % 3]));
  const auto racks = AddGroupsFor(map, Parsed("replica:3"), wire::DOMAIN_RACK, 16);
  ASSERT_TRUE(racks.ok()) << racks.status();
  ASSERT_EQ(racks->groups_size(), 32);
  for (const auto& group : racks->groups()) {
    EXPECT_EQ(group.level(), wire::DOMAIN_RACK);
    std::set<uint32_t> used;
    for (uint32_t target : group.targets()) used.insert((target - 1) % 3);
    EXPECT_EQ(used.size(), 3u);
  }
  EXPECT_EQ(AddGroupsFor(map, Parsed("ec:4+2"), wire::DOMAIN_RACK, 16).status().message(),
            "ec:4+2 needs 6 racks, and the cluster has 3 that work; ec:2+1 or replica:3 would fit");
}

TEST(AddGroupsFor, ANodeThatHasNotSaidItsRackIsNamed) {
  wire::ClusterMap map = Nodes(3, 1);
  map.mutable_nodes(0)->set_rack("a");
  map.mutable_nodes(2)->set_rack("b");
  const auto refused = AddGroupsFor(map, Parsed("replica:2"), wire::DOMAIN_RACK, 16);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(refused.status().message(), "node 2 has not said which rack it is in: set `rack`");
  map.mutable_nodes(1)->set_state(wire::NODE_DOWN);
  EXPECT_TRUE(AddGroupsFor(map, Parsed("replica:2"), wire::DOMAIN_RACK, 16).ok());
}

TEST(AddGroupsForNewTargets, OneCopyIsTheSameByEveryName) {
  wire::ClusterMap map = *AddGroupsFor(Nodes(2, 1), Parsed("replica:1"), wire::DOMAIN_TARGET, 16);
  const std::string before = map.SerializeAsString();
  AddGroupsForNewTargets(&map, 0, 16);
  EXPECT_EQ(map.SerializeAsString(), before);
}

TEST(AddGroupsForNewTargets, WhatIsToBeEmptyGetsNoneThoughItIsHeard) {
  wire::ClusterMap map = *AddGroupsFor(Nodes(2, 1), Parsed("replica:2"), wire::DOMAIN_NODE, 16);
  AddGroupsForNewTargets(&map, 0, 16);
  wire::ClusterMap grown = Nodes(3, 1);
  *grown.mutable_groups() = map.groups();
  grown.mutable_nodes(2)->set_draining(true);
  AddGroupsForNewTargets(&grown, 3, 16);
  EXPECT_EQ(grown.groups_size(), map.groups_size());
  grown.mutable_nodes(2)->set_draining(false);
  AddGroupsForNewTargets(&grown, 3, 16);
  EXPECT_GT(grown.groups_size(), map.groups_size());
}

TEST(FewestDomains, SoManyThatOneHoldsNoMoreThanMayBeLost) {
  const std::pair<const char*, uint32_t> cases[] = {{"replica:1", 1}, {"replica:2", 2},
                                                    {"replica:3", 2}, {"ec:2+1", 3},
                                                    {"ec:4+2", 3},    {"ec:8+3", 4}};
  for (const auto& [redundancy, domains] : cases)
    EXPECT_EQ(FewestDomains(Parsed(redundancy)), domains) << redundancy;
}

TEST(BumpVersionIfChanged, OnlyAChangeMakesAVersion) {
  const wire::ClusterMap before = Nodes(2, 1);
  wire::ClusterMap after = before;
  after.set_version(77);
  EXPECT_FALSE(BumpVersionIfChanged(before, &after));
  EXPECT_EQ(after.version(), before.version());
  after.mutable_nodes(0)->set_name("host");
  EXPECT_TRUE(BumpVersionIfChanged(before, &after));
  EXPECT_EQ(after.version(), before.version() + 1);
}

void SetState(wire::ClusterMap* map, uint32_t node, wire::NodeState state) {
  for (wire::NodeInfo& info : *map->mutable_nodes())
    if (info.id() == node) info.set_state(state);
}

// The most fragments of one stripe that a node has.
int MostOnOneNode(const wire::ClusterMap& map, const wire::PlacementGroup& group) {
  std::map<uint32_t, int> by_node;
  for (uint32_t target : group.targets())
    for (const wire::TargetInfo& info : map.targets())
      if (info.id() == target) ++by_node[info.node()];
  int most = 0;
  for (const auto& [node, fragments] : by_node) most = std::max(most, fragments);
  return most;
}

TEST(AddUsableGroups, TwoOfSixNodesDownLeaveGroupsThatSurviveAThird) {
  wire::ClusterMap map = *AddGroupsFor(Nodes(6, 1), Parsed("ec:4+2"), wire::DOMAIN_NODE, 16);
  const wire::ClusterMap before = map;
  AddUsableGroups(&map, 16);
  EXPECT_EQ(map.SerializeAsString(), before.SerializeAsString()) << "all are up";
  SetState(&map, 2, wire::NODE_DOWN);
  SetState(&map, 5, wire::NODE_DOWN);
  AddUsableGroups(&map, 16);
  ASSERT_GT(map.groups_size(), before.groups_size());
  std::map<uint32_t, int> load;
  for (int i = before.groups_size(); i < map.groups_size(); ++i) {
    const wire::PlacementGroup& group = map.groups(i);
    EXPECT_TRUE(group.crowded());
    EXPECT_EQ(group.redundancy(), "ec:4+2");
    EXPECT_EQ(group.targets_size(), 6);
    EXPECT_LE(MostOnOneNode(map, group), 2);
    for (uint32_t target : group.targets()) ++load[target];
  }
  EXPECT_EQ(load.size(), 4u);
  EXPECT_FALSE(load.contains(2) || load.contains(5));
  // As long as they do, no more are made.
  const wire::ClusterMap crowded = map;
  AddUsableGroups(&map, 16);
  EXPECT_EQ(map.SerializeAsString(), crowded.SerializeAsString());
  SetState(&map, 2, wire::NODE_UP);
  SetState(&map, 5, wire::NODE_UP);
  AddUsableGroups(&map, 16);
  EXPECT_EQ(map.groups_size(), crowded.groups_size());
}

TEST(AddUsableGroups, ANodeThatIsToBeEmptyIsWrittenAround) {
  wire::ClusterMap map = *AddGroupsFor(Nodes(7, 1), Parsed("ec:4+2"), wire::DOMAIN_NODE, 1);
  const int before = map.groups_size();
  map.mutable_nodes(2)->set_draining(true);
  AddUsableGroups(&map, 16);
  const auto is_there = [&map](const wire::PlacementGroup& group) {
    return MostOnOneNode(map, group) == 1 &&
           std::find(group.targets().begin(), group.targets().end(), 3u) == group.targets().end();
  };
  EXPECT_TRUE(std::any_of(map.groups().begin(), map.groups().end(), is_there));
  for (int i = before; i < map.groups_size(); ++i) EXPECT_TRUE(is_there(map.groups(i)));
  // Without a seventh, what is new is crowded into the five others.
  wire::ClusterMap six = *AddGroupsFor(Nodes(6, 1), Parsed("ec:4+2"), wire::DOMAIN_NODE, 1);
  six.mutable_nodes(2)->set_draining(true);
  AddUsableGroups(&six, 16);
  const wire::PlacementGroup& last = six.groups(six.groups_size() - 1);
  EXPECT_TRUE(last.crowded());
  EXPECT_EQ(std::count(last.targets().begin(), last.targets().end(), 3u), 0);
}

TEST(AddUsableGroups, NoneWhereTheLossOfOneMoreNodeWouldLoseData) {
  for (const char* redundancy : {"ec:2+1", "replica:2"}) {
    const auto width = static_cast<uint32_t>(Parsed(redundancy).width());
    wire::ClusterMap map = *AddGroupsFor(Nodes(width, 1), Parsed(redundancy), wire::DOMAIN_NODE, 4);
    SetState(&map, 1, wire::NODE_DOWN);
    const int before = map.groups_size();
    AddUsableGroups(&map, 4);
    EXPECT_EQ(map.groups_size(), before) << redundancy;
  }
}

TEST(AddUsableGroups, NoneWhileAFullGroupIsLeft) {
  wire::ClusterMap map = *AddGroupsFor(Nodes(8, 1), Parsed("ec:4+2"), wire::DOMAIN_NODE, 64);
  SetState(&map, 1, wire::NODE_DOWN);
  const int before = map.groups_size();
  AddUsableGroups(&map, 64);
  EXPECT_EQ(map.groups_size(), before);
}

TEST(AddUsableGroups, SeveralTargetsOfANodeShareWhatItGets) {
  wire::ClusterMap map = *AddGroupsFor(Nodes(6, 2), Parsed("ec:4+2"), wire::DOMAIN_NODE, 16);
  const int before = map.groups_size();
  SetState(&map, 1, wire::NODE_DOWN);
  AddUsableGroups(&map, 16);
  std::map<uint32_t, int> load;
  for (int i = before; i < map.groups_size(); ++i) {
    std::set<uint32_t> distinct(map.groups(i).targets().begin(), map.groups(i).targets().end());
    EXPECT_EQ(distinct.size(), 6u) << "there are enough targets";
    EXPECT_LE(MostOnOneNode(map, map.groups(i)), 2);
    for (uint32_t target : distinct) ++load[target];
  }
  EXPECT_EQ(load.size(), 10u);
}

// Which groups a loss leaves whole is chance; that one is left is not.
TEST(AddUsableGroups, WhateverTwoOrThreeNodesAreDownThereIsAGroup) {
  for (uint32_t nodes = 8; nodes <= 9; ++nodes) {
    const wire::ClusterMap all =
        *AddGroupsFor(Nodes(nodes, 1), Parsed("ec:4+2"), wire::DOMAIN_NODE, 16);
    for (uint32_t lost = 0; lost < 1u << nodes; ++lost) {
      if (__builtin_popcount(lost) > 4) continue;
      wire::ClusterMap map = all;
      std::set<uint32_t> up;
      for (uint32_t node = 1; node <= nodes; ++node) {
        const bool down = (lost >> (node - 1) & 1) != 0;
        if (down) SetState(&map, node, wire::NODE_DOWN);
        if (!down) up.insert(node);
      }
      AddUsableGroups(&map, 16);
      const bool usable = std::any_of(
          map.groups().begin(), map.groups().end(), [&up, &map](const wire::PlacementGroup& group) {
            return MostOnOneNode(map, group) <= (up.size() < 6 ? 2 : 1) &&
                   std::all_of(group.targets().begin(), group.targets().end(),
                               [&up](uint32_t target) { return up.contains(target); });
          });
      EXPECT_TRUE(usable) << nodes << " nodes, lost " << lost;
      const int groups = map.groups_size();
      AddUsableGroups(&map, 16);
      EXPECT_EQ(map.groups_size(), groups);
    }
  }
}

}  // namespace
}  // namespace cairn
