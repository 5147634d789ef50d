// Goal: every member of a group that is to be elsewhere gets a move to a target that may have it,
// evenly, and keeps it until it is done or not wanted any more. Method: small maps in which one
// target is left to choose, or large ones that are counted. Evening out: moves_balance_test; what
// operators say: node_intent_test.

#include "server/cluster/moves.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/placement/groups.h"
#include "tests/unit/cluster/moves_fixture.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(MovesTest, NothingMovesInAClusterThatIsWhole) {
  AddNodes(8);
  MakeGroups("replica:1");
  MakeGroups("ec:4+2");
  EXPECT_FALSE(Plan());
  EXPECT_THAT(Moves(), IsEmpty());
  EXPECT_EQ(CountStuck(map_, facts_), 0u);
}

TEST_F(MovesTest, WhateverMakesATargetLeaveMovesItsMembers) {
  const std::vector<std::function<void()>> reasons = {
      [this] { Node(3).set_state(wire::NODE_OUT); },
      [this] { Node(3).set_draining(true); },
      [this] { Node(3).set_removing(true); },
      [this] { Target(3).set_draining(true); },
      [this] { facts_.given_up = {3}; },
      [this] { map_.mutable_targets()->RemoveLast(); }};
  for (size_t i = 0; i < reasons.size(); ++i) {
    SCOPED_TRACE(i);
    map_.Clear();
    facts_ = MoveFacts();
    AddNodes(3);
    AddGroup("replica:2", {1, 3});
    EXPECT_FALSE(IsLeaving(map_, 3, facts_));
    reasons[i]();
    EXPECT_TRUE(IsLeaving(map_, 3, facts_));
    EXPECT_FALSE(IsLeaving(map_, 1, facts_));
    EXPECT_EQ(CountStuck(map_, facts_), 1u);
    EXPECT_TRUE(Plan());
    EXPECT_THAT(Moves(), ElementsAre("0[1]: 3 -> 2"));
    EXPECT_THAT(Group(0).targets(), ElementsAre(1, 3)) << "until it is done";
    EXPECT_EQ(CountStuck(map_, facts_), 0u);
  }
}

TEST_F(MovesTest, WhatMayComeBackIsWaitedFor) {
  AddNodes(4);
  MakeGroups("replica:2");
  Node(1).set_state(wire::NODE_SUSPECT);
  Node(2).set_state(wire::NODE_DOWN);
  Target(3).set_state(wire::TARGET_FAILED);
  EXPECT_FALSE(Plan());
  EXPECT_EQ(CountStuck(map_, facts_), 0u);
}

TEST_F(MovesTest, TheOnlyCopyMovesWhileItCanBeReadOrCountsAsLost) {
  struct Case {
    const char* name;
    bool moves;
    std::function<void()> change;
  };
  const std::vector<Case> cases = {
      {"draining", true, [this] { Node(2).set_draining(true); }},
      {"draining, and suspect", true,
       [this] {
         Node(2).set_draining(true);
         Node(2).set_state(wire::NODE_SUSPECT);
       }},
      {"draining, and down", false,
       [this] {
         Node(2).set_draining(true);
         Node(2).set_state(wire::NODE_DOWN);
       }},
      {"out", false, [this] { Node(2).set_state(wire::NODE_OUT); }},
      {"failed for long", false,
       [this] {
         Target(2).set_state(wire::TARGET_FAILED);
         facts_.given_up = {2};
       }},
      {"removed, and down", true,
       [this] {
         Node(2).set_removing(true);
         Node(2).set_lost(true);
         Node(2).set_state(wire::NODE_DOWN);
       }},
      {"removed, and out", true,
       [this] {
         Node(2).set_removing(true);
         Node(2).set_lost(true);
         Node(2).set_state(wire::NODE_OUT);
       }},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.name);
    map_.Clear();
    facts_ = MoveFacts();
    AddNodes(2);
    AddGroup("", {2});
    each.change();
    EXPECT_EQ(Plan(), each.moves);
    EXPECT_EQ(Moves().size(), each.moves ? 1u : 0u);
    EXPECT_EQ(CountStuck(map_, facts_), each.moves ? 0u : 1u);
  }
}

TEST_F(MovesTest, AGroupThatCannotBeReadWaitsButForWhatItsMemberStillHas) {
  AddNodes(5);
  AddGroup("ec:2+1", {1, 2, 3});
  Node(1).set_state(wire::NODE_OUT);
  Node(2).set_state(wire::NODE_DOWN);
  Target(5).set_joining(true);
  EXPECT_FALSE(Plan());
  EXPECT_EQ(CountStuck(map_, facts_), 1u) << "node 2 is not leaving";
  Node(3).set_draining(true);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[2]: 3 -> 4"));
  Node(2).set_state(wire::NODE_UP);
  EXPECT_FALSE(Plan()) << "there is no fourth domain";
  Target(5).set_joining(false);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[2]: 3 -> 4", "0[0]: 1 -> 5"));
  // What has been planned waits for a member that is away.
  Node(2).set_state(wire::NODE_DOWN);
  EXPECT_FALSE(Plan());
}

// ---- where to ----

TEST_F(MovesTest, OnlyATargetThatCanTakeItIsChosen) {
  AddNodes(7);
  AddGroup("replica:2", {1, 2});
  Node(2).set_state(wire::NODE_OUT);
  Node(3).set_state(wire::NODE_SUSPECT);
  Target(4).set_state(wire::TARGET_FAILED);
  Target(5).set_joining(true);
  Node(6).set_draining(true);
  SetUsage(7, 950);
  EXPECT_FALSE(Plan());
  Node(3).set_state(wire::NODE_DOWN);
  Target(4).set_state(wire::TARGET_STATE_UNSPECIFIED);
  Target(5).set_joining(false);
  facts_.given_up = {5};
  Node(6).set_draining(false);
  Target(6).set_draining(true);
  EXPECT_FALSE(Plan());
  EXPECT_EQ(CountStuck(map_, facts_), 1u);
  SetUsage(7, 949);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 7"));
}

TEST_F(MovesTest, ATargetThatGivesSomethingAwayIsGivenNothing) {
  AddNodes(4);
  AddGroup("replica:2", {1, 2});
  AddGroup("", {3});
  wire::GroupMove* settling = Group(1).add_moves();
  settling->set_from(4);
  settling->set_to(3);
  settling->set_settling(true);
  Node(2).set_state(wire::NODE_OUT);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 3", "1[0]: 4 -> 3 settles"));
}

TEST_F(MovesTest, TheOneWithTheFewestGroupsOfAllKindsIsChosen) {
  AddNodes(5);
  AddGroup("replica:2", {1, 2});
  AddGroup("", {3});
  AddGroup("replica:3", {1, 3, 4});
  AddGroup("replica:2", {1, 2});
  Node(2).set_state(wire::NODE_OUT);
  EXPECT_TRUE(Plan());
  EXPECT_EQ(Moves()[0], "0[1]: 2 -> 5");
  // Both have one then: the hash says which.
  const bool fourth = PlacementScore(3, TargetId(4)) > PlacementScore(3, TargetId(5));
  EXPECT_EQ(Moves()[1], fourth ? "3[1]: 2 -> 4" : "3[1]: 2 -> 5");
}

TEST_F(MovesTest, AllSurvivorsTakeOverTheirShareOfANode) {
  for (const uint32_t targets_each : {1u, 2u}) {
    map_.Clear();
    AddNodes(12, targets_each);
    for (const char* redundancy : {"replica:1", "replica:2", "ec:2+1"}) MakeGroups(redundancy);
    const wire::ClusterMap before = map_;
    Node(5).set_draining(true);
    EXPECT_TRUE(Plan());
    EXPECT_EQ(Moves().size(), 48 * targets_each);
    CarryOut();
    const std::map<uint32_t, int> load = Load();
    EXPECT_EQ(load.size(), 11 * targets_each);
    const auto fewer = [](const auto& a, const auto& b) { return a.second < b.second; };
    const auto [least, most] = std::minmax_element(load.begin(), load.end(), fewer);
    EXPECT_LE(most->second - least->second, 1);
    ASSERT_EQ(map_.groups_size(), before.groups_size());
    for (int i = 0; i < map_.groups_size(); ++i) {
      wire::PlacementGroup group = map_.groups(i);
      std::set<uint32_t> nodes;
      for (int j = 0; j < group.targets_size(); ++j) {
        nodes.insert(NodeOf(group.targets(j)));
        const uint32_t was = before.groups(i).targets(j);
        EXPECT_TRUE(group.targets(j) == was || NodeOf(was) == 5);
      }
      EXPECT_EQ(static_cast<int>(nodes.size()), group.targets_size());
      *group.mutable_targets() = before.groups(i).targets();
      EXPECT_EQ(group.SerializeAsString(), before.groups(i).SerializeAsString());
    }
  }
}

TEST_F(MovesTest, FragmentsStayApartByRack) {
  AddNodes(6);
  const char* racks[] = {"a", "a", "b", "b", "c", ""};
  for (uint32_t id = 1; id <= 6; ++id) Node(id).set_rack(racks[id - 1]);
  AddGroup("replica:2", {1, 3}, wire::DOMAIN_RACK);
  Node(3).set_state(wire::NODE_OUT);
  Node(4).set_state(wire::NODE_SUSPECT);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 3 -> 5"));
  Node(5).set_rack("a");
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), IsEmpty());
  Node(4).set_state(wire::NODE_UP);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 3 -> 4"));
}

TEST_F(MovesTest, AnotherTargetOfTheNodeDoesWhereNoOtherMemberIsInIt) {
  AddNodes(2, 2);
  AddGroup("replica:2", {1, 3});
  AddGroup("replica:2", {1, 4}, wire::DOMAIN_TARGET);
  Target(1).set_draining(true);
  Target(3).set_joining(true);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[0]: 1 -> 2", "1[0]: 1 -> 2"));
}

TEST_F(MovesTest, TwoMembersOfAGroupGoToTwoDomains) {
  AddNodes(5);
  AddGroup("ec:2+1", {1, 2, 3});
  Node(2).set_draining(true);
  Node(3).set_draining(true);
  Target(5).set_joining(true);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 4"));
  EXPECT_EQ(CountStuck(map_, facts_), 1u);
  Target(5).set_joining(false);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 4", "0[2]: 3 -> 5"));
  CarryOut();
  EXPECT_THAT(Group(0).targets(), ElementsAre(1, 4, 5));
}

// ---- moves that are there ----

TEST_F(MovesTest, AMoveWhoseTargetCannotTakeItAnyMoreGetsAnotherOrGoes) {
  AddNodes(4);
  AddGroup("replica:2", {1, 2});
  Node(2).set_state(wire::NODE_OUT);
  Node(4).set_state(wire::NODE_SUSPECT);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 3"));
  Node(4).set_state(wire::NODE_UP);
  Node(3).set_state(wire::NODE_SUSPECT);
  EXPECT_FALSE(Plan()) << "a heartbeat late is no reason";
  Node(3).set_state(wire::NODE_DOWN);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 4"));
  SetUsage(4, 989);
  EXPECT_FALSE(Plan()) << "what was copied fills it";
  SetUsage(4, 990);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), IsEmpty());
  EXPECT_EQ(CountStuck(map_, facts_), 1u);
  Node(3).set_state(wire::NODE_UP);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 3"));
  Target(3).set_draining(true);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), IsEmpty());
}

TEST_F(MovesTest, ANodeThatIsBackKeepsWhatHasNotMovedYet) {
  AddNodes(3);
  AddGroup("replica:2", {1, 2});
  Node(2).set_state(wire::NODE_OUT);
  EXPECT_TRUE(Plan());
  Node(2).set_state(wire::NODE_UP);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), IsEmpty());
  EXPECT_THAT(Group(0).targets(), ElementsAre(1, 2));
  Node(2).set_draining(true);
  EXPECT_TRUE(Plan());
  Switch();
  Node(2).set_draining(false);
  EXPECT_FALSE(Plan()) << "settling comes to its end";
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 3 settles"));
  EXPECT_THAT(Group(0).targets(), ElementsAre(1, 3));
  Finish();
  EXPECT_FALSE(Plan());
  EXPECT_THAT(Moves(), IsEmpty());
}

TEST_F(MovesTest, WhoTookOverAndLeavesInTurnSettlesFirstIfItCan) {
  AddNodes(4);
  AddGroup("replica:2", {1, 2});
  Node(2).set_state(wire::NODE_OUT);
  Node(4).set_state(wire::NODE_SUSPECT);
  EXPECT_TRUE(Plan());
  Switch();
  Node(4).set_state(wire::NODE_UP);
  Node(3).set_draining(true);
  EXPECT_FALSE(Plan());
  EXPECT_EQ(CountStuck(map_, facts_), 0u);
  Node(3).set_state(wire::NODE_DOWN);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 3 -> 4 once 2")) << "node 2 may be back";
  Node(2).set_lost(true);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 3 -> 4"));
  Switch();
  Finish();
  EXPECT_THAT(Group(0).targets(), ElementsAre(1, 4));
}

TEST_F(MovesTest, WhoSettlesStaysWhereNothingCouldBeMadeOfTheOthers) {
  AddNodes(3);
  AddGroup("", {2});
  Node(1).set_state(wire::NODE_SUSPECT);
  Node(2).set_draining(true);
  EXPECT_TRUE(Plan());
  Switch();
  Node(1).set_state(wire::NODE_UP);
  Node(3).set_state(wire::NODE_OUT);
  EXPECT_FALSE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[0]: 2 -> 3 settles"));
  Node(3).set_lost(true);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[0]: 3 -> 1 once 2"));
  Node(2).set_state(wire::NODE_OUT);
  EXPECT_FALSE(Plan());
  Node(2).set_lost(true);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[0]: 3 -> 1"));
}

TEST_F(MovesTest, WhatWasThereBeforeIsNeededUntilAMoveEnds) {
  AddNodes(6);
  AddGroup("replica:2", {1, 2});
  Node(2).set_removing(true);
  for (uint32_t node : {4, 5, 6}) Node(node).set_state(wire::NODE_SUSPECT);
  EXPECT_TRUE(Plan());
  Switch();
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 3 settles"));
  Node(3).set_state(wire::NODE_OUT);
  EXPECT_FALSE(Plan()) << "there is nobody else";
  Node(4).set_state(wire::NODE_UP);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 3 -> 4 once 2"));
  EXPECT_THAT(RemoveEmptyNodes(&map_), IsEmpty());
  // Whoever was to take it cannot, and then there is another.
  Node(4).set_draining(true);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 3 settles"));
  Node(5).set_state(wire::NODE_UP);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 3 -> 5 once 2"));
  // It takes over and is away in turn.
  Switch();
  EXPECT_FALSE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 3 -> 5 settles once 2"));
  Node(5).set_state(wire::NODE_OUT);
  Node(6).set_state(wire::NODE_UP);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 5 -> 6 once 2 once 3"));
  // Those come back one after the other.
  Node(5).set_state(wire::NODE_UP);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 3 -> 5 settles once 2"));
  Node(3).set_lost(true);
  EXPECT_FALSE(Plan());
  Finish();
  EXPECT_FALSE(Plan());
  EXPECT_THAT(Group(0).targets(), ElementsAre(1, 5));
  EXPECT_THAT(RemoveEmptyNodes(&map_), ElementsAre(2));
}

TEST_F(MovesTest, OneThatWasThereBeforeMayTakeItAgain) {
  AddNodes(3);
  AddGroup("replica:2", {1, 2});
  Node(2).set_draining(true);
  EXPECT_TRUE(Plan());
  Switch();
  Node(2).set_draining(false);
  Node(3).set_state(wire::NODE_OUT);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 3 -> 2 once 2")) << "it must not be forgotten, if not";
  Node(2).set_state(wire::NODE_OUT);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 3 settles"));
  Node(2).set_state(wire::NODE_UP);
  EXPECT_TRUE(Plan());
  Switch();
  Finish();
  EXPECT_FALSE(Plan());
  EXPECT_THAT(Group(0).targets(), ElementsAre(1, 2));
}

TEST_F(MovesTest, MovesThatMakeNoSenseGo) {
  AddNodes(4);
  wire::PlacementGroup* group = AddGroup("replica:2", {1, 2});
  Node(2).set_draining(true);
  Target(4).set_joining(true);
  const auto add = [group](uint32_t index, uint32_t from, uint32_t to, bool settling) {
    wire::GroupMove* move = group->add_moves();
    move->set_index(index);
    move->set_from(from);
    move->set_to(to);
    move->set_settling(settling);
  };
  add(2, 2, 3, false);  // no such member
  add(1, 1, 3, false);  // not its target
  add(1, 2, 2, false);  // to itself
  add(1, 2, 1, false);  // where the other is
  add(1, 2, 9, false);  // to nobody
  add(1, 2, 3, true);   // settles, and has not been switched
  add(1, 2, 3, false);  // the only good one
  add(1, 2, 3, false);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[1]: 2 -> 3"));
}

TEST_F(MovesTest, GroupsOfALaterReleaseAreLeftAlone) {
  AddNodes(3);
  AddGroup("lrc:4+2+2", {1, 2});
  wire::GroupMove* move = AddGroup("lrc:4+2+2", {1, 2})->add_moves();
  move->set_index(1);
  move->set_from(2);
  move->set_to(9);
  Node(2).set_removing(true);
  EXPECT_FALSE(Plan());
  EXPECT_EQ(CountStuck(map_, facts_), 1u);
  EXPECT_THAT(RemoveEmptyNodes(&map_), IsEmpty());
}

// ---- crowded groups ----

TEST_F(MovesTest, CrowdedGroupsSpreadOutOnceThereIsRoomAndAreFullOnesThen) {
  AddNodes(6);
  MakeGroups("ec:4+2");
  const int full = map_.groups_size();
  for (uint32_t node : {2, 5}) Node(node).set_state(wire::NODE_DOWN);
  AddUsableGroups(&map_, 16);
  const wire::ClusterMap crowded = map_;
  ASSERT_GT(map_.groups_size(), full);
  EXPECT_FALSE(Plan()) << "they may come back";
  const auto count_crowded = [this] {
    return std::count_if(map_.groups().begin(), map_.groups().end(),
                         [](const auto& group) { return group.crowded(); });
  };
  // One domain for two that are wanted.
  Node(2).set_state(wire::NODE_UP);
  CarryOut();
  EXPECT_EQ(count_crowded(), map_.groups_size() - full);
  EXPECT_TRUE(std::all_of(map_.groups().begin() + full, map_.groups().end(), [](const auto& group) {
    return std::count(group.targets().begin(), group.targets().end(), 2u) == 1;
  }));
  Node(5).set_state(wire::NODE_UP);
  CarryOut();
  EXPECT_EQ(count_crowded(), 0);
  for (int i = 0; i < map_.groups_size(); ++i) {
    EXPECT_EQ(map_.groups(i).id(), crowded.groups(i).id());
    const auto& targets = map_.groups(i).targets();
    EXPECT_EQ(std::set<uint32_t>(targets.begin(), targets.end()).size(), 6u);
  }
  for (int i = 0; i < full; ++i)
    EXPECT_EQ(map_.groups(i).SerializeAsString(), crowded.groups(i).SerializeAsString());
}

TEST_F(MovesTest, OfMembersThatShareADomainTheFirstStays) {
  AddNodes(4);
  AddGroup("ec:2+2", {1, 2, 3, 1})->set_crowded(true);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre("0[3]: 1 -> 4"));
  Node(4).set_state(wire::NODE_DOWN);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), IsEmpty());
  EXPECT_EQ(CountStuck(map_, facts_), 0u);
  Node(4).set_state(wire::NODE_UP);
  CarryOut();
  EXPECT_THAT(Group(0).targets(), ElementsAre(1, 2, 3, 4));
  EXPECT_FALSE(Group(0).crowded());
}

TEST_F(MovesTest, WithoutAFreshDomainCrowdedOnesStayAsTheyAre) {
  AddNodes(3);
  AddGroup("ec:2+2", {1, 2, 3, 1})->set_crowded(true);
  EXPECT_FALSE(Plan());
  // Two of node 1 are as many as may be lost.
  Node(3).set_state(wire::NODE_OUT);
  EXPECT_TRUE(Plan());
  ASSERT_EQ(Group(0).moves_size(), 1);
  EXPECT_EQ(Group(0).moves(0).to(), 2u);
  EXPECT_TRUE(Group(0).crowded());
  Node(2).set_state(wire::NODE_OUT);
  EXPECT_TRUE(Plan());
  EXPECT_EQ(Group(0).moves_size(), 0);
  EXPECT_EQ(CountStuck(map_, facts_), 2u);
}

TEST_F(MovesTest, BetterCrowdedThanWithAFragmentLess) {
  AddNodes(6);
  AddGroup("ec:4+2", {1, 2, 3, 4, 5, 6});
  Node(5).set_state(wire::NODE_OUT);
  Node(6).set_state(wire::NODE_OUT);
  EXPECT_TRUE(Plan());
  ASSERT_EQ(Group(0).moves_size(), 2);
  EXPECT_NE(Group(0).moves(0).to(), Group(0).moves(1).to());
  EXPECT_TRUE(Group(0).crowded());
  EXPECT_EQ(CountStuck(map_, facts_), 0u);
  // A copy on the same node as another would survive nothing more.
  AddGroup("replica:2", {1, 5})->set_id(9);
  AddGroup("ec:2+1", {1, 2, 6})->set_id(10);
  Node(3).set_state(wire::NODE_OUT);
  Node(4).set_state(wire::NODE_OUT);
  Plan();
  for (const auto& move : Group(2).moves()) EXPECT_NE(move.to(), 1u);
}

// ---- what has been done ----

TEST_F(MovesTest, AMemberIsSwitchedOnceAndByItsMoveAlone) {
  AddNodes(3);
  AddGroup("replica:2", {1, 2})->set_id(70);
  Node(2).set_draining(true);
  EXPECT_FALSE(SwitchMember(&map_, 70, 1, 3)) << "there is no move";
  EXPECT_TRUE(Plan());
  const std::string planned = map_.SerializeAsString();
  EXPECT_FALSE(SwitchMember(&map_, 0, 1, 3));
  EXPECT_FALSE(SwitchMember(&map_, 70, 0, 3));
  EXPECT_FALSE(SwitchMember(&map_, 70, 2, 3));
  EXPECT_FALSE(SwitchMember(&map_, 70, ~0u, 3));
  EXPECT_FALSE(SwitchMember(&map_, 70, 1, 2));
  EXPECT_FALSE(FinishMove(&map_, 70, 1, 3));
  EXPECT_EQ(map_.SerializeAsString(), planned);
  EXPECT_TRUE(SwitchMember(&map_, 70, 1, 3));
  EXPECT_THAT(Moves(), ElementsAre("70[1]: 2 -> 3 settles"));
  EXPECT_THAT(Group(0).targets(), ElementsAre(1, 3));
  EXPECT_FALSE(SwitchMember(&map_, 70, 1, 3));
  EXPECT_FALSE(FinishMove(&map_, 70, 1, 2));
  EXPECT_FALSE(FinishMove(&map_, 71, 1, 3));
  EXPECT_TRUE(FinishMove(&map_, 70, 1, 3));
  EXPECT_THAT(Moves(), IsEmpty());
  EXPECT_FALSE(FinishMove(&map_, 70, 1, 3));
}

}  // namespace
}  // namespace cairn
