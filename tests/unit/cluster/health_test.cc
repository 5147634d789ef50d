// Goal: every fault of a map is told under its code, with the right severity, time and members, and
// nothing else is. Method: small maps with one fault each, and random ones that no cluster makes.

#include "server/cluster/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
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
using testing::IsEmpty;

// "ERROR NODE_DOWN", for readable comparisons.
std::vector<std::string> Codes(const wire::ClusterMap& map) {
  std::vector<std::string> codes;
  for (const wire::HealthItem& item : JudgeHealth(map))
    codes.push_back(StrCat(wire::HealthSeverity_Name(item.severity()).substr(7), " ", item.code()));
  return codes;
}

class HealthTest : public testing::Test {
 protected:
  // Nodes 1, 2, ... with a target each of the same id, half full.
  void AddNodes(uint32_t count) {
    for (uint32_t id = 1; id <= count; ++id) {
      wire::NodeInfo* node = map_.add_nodes();
      node->set_id(id);
      node->set_name(StrCat("h", id));
      node->set_endpoint(StrCat("10.0.0.", id, ":7440"));
      node->set_state_since_ns(id);
      wire::TargetInfo* target = map_.add_targets();
      target->set_id(id);
      target->set_node(id);
      target->set_path(StrCat("/d/t", id));
      target->set_state(wire::TARGET_UP);
      target->set_capacity_bytes(1000);
      target->set_used_bytes(500);
    }
  }
  wire::PlacementGroup* AddGroup(const std::string& redundancy, std::vector<uint32_t> targets,
                                 wire::DomainLevel level = wire::DOMAIN_NODE) {
    wire::PlacementGroup* group = map_.add_groups();
    group->set_id(static_cast<uint32_t>(map_.groups_size()));
    group->set_redundancy(redundancy);
    group->set_level(level);
    group->mutable_targets()->Add(targets.begin(), targets.end());
    return group;
  }
  wire::NodeInfo& Node(uint32_t id) { return *map_.mutable_nodes(static_cast<int>(id) - 1); }
  wire::TargetInfo& Target(uint32_t id) { return *map_.mutable_targets(static_cast<int>(id) - 1); }
  void Set(uint32_t node, wire::NodeState state, int64_t since_ns) {
    Node(node).set_state(state);
    Node(node).set_state_since_ns(since_ns);
  }
  // The only item of that code.
  wire::HealthItem Item(const std::string& code) {
    std::vector<wire::HealthItem> found;
    for (const wire::HealthItem& item : JudgeHealth(map_))
      if (item.code() == code) found.push_back(item);
    EXPECT_EQ(found.size(), 1u) << code;
    return found.empty() ? wire::HealthItem() : found[0];
  }

  wire::ClusterMap map_;
};

TEST_F(HealthTest, NothingIsWrongWithAClusterThatIsWhole) {
  AddNodes(3);
  AddGroup("", {1});
  AddGroup("ec:2+1", {1, 2, 3});
  EXPECT_THAT(JudgeHealth(map_), IsEmpty());
  EXPECT_THAT(JudgeHealth(wire::ClusterMap()), IsEmpty());
}

TEST_F(HealthTest, NodesAreNamedByTheirState) {
  AddNodes(4);
  Set(2, wire::NODE_OUT, 20);
  Set(3, wire::NODE_DOWN, 30);
  Set(4, wire::NODE_SUSPECT, 40);
  EXPECT_THAT(Codes(map_),
              ElementsAre("ERROR NODE_DOWN", "ERROR NODE_OUT", "WARNING NODE_SUSPECT"));
  const wire::HealthItem down = Item("NODE_DOWN");
  EXPECT_EQ(down.summary(), "node 3 (h3, 10.0.0.3:7440) is down");
  EXPECT_THAT(down.endangers(), HasSubstr("its 1 target "));
  EXPECT_THAT(down.todo(), HasSubstr("start cairnd there again with its data"));
  EXPECT_EQ(down.since_ns(), 30);
  EXPECT_THAT(down.nodes(), ElementsAre(3));
  EXPECT_EQ(Item("NODE_OUT").since_ns(), 20);
  EXPECT_THAT(Item("NODE_SUSPECT").nodes(), ElementsAre(4));
}

TEST_F(HealthTest, ANodeThatHasSaidNothingYetIsNamedByItsId) {
  map_.add_nodes()->set_id(7);
  Node(1).set_state(wire::NODE_DOWN);
  EXPECT_EQ(Item("NODE_DOWN").summary(), "node 7 is down");
}

TEST_F(HealthTest, AFailedTargetIsNamedWithItsNode) {
  AddNodes(2);
  Target(2).set_state(wire::TARGET_FAILED);
  EXPECT_THAT(Codes(map_), ElementsAre("ERROR TARGET_FAILED"));
  const wire::HealthItem item = Item("TARGET_FAILED");
  EXPECT_EQ(item.summary(), "target 2 (/d/t2) of node 2 (h2, 10.0.0.2:7440) has failed");
  EXPECT_THAT(item.targets(), ElementsAre(2));
  EXPECT_EQ(item.since_ns(), 0);
}

TEST_F(HealthTest, ATargetIsJoiningOnlyWhereItsNodeIsUp) {
  AddNodes(2);
  Target(1).set_joining(true);
  Target(2).set_joining(true);
  Set(2, wire::NODE_DOWN, 20);
  EXPECT_THAT(Codes(map_), ElementsAre("ERROR NODE_DOWN", "WARNING TARGET_JOINING"));
  EXPECT_THAT(Item("TARGET_JOINING").targets(), ElementsAre(1));
}

TEST_F(HealthTest, FullTargetsAreListedFromEightyFiveAndNinetyFivePercentOn) {
  AddNodes(6);
  const std::vector<uint64_t> used = {849, 850, 949, 950, 1000, 2000};
  for (uint32_t id = 1; id <= 6; ++id) Target(id).set_used_bytes(used[id - 1]);
  EXPECT_THAT(Codes(map_), ElementsAre("ERROR TARGET_FULL", "WARNING TARGET_NEARFULL"));
  EXPECT_THAT(Item("TARGET_FULL").targets(), ElementsAre(4, 5, 6));
  EXPECT_EQ(Item("TARGET_FULL").summary(),
            "3 targets at least 95 % full: targets 4 (95 %), 5 (100 %), 6 (100 %)");
  EXPECT_THAT(Item("TARGET_NEARFULL").targets(), ElementsAre(2, 3));
  // Not known, out of reach anyway, or as large as a number gets.
  for (uint32_t id = 2; id <= 6; ++id) Target(id).set_used_bytes(0);
  Target(2).set_capacity_bytes(0);
  Target(3).set_used_bytes(1000);
  Target(3).set_state(wire::TARGET_FAILED);
  Target(4).set_used_bytes(1000);
  Set(4, wire::NODE_DOWN, 1);
  Target(5).set_capacity_bytes(~uint64_t{0});
  Target(5).set_used_bytes(~uint64_t{0} / 20 * 16);
  EXPECT_THAT(Codes(map_), ElementsAre("ERROR NODE_DOWN", "ERROR TARGET_FAILED"));
}

TEST_F(HealthTest, OneCopyIsUnavailableWhileItsNodeIsDown) {
  AddNodes(2);
  AddGroup("", {1});
  AddGroup("", {2});
  AddGroup("replica:1", {2});
  Set(2, wire::NODE_DOWN, 20);
  EXPECT_THAT(Codes(map_), ElementsAre("ERROR DATA_UNAVAILABLE", "ERROR NODE_DOWN"));
  const wire::HealthItem item = Item("DATA_UNAVAILABLE");
  EXPECT_THAT(item.summary(), HasSubstr("2 of 3 of replica:1; missing: node 2"));
  EXPECT_THAT(item.endangers(), HasSubstr("files in them"));
  EXPECT_EQ(item.todo(), "start cairnd again with its data on node 2");
  EXPECT_EQ(item.since_ns(), 20);
  EXPECT_THAT(item.nodes(), ElementsAre(2));
  EXPECT_THAT(item.targets(), ElementsAre(2));
}

TEST_F(HealthTest, UnavailableIsSinceTheLossThatWasOneTooMany) {
  AddNodes(5);
  AddGroup("ec:2+1", {1, 2, 3});
  AddGroup("ec:2+1", {1, 4, 5});
  Set(1, wire::NODE_DOWN, 10);
  Set(2, wire::NODE_OUT, 30);
  EXPECT_THAT(Codes(map_),
              ElementsAre("ERROR DATA_DEGRADED", "ERROR DATA_UNAVAILABLE", "ERROR NODE_DOWN",
                          "ERROR NODE_OUT", "ERROR WRITES_REFUSED"));
  EXPECT_EQ(Item("DATA_UNAVAILABLE").since_ns(), 30);
  EXPECT_THAT(Item("DATA_UNAVAILABLE").nodes(), ElementsAre(1, 2));
  EXPECT_EQ(Item("DATA_DEGRADED").since_ns(), 10);
  EXPECT_THAT(Item("DATA_DEGRADED").nodes(), ElementsAre(1));
  // It is not known when a target failed.
  Set(2, wire::NODE_UP, 40);
  Target(2).set_state(wire::TARGET_FAILED);
  EXPECT_EQ(Item("DATA_UNAVAILABLE").since_ns(), 0);
  EXPECT_THAT(Item("DATA_UNAVAILABLE").summary(), HasSubstr("missing: node 1 and target 2"));
  EXPECT_EQ(Item("DATA_UNAVAILABLE").todo(),
            "start cairnd again with its data on node 1; see to the devices of target 2 and "
            "restart cairnd there");
}

TEST_F(HealthTest, DegradedIsAWarningWhileAnotherLossIsSurvived) {
  AddNodes(7);
  AddGroup("ec:4+2", {1, 2, 3, 4, 5, 6});
  AddGroup("ec:4+2", {2, 3, 4, 5, 6, 7});
  Set(1, wire::NODE_DOWN, 10);
  EXPECT_THAT(Codes(map_), ElementsAre("ERROR NODE_DOWN", "WARNING DATA_DEGRADED"));
  EXPECT_THAT(Item("DATA_DEGRADED").summary(), HasSubstr("1 of 2 of ec:4+2; missing: node 1"));
  EXPECT_THAT(Item("DATA_DEGRADED").endangers(), HasSubstr("survive the loss of 1 more node"));
  AddGroup("replica:2", {1, 2});
  AddGroup("replica:2", {3, 4});
  EXPECT_THAT(Codes(map_), ElementsAre("ERROR DATA_DEGRADED", "ERROR NODE_DOWN"));
  EXPECT_THAT(Item("DATA_DEGRADED").endangers(), HasSubstr("the loss of one more node can make"));
}

TEST_F(HealthTest, WhatIsLeftIsCountedInTheDomainsOfTheGroup) {
  AddNodes(4);
  AddGroup("ec:2+2", {1, 2, 3, 4}, wire::DOMAIN_RACK);
  for (uint32_t id = 1; id <= 4; ++id) Node(id).set_rack(id <= 2 ? "a" : StrCat("r", id));
  Set(3, wire::NODE_DOWN, 10);
  // Rack a has two of the three that are left, and one may be lost.
  EXPECT_EQ(Item("DATA_DEGRADED").severity(), wire::HEALTH_ERROR);
  EXPECT_THAT(Item("DATA_DEGRADED").endangers(), HasSubstr("one more rack"));
  map_.mutable_groups(0)->set_level(wire::DOMAIN_TARGET);
  EXPECT_EQ(Item("DATA_DEGRADED").severity(), wire::HEALTH_WARNING);
  EXPECT_THAT(Item("DATA_DEGRADED").endangers(), HasSubstr("1 more target"));
}

TEST_F(HealthTest, CrowdedGroupsLoseAllOfADomainAtOnce) {
  AddNodes(4);
  AddGroup("ec:4+2", {1, 2, 3, 4, 1, 2})->set_crowded(true);
  Set(3, wire::NODE_DOWN, 10);
  EXPECT_EQ(Item("DATA_DEGRADED").severity(), wire::HEALTH_ERROR);
  Set(3, wire::NODE_UP, 20);
  Set(1, wire::NODE_DOWN, 30);
  Set(2, wire::NODE_DOWN, 40);
  EXPECT_EQ(Item("DATA_UNAVAILABLE").since_ns(), 40);
}

TEST_F(HealthTest, GroupsThatAreStillCrowdedAreNamedWithWhatTheySurvive) {
  AddNodes(6);
  AddGroup("ec:4+2", {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(Codes(map_), ElementsAre());
  AddGroup("ec:4+2", {1, 2, 3, 4, 1, 2})->set_crowded(true);
  EXPECT_THAT(Codes(map_), ElementsAre("WARNING DATA_CROWDED"));
  EXPECT_EQ(Item("DATA_CROWDED").summary(),
            "1 of 2 placement groups of ec:4+2 have several fragments in a node");
  EXPECT_EQ(Item("DATA_CROWDED").endangers(),
            "what is in them survives the loss of 1 node, not of 2");
  AddGroup("ec:4+2", {1, 2, 3, 4, 5, 6})->set_crowded(true);
  EXPECT_THAT(Item("DATA_CROWDED").summary(), HasSubstr("1 of 3 placement groups"));
  map_.mutable_groups(1)->mutable_targets()->Set(4, 5);
  map_.mutable_groups(1)->mutable_targets()->Set(5, 6);
  EXPECT_THAT(Codes(map_), ElementsAre()) << "they are apart by now, though it still says crowded";
  AddGroup("ec:4+2", {1, 2, 3, 4, 4, 6});
  EXPECT_THAT(Codes(map_), ElementsAre("WARNING DATA_CROWDED")) << "though it was not made crowded";
}

// Right after what was missing has been removed, all groups can still be marked so.
TEST_F(HealthTest, GroupsThatShareANodeAreNamedAlsoWhereAllAreMarkedCrowded) {
  AddNodes(6);
  AddGroup("ec:4+2", {1, 2, 3, 4, 5, 6})->set_crowded(true);
  EXPECT_THAT(Codes(map_), IsEmpty());
  AddGroup("ec:4+2", {1, 2, 3, 4, 5, 5})->set_crowded(true);
  EXPECT_THAT(Codes(map_), ElementsAre("WARNING DATA_CROWDED"));
  EXPECT_THAT(Item("DATA_CROWDED").endangers(), HasSubstr("the loss of 1 node, not of 2"));
}

TEST_F(HealthTest, WritesAreCrowdedAndThenRefused) {
  AddNodes(6);
  AddGroup("ec:4+2", {1, 2, 3, 4, 5, 6});
  AddGroup("replica:2", {1, 2});
  Set(5, wire::NODE_DOWN, 50);
  AddUsableGroups(&map_, 2);
  EXPECT_THAT(Codes(map_),
              ElementsAre("ERROR NODE_DOWN", "WARNING DATA_DEGRADED", "WARNING WRITES_CROWDED"));
  EXPECT_THAT(Item("WRITES_CROWDED").summary(), HasSubstr("ec:4+2; missing: node 5"));
  EXPECT_EQ(Item("WRITES_CROWDED").since_ns(), 50);
  for (uint32_t id : {1, 3, 4, 6}) Set(id, wire::NODE_DOWN, 60 + id);
  std::vector<std::string> refused;
  for (const wire::HealthItem& item : JudgeHealth(map_)) {
    EXPECT_NE(item.code(), "WRITES_CROWDED");
    if (item.code() == "WRITES_REFUSED") refused.push_back(item.endangers());
  }
  EXPECT_THAT(refused, ElementsAre("nothing can be written with ec:4+2",
                                   "nothing can be written with replica:2"));
}

TEST_F(HealthTest, ANodeThatIsToBeEmptyIsNamedWithWhatIsLeft) {
  AddNodes(4);
  wire::PlacementGroup* group = AddGroup("replica:2", {1, 2});
  AddGroup("replica:2", {2, 3});
  AddGroup("replica:2", {3, 4});
  Node(2).set_draining(true);
  EXPECT_THAT(Codes(map_), ElementsAre("WARNING NODE_DRAINING"));
  EXPECT_EQ(Item("NODE_DRAINING").summary(),
            "node 2 (h2, 10.0.0.2:7440) is being emptied: it is still in 2 placement groups");
  EXPECT_THAT(Item("NODE_DRAINING").todo(), HasSubstr("cairn node undrain"));
  EXPECT_THAT(Item("NODE_DRAINING").nodes(), ElementsAre(2));
  Node(2).set_removing(true);
  group->set_targets(1, 4);
  EXPECT_THAT(Item("NODE_DRAINING").summary(),
              HasSubstr("is being removed: it is still in 1 placement group"));
  // One that settles is not over.
  map_.mutable_groups(1)->set_targets(0, 4);
  wire::GroupMove* move = map_.mutable_groups(1)->add_moves();
  move->set_from(2);
  move->set_to(4);
  move->set_settling(true);
  EXPECT_THAT(Item("NODE_DRAINING").summary(), HasSubstr("it is still in 1 placement group"));
  map_.mutable_groups(1)->clear_moves();
  EXPECT_THAT(Item("NODE_DRAINING").summary(), HasSubstr("is empty"));
  EXPECT_THAT(Item("NODE_DRAINING").todo(), HasSubstr("leaves the cluster"));
  Node(2).set_removing(false);
  EXPECT_THAT(Item("NODE_DRAINING").todo(), HasSubstr("cairn node rm"));
}

TEST_F(HealthTest, MembersOnTheMoveAreCounted) {
  AddNodes(4);
  wire::PlacementGroup* group = AddGroup("replica:2", {1, 2});
  const auto add = [group](uint32_t index, uint32_t from, uint32_t to, bool settling) {
    wire::GroupMove* move = group->add_moves();
    move->set_index(index);
    move->set_from(from);
    move->set_to(to);
    move->set_settling(settling);
  };
  add(0, 1, 3, false);
  add(1, 4, 2, true);
  EXPECT_THAT(Codes(map_), ElementsAre("WARNING DATA_MOVING"));
  EXPECT_EQ(Item("DATA_MOVING").summary(),
            "1 member of placement groups is being made elsewhere, 1 more settles");
  EXPECT_THAT(Item("DATA_MOVING").targets(), ElementsAre(2, 3));
}

TEST_F(HealthTest, MembersThatHaveNowhereToGoAreAnErrorUnlessNothingCouldBeMadeOfThem) {
  AddNodes(4);
  AddGroup("ec:2+1", {1, 2, 3});
  AddGroup("", {3});
  Target(4).set_joining(true);
  Set(3, wire::NODE_DOWN, 10);
  const auto has_blocked = [this] {
    const std::vector<std::string> codes = Codes(map_);
    return std::find(codes.begin(), codes.end(), "ERROR REBUILD_BLOCKED") != codes.end();
  };
  EXPECT_FALSE(has_blocked()) << "it may come back";
  Set(3, wire::NODE_OUT, 20);
  const wire::HealthItem item = Item("REBUILD_BLOCKED");
  EXPECT_EQ(item.severity(), wire::HEALTH_ERROR);
  EXPECT_EQ(item.summary(),
            "1 member of placement groups of ec:2+1 has nowhere to go: it needs 3 nodes, and 2 "
            "take data");
  EXPECT_THAT(item.todo(), HasSubstr("add nodes"));
  EXPECT_THAT(item.nodes(), ElementsAre(3));
  EXPECT_THAT(item.targets(), ElementsAre(3));
  Target(4).set_joining(false);
  EXPECT_FALSE(has_blocked()) << "a move will be planned";
  Node(4).set_draining(true);
  EXPECT_TRUE(has_blocked());
  Set(2, wire::NODE_DOWN, 30);
  EXPECT_FALSE(has_blocked()) << "nothing can be made of one fragment";
}

TEST_F(HealthTest, SuspectNodesMissNothing) {
  AddNodes(2);
  AddGroup("replica:2", {1, 2});
  Set(2, wire::NODE_SUSPECT, 20);
  EXPECT_THAT(Codes(map_), ElementsAre("WARNING NODE_SUSPECT"));
}

TEST_F(HealthTest, ItemsOfACodeAreInTheOrderOfTheirNodes) {
  AddNodes(3);
  std::swap(Node(1), Node(3));
  for (uint32_t id = 1; id <= 3; ++id) Node(id).set_state(wire::NODE_DOWN);
  const auto items = JudgeHealth(map_);
  ASSERT_EQ(items.size(), 3u);
  for (uint32_t id = 1; id <= 3; ++id) EXPECT_EQ(items[id - 1].nodes(0), id);
}

TEST_F(HealthTest, ListsAreCutShortForPeopleAlone) {
  AddNodes(12);
  for (uint32_t id = 1; id <= 10; ++id) AddGroup("", {id});
  for (uint32_t id = 1; id <= 10; ++id) Set(id, wire::NODE_DOWN, 1);
  AddGroup("", {11});
  const wire::HealthItem item = Item("DATA_UNAVAILABLE");
  EXPECT_THAT(item.summary(), HasSubstr("missing: nodes 1, 2, 3, 4, 5, 6, 7, 8 and 2 more"));
  EXPECT_EQ(item.nodes_size(), 10);
}

TEST_F(HealthTest, ARedundancyOfALaterReleaseIsJudgedByItsWritesAlone) {
  AddNodes(1);
  AddGroup("lrc:4+2+2", {1});
  EXPECT_THAT(JudgeHealth(map_), IsEmpty());
  Set(1, wire::NODE_DOWN, 1);
  EXPECT_THAT(Codes(map_), ElementsAre("ERROR NODE_DOWN", "ERROR WRITES_REFUSED"));
}

TEST_F(HealthTest, WarningsOfTheMetadataAreItemsToo) {
  const auto items = JudgeHealth(map_, {"the clock"});
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0].code(), "METADATA_WARNING");
  EXPECT_EQ(items[0].severity(), wire::HEALTH_WARNING);
  EXPECT_EQ(items[0].summary(), "the clock");
}

// Ids that nothing has, several of one id, groups of nothing, states of a later release.
wire::ClusterMap AnyMap(Random& random) {
  const auto below = [&random](uint64_t bound) {
    return static_cast<uint32_t>(random.Below(bound));
  };
  wire::ClusterMap map;
  for (uint32_t i = below(5); i > 0; --i) {
    wire::NodeInfo* node = map.add_nodes();
    node->set_id(below(5));
    node->set_state(static_cast<wire::NodeState>(below(6)));
    node->set_state_since_ns(static_cast<int64_t>(random.Next()));
    node->set_rack(std::string(below(2), 'r'));
    node->set_draining(below(4) == 0);
    node->set_removing(below(8) == 0);
  }
  for (uint32_t i = below(8); i > 0; --i) {
    wire::TargetInfo* target = map.add_targets();
    target->set_id(below(8));
    target->set_node(below(6));
    target->set_state(static_cast<wire::TargetState>(below(4)));
    target->set_joining(below(4) == 0);
    target->set_capacity_bytes(random.Next() >> below(64));
    target->set_used_bytes(random.Next() >> below(64));
  }
  const char* kinds[] = {"", "replica:2", "ec:2+1", "ec:4+2", "ec:", "x"};
  for (uint32_t i = below(8); i > 0; --i) {
    wire::PlacementGroup* group = map.add_groups();
    group->set_redundancy(kinds[below(std::size(kinds))]);
    group->set_level(static_cast<wire::DomainLevel>(below(4)));
    group->set_crowded(below(2) == 0);
    for (uint32_t fragment = below(8); fragment > 0; --fragment) group->add_targets(below(10));
    for (uint32_t moves = below(3); moves > 0; --moves) {
      wire::GroupMove* move = group->add_moves();
      move->set_index(below(9));
      move->set_from(below(10));
      move->set_to(below(10));
      move->set_settling(below(2) == 0);
    }
  }
  return map;
}

TEST(HealthOfAnyMap, IsOrderedAndSaysAllItHasToSay) {
  for (uint64_t seed = 1; seed <= SeedsHere(2000) && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    const auto items = JudgeHealth(AnyMap(random));
    for (const wire::HealthItem& item : items) {
      EXPECT_NE(item.severity(), wire::HEALTH_SEVERITY_UNSPECIFIED);
      EXPECT_FALSE(item.summary().empty());
      EXPECT_FALSE(item.endangers().empty());
      EXPECT_FALSE(item.todo().empty());
      // That groups are crowded is no node's fault.
      const bool names_places = item.nodes_size() + item.targets_size() > 0;
      EXPECT_TRUE(names_places || item.code() == "DATA_CROWDED") << item.code();
    }
    EXPECT_TRUE(std::is_sorted(items.begin(), items.end(), [](const auto& a, const auto& b) {
      return a.severity() != b.severity() ? a.severity() > b.severity() : a.code() < b.code();
    }));
  }
}

}  // namespace
}  // namespace cairn
