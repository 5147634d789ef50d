// Goal: an operator's word on one target is kept, refused where its data would have nowhere to go
// or would be lost, and the target leaves the map when nothing names it; its number and its id are
// never used again. Method: small maps, each with one thing in the way.

#include "server/cluster/target_intent.h"

#include <functional>
#include <string>
#include <vector>

#include "common/base/units.h"
#include "server/cluster/losses.h"
#include "server/cluster/membership.h"
#include "tests/unit/cluster/moves_fixture.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TargetIntent : public MovesTest {
 protected:
  absl::Status Ask(uint32_t target, wire::TargetAction action, bool force = false) {
    wire::SetTargetRequest request;
    request.set_target(target);
    request.set_action(action);
    request.set_force(force);
    const std::string before = map_.SerializeAsString();
    absl::Status done =
        SetTargetIntent(&map_, request, facts_.usage, GroupsLostWithTarget(map_, target));
    EXPECT_TRUE(done.ok() || map_.SerializeAsString() == before) << "an error changes nothing";
    return done;
  }
  std::string Refusal(uint32_t target, wire::TargetAction action) {
    const absl::Status refused = Ask(target, action);
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
    return std::string(refused.message());
  }
  bool IsInAGroup(uint32_t target) const { return Load().contains(target); }
};

TEST_F(TargetIntent, DrainUndrainAndRemoveAreNoted) {
  AddNodes(3, 2);
  ASSERT_EQ(Ask(3, wire::TARGET_DRAIN), absl::OkStatus());
  EXPECT_TRUE(Target(3).draining());
  EXPECT_FALSE(Target(3).removing());
  for (const auto action : {wire::TARGET_REMOVE, wire::TARGET_REPLACE}) {
    ASSERT_EQ(Ask(3, action), absl::OkStatus());
    EXPECT_TRUE(Target(3).draining()) << "older clients know that";
    EXPECT_TRUE(Target(3).removing());
    EXPECT_FALSE(Target(3).lost());
    ASSERT_EQ(Ask(3, wire::TARGET_UNDRAIN), absl::OkStatus());
    EXPECT_FALSE(Target(3).draining() || Target(3).removing());
  }
  EXPECT_EQ(Ask(9, wire::TARGET_REMOVE).code(), absl::StatusCode::kNotFound);
  for (const auto action : {wire::TARGET_ACTION_UNSPECIFIED, wire::TARGET_ADD})
    EXPECT_EQ(Ask(3, action, true).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(TargetIntent, ARemovedTargetMovesItsMembersAloneAndLeaves) {
  AddNodes(3, 2);
  MakeGroups("replica:1");
  MakeGroups("ec:2+1");
  ASSERT_EQ(Ask(3, wire::TARGET_REMOVE), absl::OkStatus());
  EXPECT_THAT(RemoveEmptyTargets(&map_), IsEmpty());
  EXPECT_TRUE(Plan());
  for (const wire::PlacementGroup& group : map_.groups())
    for (const wire::GroupMove& move : group.moves()) EXPECT_EQ(move.from(), 3u);
  Switch();
  EXPECT_FALSE(IsInAGroup(3));
  EXPECT_THAT(RemoveEmptyTargets(&map_), IsEmpty()) << "what is written to it is still looked for";
  Finish();
  EXPECT_THAT(RemoveEmptyTargets(&map_), ElementsAre(3));
  EXPECT_EQ(map_.targets_size(), 5);
  EXPECT_EQ(map_.nodes_size(), 3);
  EXPECT_THAT(Node(2).removed_targets(), ElementsAre(0));
  EXPECT_EQ(map_.last_removed_target(), 3u);
  EXPECT_THAT(RemoveEmptyTargets(&map_), IsEmpty());
  EXPECT_FALSE(Plan()) << "nothing is left to do";
}

TEST_F(TargetIntent, WithoutAnotherDomainItIsReplacedNotRemoved) {
  AddNodes(3);
  MakeGroups("ec:2+1");
  EXPECT_EQ(
      Refusal(2, wire::TARGET_REMOVE),
      "some of what target 2 holds would have nowhere to go: ec:2+1 needs 3 nodes, and 2 would "
      "be left to take data; add a target or a node first, or say --force to have the rest "
      "moved");
  EXPECT_EQ(Ask(2, wire::TARGET_REMOVE, true), absl::OkStatus());
  EXPECT_EQ(Ask(2, wire::TARGET_UNDRAIN), absl::OkStatus());
  ASSERT_EQ(Ask(2, wire::TARGET_REPLACE), absl::OkStatus());
  EXPECT_FALSE(Plan());
  EXPECT_TRUE(IsInAGroup(2)) << "it waits for the new device";
  const auto added = AddTarget(&map_, 2, 1);
  ASSERT_TRUE(added.ok()) << added.status();
  Target(*added).set_state(wire::TARGET_UP);
  Target(*added).set_joining(false);
  CarryOut();
  EXPECT_FALSE(IsInAGroup(2));
  EXPECT_TRUE(IsInAGroup(*added));
  EXPECT_THAT(RemoveEmptyTargets(&map_), ElementsAre(2));
}

TEST_F(TargetIntent, WhatTheOthersHaveNoSpaceForIsRefused) {
  AddNodes(3);
  MakeGroups("replica:1");
  SetUsage(1, 300 * kMiB, 1000 * kMiB);
  SetUsage(2, 900 * kMiB, 1000 * kMiB);
  SetUsage(3, 800 * kMiB, 1000 * kMiB);
  EXPECT_EQ(Refusal(1, wire::TARGET_REMOVE),
            "target 1 holds 300 MiB, and the others have room for 200 MiB; make room (cairn ckpt "
            "prune) or add a target first, or say --force");
  EXPECT_EQ(Ask(1, wire::TARGET_REPLACE), absl::OkStatus()) << "another one is to come";
  EXPECT_EQ(Ask(1, wire::TARGET_UNDRAIN), absl::OkStatus());
  SetUsage(3, 600 * kMiB, 1000 * kMiB);
  EXPECT_EQ(Ask(1, wire::TARGET_REMOVE), absl::OkStatus());
}

TEST_F(TargetIntent, AFailedTargetIsMadeAgainAtOnce) {
  AddNodes(4);
  MakeGroups("ec:2+1");
  Target(2).set_state(wire::TARGET_FAILED);
  EXPECT_FALSE(Plan()) << "it may come back";
  ASSERT_EQ(Ask(2, wire::TARGET_REPLACE), absl::OkStatus());
  EXPECT_TRUE(Target(2).lost());
  CarryOut();
  EXPECT_FALSE(IsInAGroup(2));
  EXPECT_THAT(RemoveEmptyTargets(&map_), ElementsAre(2));
}

TEST_F(TargetIntent, TheOnlyCopiesOfAFailedTargetTakeForce) {
  AddNodes(3);
  AddGroup("", {2});
  AddGroup("replica:2", {2, 3});
  Target(2).set_path("/dev/x");
  Target(2).set_state(wire::TARGET_FAILED);
  for (const auto action : {wire::TARGET_REMOVE, wire::TARGET_REPLACE}) {
    EXPECT_EQ(Refusal(2, action),
              "target 2 (/dev/x) cannot be read, and what only it holds would be lost: data in 1 "
              "placement group of replica:1; bring it back, or say --force to give that up");
  }
  EXPECT_EQ(Ask(2, wire::TARGET_DRAIN), absl::OkStatus()) << "nothing is given up";
  ASSERT_EQ(Ask(2, wire::TARGET_REMOVE, true), absl::OkStatus());
  EXPECT_EQ(Ask(2, wire::TARGET_REMOVE), absl::OkStatus()) << "it has been said";
  CarryOut();
  EXPECT_THAT(RemoveEmptyTargets(&map_), ElementsAre(2));
  EXPECT_EQ(map_.groups_size(), 2);
}

// ---- the node's side ----

TEST_F(TargetIntent, ANodeHearsThatItsTargetHasLeft) {
  AddNodes(2, 2);
  Node(2).set_identity(77);
  Node(2).set_endpoint("n2:1");
  wire::HeartbeatRequest heartbeat;
  heartbeat.set_node(2);
  heartbeat.set_endpoint("n2:1");
  for (uint32_t id : {3, 4}) *heartbeat.add_targets() = Target(id);
  EXPECT_TRUE(IsCurrent(map_, heartbeat));
  EXPECT_THAT(RemovedTargets(map_, heartbeat), IsEmpty());
  ASSERT_EQ(Ask(3, wire::TARGET_REMOVE), absl::OkStatus());
  ASSERT_THAT(RemoveEmptyTargets(&map_), ElementsAre(3));
  EXPECT_THAT(RemovedTargets(map_, heartbeat), ElementsAre(3));
  EXPECT_TRUE(IsCurrent(map_, heartbeat));
  EXPECT_EQ(UpdateNode(&map_, heartbeat, 4), absl::OkStatus()) << "the node lives";
  EXPECT_EQ(map_.targets_size(), 3);
  heartbeat.mutable_targets(1)->set_id(9);
  EXPECT_FALSE(IsCurrent(map_, heartbeat));
  EXPECT_EQ(UpdateNode(&map_, heartbeat, 4).code(), absl::StatusCode::kInvalidArgument);

  // At its next start.
  wire::JoinRequest request;
  request.set_identity(77);
  request.set_node(2);
  request.set_target_count(2);
  const auto joined = AddNode(&map_, request, 0);
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_THAT(joined->targets(), ElementsAre(0, 4));
  EXPECT_EQ(AddTarget(&map_, 2, 0).status().code(), absl::StatusCode::kFailedPrecondition);
  const auto added = AddTarget(&map_, 2, 2);
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_EQ(*added, 5u);
  EXPECT_EQ(*AddTarget(&map_, 2, 2), 5u) << "said again";
  EXPECT_TRUE(Target(5).joining());
}

TEST_F(TargetIntent, ALostTargetThatIsUpAgainIsNotLost) {
  AddNodes(2);
  AddGroup("", {2});
  Target(2).set_state(wire::TARGET_FAILED);
  ASSERT_EQ(Ask(2, wire::TARGET_REMOVE, true), absl::OkStatus());
  wire::HeartbeatRequest heartbeat;
  heartbeat.set_node(2);
  *heartbeat.add_targets() = Target(2);
  EXPECT_TRUE(IsCurrent(map_, heartbeat));
  heartbeat.mutable_targets(0)->set_state(wire::TARGET_UP);
  EXPECT_FALSE(IsCurrent(map_, heartbeat));
  ASSERT_EQ(UpdateNode(&map_, heartbeat, 4), absl::OkStatus());
  EXPECT_FALSE(Target(2).lost());
  EXPECT_TRUE(Target(2).removing());
}

TEST_F(TargetIntent, ATargetThatWasNeverMadeIsForgottenByTheFoundingNode) {
  AddNodes(2);
  ASSERT_TRUE(AddTarget(&map_, 2, 1).ok());
  ASSERT_TRUE(AddTarget(&map_, 1, 1).ok());
  wire::ClusterMap present;
  *present.add_nodes() = Node(1);
  *present.add_targets() = Target(1);
  const auto merged = MergeClusterMap(map_, present, 4);
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(merged->targets_size(), 3) << "the other node's stays";
  EXPECT_EQ(merged->last_removed_target(), 4u);
}

TEST_F(TargetIntent, TheFoundingNodesStartChangesNoIntent) {
  AddNodes(2, 2);
  AddGroup("", {2});
  ASSERT_EQ(Ask(2, wire::TARGET_REMOVE), absl::OkStatus());
  Target(1).set_joining(true);
  wire::ClusterMap present;
  *present.add_nodes() = Node(1);
  for (uint32_t id : {1, 2}) {
    wire::TargetInfo& target = *present.add_targets();
    target = Target(id);
    target.clear_draining();
    target.clear_removing();
    target.clear_joining();
  }
  const auto merged = MergeClusterMap(map_, present, 4);
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_TRUE(merged->targets(0).joining());
  EXPECT_TRUE(merged->targets(1).draining() && merged->targets(1).removing());
}

}  // namespace
}  // namespace cairn
