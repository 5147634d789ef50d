// Goal: a node that joins keeps its ids, ids are never used twice, its targets get their share of
// groups, and groups that exist are never touched. Method: maps changed step by step as the service
// does, and random histories with what must hold after each step.

#include "server/cluster/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/base/strings.h"
#include "server/cluster/cluster_map.h"
#include "tests/sim/seeds.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint32_t kGroupsPerTarget = 16;

wire::JoinRequest JoinOf(uint64_t identity, uint32_t targets, const std::string& rack = "") {
  wire::JoinRequest request;
  request.set_identity(identity);
  request.set_name(StrCat("host", identity));
  request.set_rack(rack);
  request.set_target_count(targets);
  return request;
}

// A map that is changed as the service changes it. Checks after each change what must always hold.
class Cluster {
 public:
  // The founding node has `targets` targets.
  explicit Cluster(uint32_t targets, uint32_t groups_per_target = kGroupsPerTarget)
      : groups_per_target_(groups_per_target) {
    wire::ClusterMap present;
    present.set_cluster_id("c");
    wire::NodeInfo* node = present.add_nodes();
    node->set_id(1);
    node->set_endpoint("node1:1");
    node->set_rack("a");
    for (uint32_t number = 0; number < targets; ++number) {
      wire::TargetInfo* target = present.add_targets();
      target->set_id(number + 1);
      target->set_node(1);
      target->set_number(number);
      target->set_state(wire::TARGET_UP);
    }
    map_ = *MergeClusterMap({}, present, groups_per_target_);
  }

  const wire::ClusterMap& map() const { return map_; }

  absl::StatusOr<wire::JoinReply> Join(const wire::JoinRequest& request) {
    wire::ClusterMap changed = map_;
    absl::StatusOr<wire::JoinReply> reply = AddNode(&changed, request, 1000);
    Store(changed, reply.status());
    return reply;
  }

  wire::HeartbeatRequest HeartbeatOf(uint32_t node, wire::TargetState state = wire::TARGET_UP) {
    wire::HeartbeatRequest heartbeat;
    heartbeat.set_node(node);
    heartbeat.set_endpoint(StrCat("node", node, ":1"));
    for (const wire::TargetInfo& target : map_.targets()) {
      if (target.node() != node) continue;
      wire::TargetInfo* reported = heartbeat.add_targets();
      reported->set_id(target.id());
      reported->set_state(state);
      reported->set_core(target.number());
      reported->set_path(StrCat("/t", target.number()));
      reported->set_capacity_bytes(1000);
      reported->set_used_bytes(500);
    }
    return heartbeat;
  }

  absl::Status Hear(const wire::HeartbeatRequest& heartbeat) {
    wire::ClusterMap changed = map_;
    absl::Status heard = UpdateNode(&changed, heartbeat, groups_per_target_);
    const bool is_same = changed.SerializeAsString() == map_.SerializeAsString();
    EXPECT_EQ(IsCurrent(map_, heartbeat), heard.ok() && is_same);
    Store(changed, heard);
    return heard;
  }

  void SetState(uint32_t node, wire::NodeState state) {
    wire::ClusterMap changed = map_;
    SetNodeState(&changed, node, state, 2000);
    Store(changed, absl::OkStatus());
  }

  // Joins, opens its targets, and is found alive.
  uint32_t Add(uint64_t identity, uint32_t targets, const std::string& rack = "") {
    const uint32_t node = Join(JoinOf(identity, targets, rack))->node();
    EXPECT_TRUE(Hear(HeartbeatOf(node)).ok());
    SetState(node, wire::NODE_UP);
    return node;
  }

  absl::Status MakeGroups(const char* redundancy, wire::DomainLevel level) {
    const auto grown = AddGroupsFor(map_, *ParseRedundancy(redundancy), level, groups_per_target_);
    if (grown.ok()) Store(*grown, absl::OkStatus());
    return grown.status();
  }

  // Not something that a node can do yet.
  void Remove(uint32_t node) {
    auto& nodes = *map_.mutable_nodes();
    const auto is_it = [node](const auto& n) { return n.id() == node; };
    nodes.erase(std::remove_if(nodes.begin(), nodes.end(), is_it), nodes.end());
    auto& targets = *map_.mutable_targets();
    const auto is_its = [node](const auto& t) { return t.node() == node; };
    targets.erase(std::remove_if(targets.begin(), targets.end(), is_its), targets.end());
  }

  // In how many groups of a redundancy ("": one copy) each target is that has groups at all.
  std::map<uint32_t, int> Load(const std::string& redundancy) const {
    std::map<uint32_t, int> load;
    for (const wire::TargetInfo& target : map_.targets())
      if (!target.joining()) load[target.id()] = 0;
    for (const wire::PlacementGroup& group : map_.groups())
      if (group.redundancy() == redundancy)
        for (uint32_t target : group.targets()) ++load[target];
    return load;
  }

  int GroupsOf(const std::string& redundancy) const {
    return static_cast<int>(
        std::count_if(map_.groups().begin(), map_.groups().end(),
                      [&](const auto& group) { return group.redundancy() == redundancy; }));
  }

 private:
  void Store(wire::ClusterMap changed, const absl::Status& status) {
    const wire::ClusterMap before = map_;
    const bool is_changed = BumpVersionIfChanged(before, &changed);
    EXPECT_TRUE(status.ok() || !is_changed) << status;
    EXPECT_EQ(changed.version(), before.version() + (is_changed ? 1 : 0));
    if (!is_changed) return;
    map_ = std::move(changed);
    CheckOldGroups(before);
    CheckNewGroups(before.groups_size());
    CheckIds(before);
  }

  void CheckOldGroups(const wire::ClusterMap& before) {
    ASSERT_GE(map_.groups_size(), before.groups_size());
    for (int i = 0; i < before.groups_size(); ++i)
      ASSERT_EQ(map_.groups(i).SerializeAsString(), before.groups(i).SerializeAsString());
  }

  void CheckNewGroups(int first) {
    std::map<uint32_t, const wire::TargetInfo*> targets;
    for (const wire::TargetInfo& target : map_.targets()) targets[target.id()] = &target;
    std::map<uint32_t, std::string> racks;
    for (const wire::NodeInfo& node : map_.nodes()) racks[node.id()] = node.rack();
    for (int i = first; i < map_.groups_size(); ++i) {
      const wire::PlacementGroup& group = map_.groups(i);
      EXPECT_EQ(group.id(), i > 0 ? map_.groups(i - 1).id() + 1 : 0);
      std::set<std::string> domains;
      for (uint32_t id : group.targets()) {
        ASSERT_TRUE(targets.contains(id));
        EXPECT_EQ(targets[id]->state(), wire::TARGET_UP);
        EXPECT_FALSE(targets[id]->joining());
        const uint32_t node = targets[id]->node();
        if (group.level() == wire::DOMAIN_RACK) {
          EXPECT_NE(racks[node], "");
          domains.insert(racks[node]);
        } else {
          domains.insert(StrCat(group.level() == wire::DOMAIN_TARGET ? id : node));
        }
      }
      const std::string& text = group.redundancy();
      EXPECT_EQ(group.targets_size(),
                text.empty() ? 1 : static_cast<int>(ParseRedundancy(text)->width()));
      EXPECT_EQ(static_cast<int>(domains.size()), group.targets_size()) << group.ShortDebugString();
    }
  }

  // Nothing that has an id loses or changes it, what is new has one that was never seen.
  void CheckIds(const wire::ClusterMap& before) {
    std::map<uint32_t, uint32_t> node_of;
    for (const wire::TargetInfo& target : map_.targets())
      EXPECT_TRUE(node_of.emplace(target.id(), target.node()).second) << target.id();
    for (const wire::TargetInfo& target : before.targets())
      EXPECT_EQ(node_of[target.id()], target.node());
    std::set<uint32_t> nodes;
    for (const wire::NodeInfo& node : map_.nodes()) EXPECT_TRUE(nodes.insert(node.id()).second);
    for (const auto& [target, node] : node_of) {
      const bool is_new = seen_.insert(target).second;
      EXPECT_TRUE(!is_new || target == *seen_.rbegin()) << target << " was used before";
    }
  }

  const uint32_t groups_per_target_;
  wire::ClusterMap map_;
  std::set<uint32_t> seen_;  // ids of targets
};

// What of the bandwidth of all targets the busiest one leaves, from 0 to 1.
double Balance(const std::map<uint32_t, int>& load) {
  int sum = 0;
  int most = 0;
  for (const auto& [target, groups] : load) {
    sum += groups;
    most = std::max(most, groups);
  }
  return static_cast<double>(sum) / most / static_cast<double>(load.size());
}

// From the target with the fewest groups to the one with the most.
int Spread(const std::map<uint32_t, int>& load) {
  const auto fewer = [](const auto& a, const auto& b) { return a.second < b.second; };
  const auto [least, most] = std::minmax_element(load.begin(), load.end(), fewer);
  return most->second - least->second;
}

TEST(AddNode, ANewNodeGetsTheNextIdsAndIsDownUntilItIsHeard) {
  Cluster cluster(2);
  const auto reply = cluster.Join(JoinOf(7, 2, "r"));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->node(), 2u);
  EXPECT_THAT(reply->targets(), ElementsAre(3, 4));
  const wire::NodeInfo& node = cluster.map().nodes(1);
  EXPECT_EQ(node.state(), wire::NODE_DOWN);
  EXPECT_EQ(node.state_since_ns(), 1000);
  EXPECT_EQ(node.identity(), 7u);
  EXPECT_EQ(node.name(), "host7");
  EXPECT_EQ(node.rack(), "r");
  for (uint32_t number : {0, 1}) {
    const wire::TargetInfo& target = cluster.map().targets(2 + static_cast<int>(number));
    EXPECT_TRUE(target.joining());
    EXPECT_EQ(target.state(), wire::TARGET_STATE_UNSPECIFIED);
    EXPECT_EQ(target.number(), number);
    EXPECT_EQ(target.node(), 2u);
  }
  EXPECT_EQ(cluster.map().groups_size(), 32);
}

TEST(AddNode, AKnownNodeKeepsItsIdsAndItsState) {
  Cluster cluster(1);
  const auto first = cluster.Join(JoinOf(7, 2));
  cluster.Join(JoinOf(8, 1)).value();
  cluster.SetState(2, wire::NODE_UP);
  const wire::ClusterMap before = cluster.map();
  const auto again = cluster.Join(JoinOf(7, 2));
  EXPECT_EQ(again->SerializeAsString(), first->SerializeAsString());
  EXPECT_EQ(cluster.map().SerializeAsString(), before.SerializeAsString());

  wire::JoinRequest moved = JoinOf(7, 2, "r9");
  moved.set_name("other");
  EXPECT_EQ(cluster.Join(moved)->SerializeAsString(), first->SerializeAsString());
  EXPECT_EQ(cluster.map().nodes(1).rack(), "r9");
  EXPECT_EQ(cluster.map().nodes(1).name(), "other");
  EXPECT_EQ(cluster.map().nodes(1).state(), wire::NODE_UP);
  EXPECT_EQ(cluster.map().version(), before.version() + 1);
}

// A cluster founded anew under the old name would give ids that data lies under already.
TEST(AddNode, AClusterThatDoesNotKnowANodeWithAnIdRefusesIt) {
  wire::ClusterMap map;
  wire::JoinRequest request;
  request.set_identity(77);
  request.set_target_count(1);
  request.set_node(2);
  const auto unknown = AddNode(&map, request, 1);
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(map.nodes_size(), 0);
  request.set_node(0);
  const auto joined = AddNode(&map, request, 1);
  ASSERT_TRUE(joined.ok()) << joined.status();
  request.set_node(joined->node() + 1);
  EXPECT_EQ(AddNode(&map, request, 1).status().code(), absl::StatusCode::kFailedPrecondition);
  request.set_node(joined->node());
  EXPECT_TRUE(AddNode(&map, request, 1).ok());
}

TEST(AddNode, TargetsThatANodeHasMoreGetIdsOfTheirOwn) {
  Cluster cluster(1);
  cluster.Join(JoinOf(7, 1)).value();
  cluster.Join(JoinOf(8, 1)).value();
  EXPECT_THAT(cluster.Join(JoinOf(7, 3))->targets(), ElementsAre(2, 4, 5));
  EXPECT_EQ(cluster.map().targets(4).number(), 2u);
  EXPECT_TRUE(cluster.map().targets(4).joining());
}

TEST(AddNode, ATargetThatIsGoneFromTheConfigurationIsNamed) {
  Cluster cluster(1);
  cluster.Add(7, 2);
  const auto fewer = cluster.Join(JoinOf(7, 1));
  EXPECT_EQ(fewer.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(fewer.status().message()),
              HasSubstr("target 3 (number 2 of node 2, /t1)"));
}

TEST(AddNode, IdsOfTargetsThatAreGoneAreNotUsedAgain) {
  Cluster cluster(1);
  cluster.Add(7, 1);
  cluster.Add(8, 3);
  cluster.Remove(3);
  cluster.Remove(2);
  EXPECT_THAT(cluster.Join(JoinOf(9, 1))->targets(), ElementsAre(6));
}

TEST(AddNode, IdsOfWhatHasLeftTheMapAreNotUsedAgain) {
  wire::ClusterMap map;
  AddNode(&map, JoinOf(7, 2), 1).value();
  map.set_last_removed_node(5);
  map.set_last_removed_target(9);
  const auto reply = AddNode(&map, JoinOf(8, 2), 1);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->node(), 6u);
  EXPECT_THAT(reply->targets(), ElementsAre(10, 11));
  EXPECT_THAT(AddNode(&map, JoinOf(7, 3), 1)->targets(), ElementsAre(1, 2, 12));
}

TEST(AddNode, ARemovedNodeThatComesBackIsToldSo) {
  wire::ClusterMap map;
  AddNode(&map, JoinOf(7, 1), 1).value();
  map.set_last_removed_node(3);
  wire::JoinRequest request = JoinOf(8, 1);
  request.set_node(3);
  const absl::Status refused = AddNode(&map, request, 1).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("node 3 has been removed"));
  EXPECT_EQ(map.nodes_size(), 1);
}

TEST(AddNode, WhatNoNodeSaysIsRefused) {
  Cluster cluster(1);
  const auto code = [&](const std::function<void(wire::JoinRequest&)>& change) {
    wire::JoinRequest request = JoinOf(7, 256, std::string(255, 'r'));
    request.set_name(std::string(255, 'n'));
    change(request);
    return cluster.Join(request).status().code();
  };
  const auto refused = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code([](auto& request) { request.set_identity(0); }), refused);
  EXPECT_EQ(code([](auto& request) { request.set_target_count(0); }), refused);
  EXPECT_EQ(code([](auto& request) { request.set_target_count(257); }), refused);
  EXPECT_EQ(code([](auto& request) { request.mutable_name()->push_back('n'); }), refused);
  EXPECT_EQ(code([](auto& request) { request.mutable_rack()->push_back('r'); }), refused);
  EXPECT_EQ(code([](auto&) {}), absl::StatusCode::kOk);
}

TEST(AddNode, TheNumberOfNodesHasALimit) {
  wire::ClusterMap map;
  for (uint64_t identity = 1; identity <= 4096; ++identity)
    ASSERT_TRUE(AddNode(&map, JoinOf(identity, 1), 0).ok());
  EXPECT_EQ(AddNode(&map, JoinOf(5000, 1), 0).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(map.nodes_size(), 4096);
  EXPECT_EQ(AddNode(&map, JoinOf(4096, 1), 0)->node(), 4096u) << "a member is no new one";
}

TEST(UpdateNode, StoresWhatANodeSaysButForWhatIsUsed) {
  Cluster cluster(1);
  ASSERT_TRUE(cluster.Hear(cluster.HeartbeatOf(1)).ok());
  const wire::TargetInfo target = cluster.map().targets(0);
  EXPECT_EQ(cluster.map().nodes(0).endpoint(), "node1:1");
  EXPECT_EQ(target.path(), "/t0");
  EXPECT_EQ(target.capacity_bytes(), 1000u);
  EXPECT_EQ(target.used_bytes(), 0u);
  const uint64_t version = cluster.map().version();

  wire::HeartbeatRequest heartbeat = cluster.HeartbeatOf(1);
  heartbeat.mutable_targets(0)->set_used_bytes(501);
  ASSERT_TRUE(cluster.Hear(heartbeat).ok());
  EXPECT_EQ(cluster.map().version(), version);
  const std::vector<std::function<void(wire::TargetInfo*)>> changes = {
      [](auto* t) { t->set_core(5); }, [](auto* t) { t->set_path("/other"); },
      [](auto* t) { t->set_capacity_bytes(5); },
      [](auto* t) { t->set_state(wire::TARGET_FAILED); }};
  for (const auto& change : changes) {
    change(heartbeat.mutable_targets(0));
    const uint64_t before = cluster.map().version();
    ASSERT_TRUE(cluster.Hear(heartbeat).ok());
    EXPECT_EQ(cluster.map().version(), before + 1);
  }
  heartbeat.set_endpoint("node1:2");
  ASSERT_TRUE(cluster.Hear(heartbeat).ok());
  EXPECT_EQ(cluster.map().version(), version + changes.size() + 1);
  EXPECT_EQ(cluster.map().targets(0).id(), 1u);
  EXPECT_EQ(cluster.map().targets(0).node(), 1u);
}

TEST(UpdateNode, StrangersAreRefused) {
  Cluster cluster(1);
  cluster.Add(7, 1);
  const absl::Status unknown = cluster.Hear(cluster.HeartbeatOf(3));
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("join first"));
  wire::HeartbeatRequest heartbeat = cluster.HeartbeatOf(2);
  heartbeat.set_endpoint("changed:1");
  heartbeat.add_targets()->set_id(1);
  EXPECT_EQ(cluster.Hear(heartbeat).code(), absl::StatusCode::kInvalidArgument);
  heartbeat.mutable_targets(1)->set_id(99);
  EXPECT_EQ(cluster.Hear(heartbeat).code(), absl::StatusCode::kInvalidArgument);
}

TEST(UpdateNode, ATargetGetsGroupsOnceItIsUp) {
  Cluster cluster(1);
  const uint32_t node = cluster.Join(JoinOf(7, 2))->node();
  wire::HeartbeatRequest heartbeat = cluster.HeartbeatOf(node);
  heartbeat.mutable_targets(0)->set_state(wire::TARGET_FAILED);
  heartbeat.mutable_targets(1)->set_state(wire::TARGET_STATE_UNSPECIFIED);
  ASSERT_TRUE(cluster.Hear(heartbeat).ok());
  EXPECT_TRUE(cluster.map().targets(1).joining());
  EXPECT_TRUE(cluster.map().targets(2).joining());
  EXPECT_EQ(cluster.map().targets(1).state(), wire::TARGET_FAILED);
  EXPECT_EQ(cluster.map().groups_size(), 16);

  heartbeat.mutable_targets(1)->set_state(wire::TARGET_UP);
  ASSERT_TRUE(cluster.Hear(heartbeat).ok());
  EXPECT_TRUE(cluster.map().targets(1).joining());
  EXPECT_FALSE(cluster.map().targets(2).joining());
  EXPECT_THAT(cluster.Load(""), ElementsAre(testing::Pair(1, 16), testing::Pair(3, 16)));
  EXPECT_EQ(cluster.map().nodes(1).state(), wire::NODE_DOWN) << "not for a heartbeat to say";

  ASSERT_TRUE(cluster.Hear(cluster.HeartbeatOf(node)).ok());
  EXPECT_EQ(cluster.map().groups_size(), 48);
  const std::string map = cluster.map().SerializeAsString();
  ASSERT_TRUE(cluster.Hear(cluster.HeartbeatOf(node, wire::TARGET_FAILED)).ok());
  ASSERT_TRUE(cluster.Hear(cluster.HeartbeatOf(node)).ok());
  EXPECT_EQ(cluster.map().groups_size(), 48) << "groups are for those that join";
}

TEST(UpdateNode, WhatAnOperatorWantsStays) {
  wire::ClusterMap map;
  AddNode(&map, JoinOf(7, 2), 5).value();
  map.mutable_nodes(0)->set_draining(true);
  map.mutable_nodes(0)->set_removing(true);
  map.mutable_targets(1)->set_draining(true);
  wire::HeartbeatRequest heartbeat;
  heartbeat.set_node(1);
  heartbeat.set_endpoint("node1:1");
  for (uint32_t id : {1, 2}) {
    wire::TargetInfo* target = heartbeat.add_targets();
    target->set_id(id);
    target->set_state(wire::TARGET_UP);
  }
  ASSERT_EQ(UpdateNode(&map, heartbeat, kGroupsPerTarget), absl::OkStatus());
  EXPECT_TRUE(map.nodes(0).draining() && map.nodes(0).removing());
  EXPECT_FALSE(map.targets(0).draining());
  EXPECT_TRUE(map.targets(1).draining());
  EXPECT_FALSE(map.targets(1).joining());
  EXPECT_EQ(map.groups_size(), 0) << "it is to be empty";
  EXPECT_TRUE(IsCurrent(map, heartbeat));
  AddNode(&map, JoinOf(7, 2), 6).value();
  EXPECT_TRUE(map.nodes(0).draining() && map.nodes(0).removing());
}

TEST(SetNodeState, KeepsTheTimeOfTheLastChange) {
  wire::ClusterMap map;
  AddNode(&map, JoinOf(7, 1), 5).value();
  EXPECT_FALSE(SetNodeState(&map, 1, wire::NODE_DOWN, 6));
  EXPECT_EQ(map.nodes(0).state_since_ns(), 5);
  EXPECT_TRUE(SetNodeState(&map, 1, wire::NODE_UP, 7));
  EXPECT_EQ(map.nodes(0).state(), wire::NODE_UP);
  EXPECT_EQ(map.nodes(0).state_since_ns(), 7);
  EXPECT_FALSE(SetNodeState(&map, 2, wire::NODE_DOWN, 8));
}

TEST(SetNodeState, ANodeThatCountsAsLostIsNotWaitedFor) {
  wire::ClusterMap map;
  AddNode(&map, JoinOf(7, 1), 5).value();
  map.mutable_nodes(0)->set_removing(true);
  map.mutable_nodes(0)->set_lost(true);
  EXPECT_TRUE(SetNodeState(&map, 1, wire::NODE_SUSPECT, 6));
  EXPECT_EQ(map.nodes(0).state(), wire::NODE_SUSPECT);
  EXPECT_TRUE(SetNodeState(&map, 1, wire::NODE_DOWN, 7));
  EXPECT_EQ(map.nodes(0).state(), wire::NODE_OUT);
  EXPECT_FALSE(SetNodeState(&map, 1, wire::NODE_DOWN, 8));
  EXPECT_EQ(map.nodes(0).state_since_ns(), 7);
  // What it holds is there after all, and the next time it is silent it is waited for.
  EXPECT_TRUE(SetNodeState(&map, 1, wire::NODE_UP, 9));
  EXPECT_FALSE(map.nodes(0).lost());
  EXPECT_TRUE(SetNodeState(&map, 1, wire::NODE_DOWN, 10));
  EXPECT_EQ(map.nodes(0).state(), wire::NODE_DOWN);
}

TEST(AddGroupsForNewTargets, NodesThatJoinOneByOneTakePartAsMuchAsTheOthers) {
  Cluster cluster(1);
  for (uint64_t identity = 2; identity <= 6; ++identity) cluster.Add(identity, 1);
  ASSERT_TRUE(cluster.MakeGroups("ec:4+2", wire::DOMAIN_NODE).ok());
  EXPECT_EQ(cluster.GroupsOf("ec:4+2"), 16);
  for (uint64_t identity = 7; identity <= 8; ++identity) {
    const uint32_t node = cluster.Add(identity, 1);
    const auto load = cluster.Load("ec:4+2");
    ASSERT_EQ(load.size(), identity);
    EXPECT_GE(load.at(node), load.at(1) * 3 / 4);
    EXPECT_GE(Balance(load), 0.95);
    EXPECT_EQ(Spread(cluster.Load("")), 0);
    EXPECT_EQ(cluster.Load("").at(node), 16);
  }
  // Who came before is as busy as those from the beginning by now.
  auto load = cluster.Load("ec:4+2");
  load.erase(8);
  EXPECT_LE(Spread(load), 1);
}

TEST(AddGroupsForNewTargets, SeveralTargetsOfANodeTakePartAsMuchAsTheOthers) {
  Cluster cluster(2);
  for (uint64_t identity = 2; identity <= 6; ++identity) cluster.Add(identity, 2);
  ASSERT_TRUE(cluster.MakeGroups("ec:2+1", wire::DOMAIN_NODE).ok());
  ASSERT_TRUE(cluster.MakeGroups("replica:2", wire::DOMAIN_TARGET).ok());
  cluster.Add(7, 2);
  for (const char* redundancy : {"ec:2+1", "replica:2", ""})
    EXPECT_GE(Balance(cluster.Load(redundancy)), 0.9) << redundancy;
}

TEST(AddGroupsForNewTargets, HoweverManyJoinTheMapStaysInBoundsAndEachGetsItsGroups) {
  for (const char* redundancy : {"ec:4+2", "replica:2"}) {
    Cluster cluster(1);
    for (uint64_t identity = 2; identity <= 6; ++identity) cluster.Add(identity, 1);
    ASSERT_TRUE(cluster.MakeGroups(redundancy, wire::DOMAIN_NODE).ok());
    for (uint64_t identity = 7; identity <= 30; ++identity) {
      const uint32_t node = cluster.Add(identity, 1);
      const auto load = cluster.Load(redundancy);
      EXPECT_GE(load.at(node), static_cast<int>(kGroupsPerTarget));
      EXPECT_GE(Balance(load), 0.8) << identity;
      EXPECT_LE(cluster.GroupsOf(redundancy), 4 * 16 * static_cast<int>(identity));
    }
  }
}

TEST(AddGroupsForNewTargets, WhereMoreGroupsBringThemNoNearerNewTargetsGetTheirOwnOnly) {
  Cluster cluster(1);
  for (uint64_t identity = 2; identity <= 6; ++identity) cluster.Add(identity, 1);
  ASSERT_TRUE(cluster.MakeGroups("ec:4+2", wire::DOMAIN_NODE).ok());
  // Of a group only one of its two can be, but five of the six others.
  cluster.Add(7, 2);
  EXPECT_EQ(cluster.Load("ec:4+2").at(7), 16);
  EXPECT_EQ(cluster.Load("ec:4+2").at(8), 16);
  EXPECT_EQ(cluster.GroupsOf("ec:4+2"), 16 + 32);
}

TEST(AddGroupsForNewTargets, WhoCameWhenThereWereTooFewIsServedByALaterJoin) {
  Cluster cluster(1);
  for (uint64_t identity = 2; identity <= 6; ++identity) cluster.Add(identity, 1);
  ASSERT_TRUE(cluster.MakeGroups("ec:4+2", wire::DOMAIN_NODE).ok());
  cluster.SetState(1, wire::NODE_DOWN);
  cluster.SetState(2, wire::NODE_OUT);
  cluster.Add(7, 1);
  EXPECT_EQ(cluster.Load("ec:4+2").at(7), 0);
  EXPECT_EQ(cluster.Load("").at(7), 16);
  cluster.Add(8, 1);
  EXPECT_GE(cluster.Load("ec:4+2").at(7), 16);
  EXPECT_GE(cluster.Load("ec:4+2").at(8), 16);
  EXPECT_EQ(cluster.Load("").at(7), 16);
}

TEST(AddGroupsForNewTargets, RacksStayApartAndANodeWithoutOneIsPassedOver) {
  Cluster cluster(1);  // in rack a
  cluster.Add(2, 1, "b");
  cluster.Add(3, 1, "c");
  ASSERT_TRUE(cluster.MakeGroups("replica:2", wire::DOMAIN_RACK).ok());
  cluster.Add(4, 1, "c");
  EXPECT_GE(cluster.Load("replica:2").at(4), 16);
  cluster.Add(5, 1);
  EXPECT_EQ(cluster.Load("replica:2").at(5), 0);
  EXPECT_EQ(cluster.Load("").at(5), 16);
  cluster.Join(JoinOf(5, 1, "d")).value();
  cluster.Add(6, 1, "e");
  EXPECT_GE(cluster.Load("replica:2").at(5), 16);
}

// What Cluster checks after each step, and that in the end every target that is up has groups.
class RandomHistory {
 public:
  explicit RandomHistory(uint64_t seed)
      : random_(seed), cluster_(1 + static_cast<uint32_t>(random_.Below(3)), 4) {}

  void Step() {
    const uint32_t node = 1 + Below(static_cast<uint32_t>(cluster_.map().nodes_size()) + 1);
    switch (Below(6)) {
      case 0:
        return Join(1 + Below(12));
      case 1:
        return cluster_.SetState(node, static_cast<wire::NodeState>(Below(4)));
      case 2: {
        const char* choices[] = {"replica:2", "replica:3", "ec:2+1", "ec:4+2", "replica:1"};
        cluster_.MakeGroups(choices[Below(5)], static_cast<wire::DomainLevel>(Below(3)))
            .IgnoreError();
        return;
      }
      default:
        return Hear(node);
    }
  }

  void Finish() {
    for (uint64_t identity = 1; identity <= 12; ++identity) Join(identity);
    const auto nodes = static_cast<uint32_t>(cluster_.map().nodes_size());
    for (uint32_t node = 1; node <= nodes; ++node) {
      EXPECT_TRUE(cluster_.Hear(cluster_.HeartbeatOf(node)).ok());
      cluster_.SetState(node, wire::NODE_UP);
    }
    const uint32_t last = cluster_.Add(99, 1, "z");
    std::set<std::string> redundancies = {""};
    for (const wire::PlacementGroup& group : cluster_.map().groups())
      redundancies.insert(group.redundancy());
    for (const std::string& redundancy : redundancies) {
      for (const auto& [target, groups] : cluster_.Load(redundancy))
        EXPECT_GT(groups, 0) << target << " has none of " << redundancy;
    }
    EXPECT_EQ(last, nodes + 1);
  }

 private:
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_.Below(bound)); }

  void Join(uint64_t identity) {
    uint32_t& targets = targets_[identity];
    const uint32_t fewer = targets > 1 && Below(8) == 0 ? 1 : 0;
    const uint32_t wanted = fewer > 0 ? targets - 1 : std::max(targets, 1 + Below(3));
    const auto reply = cluster_.Join(JoinOf(identity, wanted, std::string(1, "abc"[identity % 3])));
    EXPECT_EQ(reply.ok(), fewer == 0) << reply.status();
    if (!reply.ok()) return;
    targets = wanted;
    EXPECT_EQ(reply->targets_size(), static_cast<int>(wanted));
    std::vector<uint32_t>& ids = ids_[identity];
    for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(ids[i], reply->targets(static_cast<int>(i)));
    ids.assign(reply->targets().begin(), reply->targets().end());
  }

  void Hear(uint32_t node) {
    wire::HeartbeatRequest heartbeat = cluster_.HeartbeatOf(node);
    for (wire::TargetInfo& target : *heartbeat.mutable_targets()) {
      if (Below(8) == 0) target.set_state(wire::TARGET_FAILED);
    }
    // Another node's, or nobody's.
    const auto targets = static_cast<uint32_t>(cluster_.map().targets_size());
    const uint32_t stranger = 1 + Below(targets + 1);
    const bool is_own = stranger <= targets &&
                        cluster_.map().targets(static_cast<int>(stranger) - 1).node() == node;
    if (Below(8) == 0 && !is_own) heartbeat.add_targets()->set_id(stranger);
    cluster_.Hear(heartbeat).IgnoreError();
  }

  SeededRandom random_;
  Cluster cluster_;
  std::map<uint64_t, uint32_t> targets_;           // by identity
  std::map<uint64_t, std::vector<uint32_t>> ids_;  // by identity
};

TEST(MembershipRandom, WhateverHappensGroupsStayAndEveryTargetGetsItsOwn) {
  for (uint64_t seed = 1; seed <= SeedsHere(50) && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    RandomHistory history(seed);
    for (int step = 0; step < 100 && !testing::Test::HasFailure(); ++step) history.Step();
    history.Finish();
  }
}

}  // namespace
}  // namespace cairn
