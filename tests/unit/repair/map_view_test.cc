// Goal: whoever is to make a fragment is told of all that can help, the best first, and of none
// that cannot. Method: a map of one target a node, some of which are in trouble.

#include "server/repair/map_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using IndexAndTarget = std::pair<uint32_t, uint32_t>;

class MapViewTest : public ::testing::Test {
 protected:
  // Target n is on node 10 n, on core n.
  MapViewTest() {
    for (uint32_t id = 1; id <= 6; ++id) {
      wire::NodeInfo* node = map_.add_nodes();
      node->set_id(10 * id);
      node->set_endpoint("host" + std::to_string(id) + ":1");
      wire::TargetInfo* target = map_.add_targets();
      target->set_id(id);
      target->set_node(10 * id);
      target->set_core(id);
    }
    group_ = map_.add_groups();
    group_->set_id(3);
    group_->set_redundancy("ec:2+1");
    for (uint32_t target : {1, 2, 3}) group_->add_targets(target);
  }
  wire::NodeInfo& NodeAt(uint32_t target) {
    return *map_.mutable_nodes(static_cast<int>(target) - 1);
  }
  wire::RestoreFragmentsRequest Request(uint32_t index, uint32_t to,
                                        const std::vector<uint32_t>& others, uint32_t turn) const {
    const MapView view(map_);
    return view.RestoreRequest(*view.FindGroup(3), index, to, others, turn);
  }
  std::vector<IndexAndTarget> Sources(uint32_t index, uint32_t to,
                                      const std::vector<uint32_t>& others = {},
                                      uint32_t turn = 0) const {
    std::vector<IndexAndTarget> sources;
    const wire::RestoreFragmentsRequest request = Request(index, to, others, turn);
    for (const auto& each : request.sources()) sources.emplace_back(each.index(), each.target());
    return sources;
  }

  wire::ClusterMap map_;
  wire::PlacementGroup* group_ = nullptr;
};

TEST_F(MapViewTest, FindsByIdAndSaysNullForWhatIsNot) {
  group_->add_moves()->set_index(2);
  const MapView view(map_);
  ASSERT_NE(view.FindGroup(3), nullptr);
  EXPECT_EQ(view.FindGroup(4), nullptr);
  EXPECT_NE(view.FindTarget(6), nullptr);
  EXPECT_EQ(view.FindTarget(7), nullptr);
  EXPECT_EQ(view.NodeOf(2)->id(), 20u);
  EXPECT_EQ(view.NodeOf(7), nullptr);
  EXPECT_NE(MapView::FindMove(*view.FindGroup(3), 2), nullptr);
  EXPECT_EQ(MapView::FindMove(*view.FindGroup(3), 1), nullptr);
}

TEST_F(MapViewTest, ReachableIsWhatMayAnswer) {
  NodeAt(1).set_state(wire::NODE_SUSPECT);
  NodeAt(2).set_state(wire::NODE_DOWN);
  NodeAt(3).set_state(wire::NODE_OUT);
  map_.mutable_targets(3)->set_state(wire::TARGET_FAILED);
  map_.mutable_targets(4)->set_node(77);
  const MapView view(map_);
  std::vector<uint32_t> reachable;
  for (uint32_t target = 0; target < 10; ++target) {
    if (view.IsReachable(target)) reachable.push_back(target);
  }
  EXPECT_THAT(reachable, ElementsAre(1, 6));
}

TEST_F(MapViewTest, RequestSaysWhereItsSourcesAre) {
  const wire::RestoreFragmentsRequest request = Request(2, 4, {}, 0);
  EXPECT_EQ(request.target(), 4u);
  EXPECT_EQ(request.index(), 2u);
  EXPECT_EQ(request.redundancy(), "ec:2+1");
  ASSERT_EQ(request.sources_size(), 3);
  EXPECT_EQ(request.sources(1).node(), 20u);
  EXPECT_EQ(request.sources(1).core(), 2u);
  EXPECT_EQ(request.sources(1).endpoint(), "host2:1");
}

// From before there was a choice.
TEST_F(MapViewTest, RequestForAGroupThatSaysNoRedundancyNamesOne) {
  group_->clear_redundancy();
  EXPECT_EQ(Request(0, 4, {}, 0).redundancy(), "replica:1");
}

TEST_F(MapViewTest, WhoHasTheVeryFragmentComesFirst) {
  EXPECT_THAT(Sources(1, 4, {6, 5}),
              ElementsAre(Pair(1, 6), Pair(1, 5), Pair(0, 1), Pair(1, 2), Pair(2, 3)));
}

TEST_F(MapViewTest, FormerMemberIsNamedOnce) {
  EXPECT_THAT(Sources(1, 4, {2}), ElementsAre(Pair(1, 2), Pair(0, 1), Pair(2, 3)));
}

TEST_F(MapViewTest, WhoIsToHoldTheFragmentIsNoSourceOfIt) {
  EXPECT_THAT(Sources(1, 2, {2, 5}), ElementsAre(Pair(1, 5), Pair(0, 1), Pair(2, 3)));
}

// As in a crowded group, whose members share domains.
TEST_F(MapViewTest, WhoIsToHoldTheFragmentMayHaveAnother) {
  EXPECT_THAT(Sources(1, 3), ElementsAre(Pair(0, 1), Pair(1, 2), Pair(2, 3)));
}

TEST_F(MapViewTest, WhoCannotBeReachedIsNoSource) {
  NodeAt(2).set_state(wire::NODE_DOWN);
  NodeAt(5).set_state(wire::NODE_DOWN);
  EXPECT_THAT(Sources(1, 4, {5, 6}), ElementsAre(Pair(1, 6), Pair(0, 1), Pair(2, 3)));
}

TEST_F(MapViewTest, TurnsSpreadTheReadsOfAGroup) {
  EXPECT_THAT(Sources(1, 2, {}, 1), ElementsAre(Pair(2, 3), Pair(0, 1)));
  EXPECT_THAT(Sources(1, 4, {}, 2), ElementsAre(Pair(2, 3), Pair(0, 1), Pair(1, 2)));
  EXPECT_THAT(Sources(1, 4, {}, 8), ElementsAre(Pair(2, 3), Pair(0, 1), Pair(1, 2)));
}

}  // namespace
}  // namespace cairn
