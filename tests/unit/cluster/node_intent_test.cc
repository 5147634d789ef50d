// Goal: an operator's word on a node is kept, refused where data would have nowhere to go, and told
// beforehand what a stop would cost; a node leaves the map when nothing names it any more, and its
// ids with it. Method: small maps, each with one thing in the way.

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "server/cluster/losses.h"
#include "server/cluster/membership.h"
#include "tests/unit/cluster/moves_fixture.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class NodeIntent : public MovesTest {
 protected:
  absl::Status Ask(uint32_t node, wire::NodeAction action, bool force = false) {
    wire::SetNodeRequest request;
    request.set_node(node);
    request.set_action(action);
    request.set_force(force);
    const std::string before = map_.SerializeAsString();
    absl::Status done = SetNodeIntent(&map_, request, 5000, lost_groups_);
    EXPECT_TRUE(done.ok() || map_.SerializeAsString() == before) << "an error changes nothing";
    return done;
  }
  std::string Refusal(uint32_t node, wire::NodeAction action) {
    const absl::Status refused = Ask(node, action);
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
    return std::string(refused.message());
  }
  // As if all groups held data.
  std::vector<std::string> Why(const std::vector<uint32_t>& nodes) {
    return WhyNotStop(map_, nodes, GroupsUnreadableWithout(map_, nodes));
  }

  std::set<uint32_t> lost_groups_;
};

TEST_F(NodeIntent, DrainUndrainAndRemoveAreNoted) {
  AddNodes(3);
  ASSERT_EQ(Ask(2, wire::NODE_DRAIN), absl::OkStatus());
  EXPECT_TRUE(Node(2).draining());
  EXPECT_FALSE(Node(2).removing());
  ASSERT_EQ(Ask(2, wire::NODE_REMOVE), absl::OkStatus());
  EXPECT_TRUE(Node(2).removing());
  EXPECT_EQ(Node(2).state(), wire::NODE_UP);
  EXPECT_EQ(Node(2).state_since_ns(), 0);
  ASSERT_EQ(Ask(2, wire::NODE_UNDRAIN), absl::OkStatus());
  EXPECT_FALSE(Node(2).draining());
  EXPECT_FALSE(Node(2).removing());
  EXPECT_FALSE(Node(1).draining() || Node(3).draining());
}

TEST_F(NodeIntent, ANodeThatIsDownAndRemovedIsOutAtOnce) {
  AddNodes(4);
  Node(2).set_state(wire::NODE_DOWN);
  Node(3).set_state(wire::NODE_SUSPECT);
  ASSERT_EQ(Ask(2, wire::NODE_DRAIN), absl::OkStatus());
  EXPECT_EQ(Node(2).state(), wire::NODE_DOWN);
  for (uint32_t node : {2, 3}) ASSERT_EQ(Ask(node, wire::NODE_REMOVE), absl::OkStatus());
  EXPECT_EQ(Node(2).state(), wire::NODE_OUT);
  EXPECT_EQ(Node(2).state_since_ns(), 5000);
  EXPECT_EQ(Node(3).state(), wire::NODE_SUSPECT);
}

TEST_F(NodeIntent, WhatCannotBeMeantIsRefused) {
  AddNodes(3);
  EXPECT_EQ(Ask(4, wire::NODE_DRAIN).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Ask(2, wire::NODE_ACTION_UNSPECIFIED).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask(2, static_cast<wire::NodeAction>(9), true).code(),
            absl::StatusCode::kInvalidArgument);
  for (bool force : {false, true})
    EXPECT_EQ(Ask(1, wire::NODE_REMOVE, force).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Refusal(1, wire::NODE_REMOVE), HasSubstr("keeps its metadata"));
  EXPECT_EQ(Ask(1, wire::NODE_DRAIN), absl::OkStatus());
}

TEST_F(NodeIntent, WithTooFewOtherDomainsItTakesForce) {
  AddNodes(6);
  MakeGroups("replica:1");
  MakeGroups("ec:2+1");
  MakeGroups("ec:4+2");
  for (const wire::NodeAction action : {wire::NODE_DRAIN, wire::NODE_REMOVE}) {
    EXPECT_EQ(Refusal(3, action),
              "some of what node 3 holds would have nowhere to go: ec:4+2 needs 6 nodes, and 5 "
              "would be left to take data; add nodes first, or say --force to have the rest moved");
  }
  EXPECT_EQ(Ask(3, wire::NODE_DRAIN, true), absl::OkStatus());
  EXPECT_EQ(Ask(3, wire::NODE_UNDRAIN), absl::OkStatus());
  AddNodes(1);
  EXPECT_EQ(Ask(3, wire::NODE_DRAIN), absl::OkStatus());
  // One is enough for one.
  EXPECT_THAT(Refusal(4, wire::NODE_DRAIN), HasSubstr("ec:4+2 needs 6 nodes, and 5 would be left"));
}

TEST_F(NodeIntent, EveryRedundancyThatIsInTheWayIsNamed) {
  AddNodes(3, 2);
  const char* racks[] = {"a", "b", "b"};
  for (uint32_t id = 1; id <= 3; ++id) Node(id).set_rack(racks[id - 1]);
  AddGroup("replica:2", {1, 3}, wire::DOMAIN_RACK);
  AddGroup("replica:3", {1, 3, 5});
  AddGroup("lrc:2+1+1", {2, 4, 6});
  AddGroup("replica:4", {1, 3, 4, 5}, wire::DOMAIN_TARGET);
  EXPECT_EQ(Refusal(1, wire::NODE_DRAIN),
            "some of what node 1 holds would have nowhere to go: lrc:2+1+1 is of a later release, "
            "and only that can move it, replica:2 needs 2 racks, and 1 would be left to take data, "
            "replica:3 needs 3 nodes, and 2 would be left to take data; add nodes first, or say "
            "--force to have the rest moved");
}

TEST_F(NodeIntent, WhatCannotBeReadNowIsNotInTheWay) {
  AddNodes(3);
  AddGroup("", {2});
  Node(2).set_state(wire::NODE_DOWN);
  EXPECT_EQ(Ask(2, wire::NODE_DRAIN), absl::OkStatus());
  EXPECT_EQ(Ask(2, wire::NODE_REMOVE), absl::OkStatus()) << "the group holds nothing";
}

TEST_F(NodeIntent, LosingTheOnlyCopiesTakesForce) {
  AddNodes(4);
  AddGroup("", {2});
  AddGroup("replica:1", {2});
  AddGroup("replica:2", {2, 3});
  AddGroup("ec:2+1", {2, 3, 4});
  EXPECT_THAT(GroupsLostWithNode(map_, 2), IsEmpty()) << "it is there, and is moved away";
  Node(2).set_state(wire::NODE_DOWN);
  lost_groups_ = GroupsLostWithNode(map_, 2);
  EXPECT_THAT(lost_groups_, ElementsAre(0, 1));
  EXPECT_EQ(Refusal(2, wire::NODE_REMOVE),
            "node 2 is down, and what only it holds would be lost: data in 2 placement groups of "
            "replica:1; bring it back, or say --force to give that up");
  EXPECT_EQ(Ask(2, wire::NODE_DRAIN), absl::OkStatus()) << "nothing is given up";
  EXPECT_EQ(Ask(2, wire::NODE_REMOVE, true), absl::OkStatus());
  EXPECT_EQ(Ask(2, wire::NODE_REMOVE), absl::OkStatus()) << "it has been said";
  // Another one that is down may come back; one that has been given up does not.
  Node(3).set_state(wire::NODE_DOWN);
  EXPECT_THAT(GroupsLostWithNode(map_, 3), ElementsAre(2, 3));
  Node(2).set_lost(false);
  EXPECT_THAT(GroupsLostWithNode(map_, 3), IsEmpty());
  Target(4).set_state(wire::TARGET_FAILED);
  EXPECT_THAT(GroupsLostWithTarget(map_, 4), IsEmpty());
  Target(3).set_lost(true);
  EXPECT_THAT(GroupsLostWithTarget(map_, 4), ElementsAre(3));
}

TEST_F(NodeIntent, EmptyGroupsDoNotSpeakAgainstAStop) {
  AddNodes(3);
  AddGroup("", {2});
  AddGroup("", {2});
  AddGroup("", {3});
  EXPECT_THAT(GroupsUnreadableWithout(map_, {2}), ElementsAre(0, 1));
  EXPECT_THAT(WhyNotStop(map_, {2}, {1}),
              ElementsAre(HasSubstr("1 placement group of replica:1 would lack")));
  EXPECT_THAT(WhyNotStop(map_, {2}, {}), IsEmpty());
}

// ---- leaving the map ----

TEST_F(NodeIntent, ARemovedNodeLeavesWhenNothingNamesItAndItsIdsAreNeverUsedAgain) {
  AddNodes(4, 2);
  MakeGroups("replica:1");
  MakeGroups("replica:2");
  ASSERT_EQ(Ask(3, wire::NODE_DRAIN), absl::OkStatus());
  ASSERT_EQ(Ask(4, wire::NODE_REMOVE), absl::OkStatus());
  EXPECT_THAT(RemoveEmptyNodes(&map_), IsEmpty());
  EXPECT_TRUE(Plan());
  Switch();
  EXPECT_FALSE(IsNamed(4));
  EXPECT_THAT(RemoveEmptyNodes(&map_), IsEmpty()) << "what is written to it is still looked for";
  Finish();
  EXPECT_THAT(RemoveEmptyNodes(&map_), ElementsAre(4)) << "node 3 is drained alone";
  EXPECT_EQ(map_.nodes_size(), 3);
  EXPECT_EQ(map_.targets_size(), 6);
  EXPECT_EQ(map_.last_removed_node(), 4u);
  EXPECT_EQ(map_.last_removed_target(), 8u);
  EXPECT_THAT(RemoveEmptyNodes(&map_), IsEmpty());

  ASSERT_EQ(Ask(3, wire::NODE_REMOVE), absl::OkStatus());
  EXPECT_THAT(RemoveEmptyNodes(&map_), ElementsAre(3));
  EXPECT_EQ(map_.last_removed_node(), 4u) << "the highest";
  EXPECT_EQ(map_.last_removed_target(), 8u);
  wire::JoinRequest request;
  request.set_identity(77);
  request.set_target_count(1);
  const auto joined = AddNode(&map_, request, 0);
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_EQ(joined->node(), 5u);
  EXPECT_THAT(joined->targets(), ElementsAre(9));
}

TEST_F(NodeIntent, TheFoundingNodeStaysWhateverTheMapSays) {
  AddNodes(2);
  Node(1).set_removing(true);
  EXPECT_THAT(RemoveEmptyNodes(&map_), IsEmpty());
}

TEST_F(NodeIntent, ALostNodeLeavesWithTheOnlyCopiesItHad) {
  AddNodes(3);
  AddGroup("", {2});
  Node(2).set_state(wire::NODE_DOWN);
  ASSERT_EQ(Ask(2, wire::NODE_REMOVE), absl::OkStatus());
  CarryOut();
  EXPECT_THAT(RemoveEmptyNodes(&map_), ElementsAre(2));
  EXPECT_EQ(map_.groups_size(), 1);
}

// ---- why not stop ----

TEST_F(NodeIntent, NothingSpeaksAgainstAStopThatAllSurvives) {
  AddNodes(7);
  AddGroup("ec:4+2", {1, 2, 3, 4, 5, 6});
  AddGroup("ec:4+2", {2, 3, 4, 5, 6, 7});
  EXPECT_THAT(Why({2}), IsEmpty());
  EXPECT_THAT(Why({2, 3}), IsEmpty());
  EXPECT_THAT(Why({}), IsEmpty());
  Node(2).set_state(wire::NODE_SUSPECT);
  EXPECT_THAT(Why({3, 4}), IsEmpty());
}

TEST_F(NodeIntent, GroupsThatWouldBeUnreadableAreCountedByRedundancy) {
  AddNodes(7);
  AddGroup("ec:4+2", {1, 2, 3, 4, 5, 6});
  AddGroup("ec:4+2", {2, 3, 4, 5, 6, 7});
  AddGroup("", {7});
  AddGroup("replica:1", {4});
  AddGroup("lrc:2+2+2", {2, 3, 4, 5, 6, 7});
  const std::string one =
      "1 placement group of ec:4+2 would lack more than may be lost: what is in it would be "
      "unreadable";
  const std::string two =
      "2 placement groups of ec:4+2 would lack more than may be lost: what is in them would be "
      "unreadable";
  EXPECT_THAT(Why({5, 6, 7}), ElementsAre(one, HasSubstr("1 placement group of lrc:2+2+2"),
                                          HasSubstr("1 placement group of replica:1")));
  EXPECT_THAT(Why({2, 3, 5})[0], two);
  // What is away already counts, wherever it is.
  Node(2).set_state(wire::NODE_DOWN);
  Target(3).set_state(wire::TARGET_FAILED);
  EXPECT_THAT(Why({7})[0], one);
  EXPECT_THAT(Why({5})[0], two);
  Node(5).set_state(wire::NODE_OUT);
  EXPECT_THAT(Why({7})[0], two) << "it is so without";
}

TEST_F(NodeIntent, ARedundancyThatCouldNotBeWrittenIsNamed) {
  AddNodes(7);
  AddGroup("ec:4+2", {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(Why({3, 4, 5, 6}), testing::SizeIs(1)) << "crowded groups do";
  const std::string refused =
      "nothing could be written with ec:4+2: 2 nodes would be left to take data, and it needs 3";
  EXPECT_EQ(Why({3, 4, 5, 6, 7})[1], refused);
  Node(7).set_draining(true);
  EXPECT_EQ(Why({3, 4, 5, 6})[1], refused) << "it takes nothing new";
}

TEST_F(NodeIntent, TheFoundingNodeAndStrangersAreReasonsOfTheirOwn) {
  AddNodes(3);
  AddGroup("replica:2", {2, 3});
  EXPECT_THAT(
      Why({1, 9}),
      ElementsAre("node 1 keeps the metadata: without it nothing can be opened or committed",
                  "node 9 is not in this cluster"));
}

}  // namespace
}  // namespace cairn
