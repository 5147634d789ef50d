// Goal: whatever happens to nodes while members move, a move always makes sense, fragments stay
// apart, and in the end all is where it belongs. Method: random histories of a small cluster, with
// what must hold checked after each plan.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "server/cluster/group_members.h"
#include "server/cluster/map_domains.h"
#include "tests/sim/seeds.h"
#include "tests/unit/cluster/moves_fixture.h"

namespace cairn {
namespace {

class MovesRandom : public MovesTest {
 protected:
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_->Below(bound)); }

  void Build(Random* random) {
    random_ = random;
    map_.Clear();
    facts_ = MoveFacts();
    AddNodes(6 + Below(4), 1 + Below(2));
    for (wire::NodeInfo& node : *map_.mutable_nodes()) node.set_rack(StrCat("r", node.id() % 4));
    MakeGroups("replica:1", wire::DOMAIN_NODE, 2);
    MakeGroups("ec:4+2", wire::DOMAIN_NODE, 4);
    MakeGroups("replica:2", wire::DOMAIN_TARGET, 4);
    MakeGroups("replica:3", wire::DOMAIN_RACK, 4);
  }

  void Step() {
    wire::NodeInfo& node = *map_.mutable_nodes(static_cast<int>(Below(NodeCount())));
    wire::TargetInfo& target =
        *map_.mutable_targets(static_cast<int>(Below(static_cast<uint32_t>(map_.targets_size()))));
    switch (Below(8)) {
      case 0:
      case 1:
        return node.set_state(static_cast<wire::NodeState>(Below(4)));
      case 2:
        return Ask(node.id());
      case 3:
        return target.set_state(Below(3) == 0 ? wire::TARGET_FAILED : wire::TARGET_UP);
      case 4:
        return GiveUpOrNot(target);
      case 5:
        return SetUsage(target.id(), Below(1000));
      case 6:
        return AddUsableGroups(&map_, 2);
      default:
        return Advance();
    }
  }

  // And what follows from it.
  void PlanAndCheck() {
    const wire::ClusterMap before = map_;
    const bool changed = PlanMoves(&map_, facts_);
    EXPECT_EQ(changed, map_.SerializeAsString() != before.SerializeAsString());
    ASSERT_EQ(map_.groups_size(), before.groups_size());
    for (int i = 0; i < map_.groups_size(); ++i) {
      CheckSame(before.groups(i), map_.groups(i));
      CheckNothingIsForgotten(before.groups(i), map_.groups(i));
    }
    giving_.clear();
    for (const wire::PlacementGroup& group : map_.groups())
      for (const wire::GroupMove& move : group.moves())
        for (uint32_t holder : HoldersBefore(move)) giving_.insert(holder);
    for (const wire::PlacementGroup& group : map_.groups()) CheckGroup(group);
    RemoveEmptyNodes(&map_);
    std::set<uint32_t> known;
    for (const wire::TargetInfo& target : map_.targets()) known.insert(target.id());
    for (const wire::PlacementGroup& group : map_.groups())
      for (uint32_t target : group.targets()) EXPECT_TRUE(known.contains(target));
  }

  void Finish() {
    for (wire::NodeInfo& node : *map_.mutable_nodes()) {
      node.set_state(wire::NODE_UP);
      node.clear_draining();
      node.clear_removing();
    }
    for (wire::TargetInfo& target : *map_.mutable_targets()) {
      target.set_state(wire::TARGET_UP);
      target.clear_draining();
    }
    facts_ = MoveFacts();
    CarryOut();
    EXPECT_EQ(CountStuck(map_, facts_), 0u);
    for (const wire::PlacementGroup& group : map_.groups()) {
      if (NodeCount() >= 6 && group.level() == wire::DOMAIN_NODE) {
        EXPECT_FALSE(group.crowded());
      }
    }
  }

 private:
  uint32_t NodeCount() const { return static_cast<uint32_t>(map_.nodes_size()); }

  void Ask(uint32_t node) {
    wire::SetNodeRequest request;
    request.set_node(node);
    const wire::NodeAction actions[] = {wire::NODE_DRAIN, wire::NODE_UNDRAIN, wire::NODE_UNDRAIN,
                                        wire::NODE_REMOVE};
    request.set_action(actions[Below(NodeCount() > 4 ? 4 : 3)]);
    request.set_force(Below(2) == 0);
    SetNodeIntent(&map_, request, 1, {}).IgnoreError();
  }
  void GiveUpOrNot(wire::TargetInfo& target) {
    facts_.given_up.clear();
    if (target.state() == wire::TARGET_FAILED) facts_.given_up.insert(target.id());
    target.set_draining(Below(4) == 0);
  }
  // Some moves come further.
  void Advance() {
    const wire::ClusterMap now = map_;
    for (const wire::PlacementGroup& group : now.groups()) {
      for (const wire::GroupMove& move : group.moves()) {
        if (Below(2) == 0) continue;
        EXPECT_TRUE((move.settling() ? FinishMove : SwitchMember)(&map_, group.id(), move.index(),
                                                                  move.to()));
      }
    }
  }

  // A plan changes moves, and whether a group is crowded.
  static void CheckSame(wire::PlacementGroup before, wire::PlacementGroup after) {
    EXPECT_TRUE(before.crowded() || !after.crowded() || !after.moves().empty());
    for (wire::PlacementGroup* group : {&before, &after}) {
      group->clear_moves();
      group->clear_crowded();
    }
    EXPECT_EQ(before.SerializeAsString(), after.SerializeAsString());
  }

  // What still had something that was to be taken over from it.
  void CheckNothingIsForgotten(const wire::PlacementGroup& before,
                               const wire::PlacementGroup& after) const {
    const MapDomains domains(map_);
    for (const wire::GroupMove& move : before.moves()) {
      if (!move.settling() && move.former().empty()) continue;
      const wire::GroupMove* now = FindMove(after, static_cast<int>(move.index()));
      ASSERT_NE(now, nullptr) << before.ShortDebugString();
      for (uint32_t holder : HoldersBefore(move)) {
        const bool member = holder == after.targets(static_cast<int>(move.index()));
        if (domains.NodeOf(holder) == nullptr || domains.IsLost(holder) || member) continue;
        EXPECT_TRUE(cairn::IsNamed(*now, holder)) << holder << ": " << before.ShortDebugString();
      }
    }
  }

  // nullopt: nobody knows it any more.
  std::optional<std::string> DomainOf(uint32_t id, wire::DomainLevel level) const {
    for (const wire::TargetInfo& target : map_.targets()) {
      if (target.id() != id) continue;
      if (level == wire::DOMAIN_TARGET) return StrCat("t", id);
      if (level == wire::DOMAIN_NODE) return StrCat("n", target.node());
      for (const wire::NodeInfo& node : map_.nodes())
        if (node.id() == target.node()) return node.rack();
    }
    return std::nullopt;
  }

  void CheckGroup(const wire::PlacementGroup& group) const {
    std::map<std::string, int> members;
    for (uint32_t target : group.targets())
      ++members[DomainOf(target, group.level()).value_or(StrCat("unknown ", target))];
    EXPECT_TRUE(group.crowded() || std::ssize(members) == group.targets_size())
        << group.ShortDebugString();
    std::set<uint32_t> indexes;
    for (const wire::GroupMove& move : group.moves()) {
      EXPECT_TRUE(indexes.insert(move.index()).second) << "one for each member";
      CheckMove(group, move);
    }
  }

  void CheckMove(const wire::PlacementGroup& group, const wire::GroupMove& move) const {
    SCOPED_TRACE(StrCat("group ", group.id(), ", member ", move.index()));
    const auto index = static_cast<int>(move.index());
    ASSERT_LT(index, group.targets_size());
    EXPECT_NE(move.from(), move.to());
    EXPECT_EQ(group.targets(index), move.settling() ? move.to() : move.from());
    if (move.settling()) return;
    EXPECT_FALSE(IsLeaving(map_, move.to(), facts_));
    const auto& former = move.former();
    const bool had_it = std::find(former.begin(), former.end(), move.to()) != former.end();
    EXPECT_TRUE(had_it || !giving_.contains(move.to())) << "what gives is given nothing";
    const auto domain = DomainOf(move.to(), group.level());
    ASSERT_TRUE(domain.has_value());
    std::set<int> shared;
    for (int i = 0; i < group.targets_size(); ++i)
      if (DomainOf(group.targets(i), group.level()) == domain) shared.insert(i);
    for (const wire::GroupMove& other : group.moves()) {
      if (DomainOf(other.to(), group.level()) == domain)
        shared.insert(static_cast<int>(other.index()));
    }
    shared.insert(index);
    if (shared.size() == 1) return;
    EXPECT_TRUE(group.crowded());
    EXPECT_LE(shared.size(), ParsedRedundancy(group)->parity_fragments);
  }

  Random* random_ = nullptr;
  std::set<uint32_t> giving_;  // targets that moves are from
};

TEST_F(MovesRandom, WhateverHappensMovesMakeSenseAndComeToAnEnd) {
  for (uint64_t seed = 1; seed <= SeedsHere(50) && !HasFailure(); ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    SeededRandom random(seed);
    Build(&random);
    for (int step = 0; step < 60 && !HasFailure(); ++step) {
      Step();
      if (Below(2) == 0) PlanAndCheck();
    }
    if (!HasFailure()) Finish();
  }
}

}  // namespace
}  // namespace cairn
