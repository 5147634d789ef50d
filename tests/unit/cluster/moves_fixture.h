// A map to plan moves in, changed as server/repair and operators change it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/strings.h"
#include "server/cluster/cluster_map.h"
#include "server/cluster/moves.h"

namespace cairn {

class MovesTest : public testing::Test {
 protected:
  // Nodes 1, 2, ... with targets 1, 2, ..., so many each, all up.
  void AddNodes(uint32_t count, uint32_t targets_each = 1) {
    for (uint32_t i = 0; i < count; ++i) {
      wire::NodeInfo* node = map_.add_nodes();
      node->set_id(static_cast<uint32_t>(map_.nodes_size()));
      for (uint32_t number = 0; number < targets_each; ++number) {
        wire::TargetInfo* target = map_.add_targets();
        target->set_id(static_cast<uint32_t>(map_.targets_size()));
        target->set_node(node->id());
        target->set_number(number);
        target->set_state(wire::TARGET_UP);
      }
    }
  }
  void MakeGroups(const char* redundancy, wire::DomainLevel level = wire::DOMAIN_NODE,
                  uint32_t groups_per_target = 16) {
    const auto grown = AddGroupsFor(map_, *ParseRedundancy(redundancy), level, groups_per_target);
    ASSERT_TRUE(grown.ok()) << grown.status();
    map_ = *grown;
  }
  wire::PlacementGroup* AddGroup(const std::string& redundancy,
                                 const std::vector<uint32_t>& targets,
                                 wire::DomainLevel level = wire::DOMAIN_NODE) {
    wire::PlacementGroup* group = map_.add_groups();
    group->set_id(static_cast<uint32_t>(map_.groups_size()) - 1);
    group->set_redundancy(redundancy);
    group->set_level(level);
    group->mutable_targets()->Add(targets.begin(), targets.end());
    return group;
  }

  wire::NodeInfo& Node(uint32_t id) {
    for (wire::NodeInfo& node : *map_.mutable_nodes())
      if (node.id() == id) return node;
    ADD_FAILURE() << "no node " << id;
    return *map_.mutable_nodes(0);
  }
  wire::TargetInfo& Target(uint32_t id) {
    for (wire::TargetInfo& target : *map_.mutable_targets())
      if (target.id() == id) return target;
    ADD_FAILURE() << "no target " << id;
    return *map_.mutable_targets(0);
  }
  wire::PlacementGroup& Group(int index) { return *map_.mutable_groups(index); }
  void SetUsage(uint32_t target, uint64_t used_bytes, uint64_t capacity_bytes = 1000) {
    facts_.usage[target] = {used_bytes, capacity_bytes};
  }

  // Whether anything has changed. Planned once more, nothing does.
  bool Plan() {
    const std::string before = map_.SerializeAsString();
    const bool changed = PlanMoves(&map_, facts_);
    EXPECT_EQ(map_.SerializeAsString() != before, changed);
    EXPECT_FALSE(PlanMoves(&map_, facts_));
    return changed;
  }
  // "0[2]: 3 -> 7", with "settles" and "balances" for those that do, "once 1" for former members.
  std::vector<std::string> Moves() const {
    std::vector<std::string> texts;
    for (const wire::PlacementGroup& group : map_.groups()) {
      for (const wire::GroupMove& move : group.moves()) {
        texts.push_back(StrCat(group.id(), "[", move.index(), "]: ", move.from(), " -> ", move.to(),
                               move.settling() ? " settles" : "",
                               move.balance() ? " balances" : ""));
        for (uint32_t former : move.former()) texts.back() += StrCat(" once ", former);
      }
    }
    return texts;
  }
  // What copying moves are for is done.
  void Switch() {
    for (const auto& [group, index, to] : Ongoing(false))
      EXPECT_TRUE(SwitchMember(&map_, group, index, to));
  }
  void Finish() {
    for (const auto& [group, index, to] : Ongoing(true))
      EXPECT_TRUE(FinishMove(&map_, group, index, to));
  }
  // Until nothing is left to be done.
  void CarryOut() {
    for (int round = 0; round < 100; ++round) {
      const bool planned = PlanMoves(&map_, facts_);
      if (!planned && Moves().empty()) return;
      Switch();
      Finish();
    }
    ADD_FAILURE() << "moves do not end";
  }

  // Members by target: of those that are up, and those of `only`.
  std::map<uint32_t, int> Load() const {
    std::map<uint32_t, int> load;
    for (const wire::PlacementGroup& group : map_.groups())
      for (uint32_t target : group.targets()) ++load[target];
    return load;
  }
  uint32_t NodeOf(uint32_t target) const {
    for (const wire::TargetInfo& info : map_.targets())
      if (info.id() == target) return info.node();
    return 0;
  }
  bool IsNamed(uint32_t node) const {
    for (const wire::PlacementGroup& group : map_.groups())
      for (uint32_t target : group.targets())
        if (NodeOf(target) == node) return true;
    return false;
  }

  wire::ClusterMap map_;
  MoveFacts facts_;

 private:
  std::vector<std::tuple<uint32_t, uint32_t, uint32_t>> Ongoing(bool settling) const {
    std::vector<std::tuple<uint32_t, uint32_t, uint32_t>> moves;
    for (const wire::PlacementGroup& group : map_.groups()) {
      for (const wire::GroupMove& move : group.moves()) {
        if (move.settling() == settling) moves.emplace_back(group.id(), move.index(), move.to());
      }
    }
    return moves;
  }
};

}  // namespace cairn
