// Goal: an operator sees how evenly targets are filled, has them more even than they are unasked,
// and can end that. Method: small maps of one copy each, so that what moves is counted by hand.

#include "server/cluster/balance.h"

#include <string>

#include "tests/unit/cluster/moves_fixture.h"

namespace cairn {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class BalanceTest : public MovesTest {
 protected:
  // Targets 1 to 3: 20 groups of one copy on the first, 10 on the others, a percent each.
  BalanceTest() {
    AddNodes(3);
    for (uint32_t target : {1, 2, 3}) {
      for (int i = 0; i < (target == 1 ? 20 : 10); ++i) AddGroup("", {target});
      SetUsage(target, target == 1 ? 180 : 100);
    }
  }
};

TEST_F(BalanceTest, TheFullestAndTheEmptiestAreNamed) {
  SetUsage(2, 140);
  const wire::RebalanceReply reply = DescribeBalance(map_, facts_, 0);
  EXPECT_EQ(reply.targets(), 3u);
  EXPECT_EQ(reply.fullest().target(), 1u);
  EXPECT_EQ(reply.fullest().used_bytes(), 180u);
  EXPECT_EQ(reply.fullest().capacity_bytes(), 1000u);
  EXPECT_EQ(reply.median().target(), 2u);
  EXPECT_EQ(reply.median().node(), 2u);
  EXPECT_EQ(reply.emptiest().target(), 3u);
  EXPECT_EQ(reply.moves_planned(), 0u);
  Target(3).set_draining(true);
  EXPECT_EQ(DescribeBalance(map_, facts_, 0).emptiest().target(), 2u) << "it takes no data";
  EXPECT_EQ(DescribeBalance(wire::ClusterMap(), MoveFacts(), 2).targets(), 0u);
}

TEST_F(BalanceTest, WhatWouldMoveIsToldAndNothingChanges) {
  const std::string before = map_.SerializeAsString();
  const wire::RebalanceReply reply = DescribeBalance(map_, facts_, 2);
  // Each a twentieth of 180. They end when the gap is three of them.
  EXPECT_GE(reply.moves_planned(), 4u);
  EXPECT_EQ(reply.bytes_planned(), 9 * reply.moves_planned());
  ASSERT_THAT(reply.moves(), SizeIs(reply.moves_planned()));
  EXPECT_EQ(reply.moves(0).from(), 1u);
  EXPECT_EQ(reply.moves(0).bytes(), 9u);
  EXPECT_EQ(map_.SerializeAsString(), before);
  EXPECT_EQ(DescribeBalance(map_, facts_, 10).moves_planned(), 0u);
}

TEST_F(BalanceTest, ALowerThresholdMovesWhatIsOtherwiseLeft) {
  EXPECT_FALSE(Plan()) << "8 % apart";
  ASSERT_EQ(StartRebalance(&map_, 2), absl::OkStatus());
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), testing::Not(IsEmpty()));
  for (const std::string& move : Moves()) EXPECT_THAT(move, testing::HasSubstr(": 1 -> "));
  EXPECT_EQ(map_.rebalance_percent(), 2u) << "until there is nothing more to move";
  EXPECT_GT(DescribeBalance(map_, facts_, 2).moves_under_way(), 0u);
  Switch();
  Finish();
  for (auto& [target, usage] : facts_.usage) usage.used_bytes = 130;
  EXPECT_TRUE(Plan());
  EXPECT_EQ(map_.rebalance_percent(), 0u);
  EXPECT_THAT(Moves(), IsEmpty());
}

TEST_F(BalanceTest, WhatCannotBeBetteredEnds) {
  map_.clear_groups();
  AddGroup("", {1});
  ASSERT_EQ(StartRebalance(&map_, 1), absl::OkStatus());
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), IsEmpty()) << "the only member would make the other the fuller one";
  EXPECT_EQ(map_.rebalance_percent(), 0u);
}

TEST_F(BalanceTest, ItWaitsForTheSweepAndForOtherMoves) {
  ASSERT_EQ(StartRebalance(&map_, 2), absl::OkStatus());
  facts_.may_balance = false;
  EXPECT_FALSE(Plan());
  EXPECT_TRUE(DescribeBalance(map_, facts_, 2).waits_for_sweep());
  facts_.may_balance = true;
  Node(3).set_draining(true);
  EXPECT_TRUE(Plan());
  for (const std::string& move : Moves())
    EXPECT_THAT(move, testing::Not(testing::HasSubstr("balances")));
  EXPECT_EQ(map_.rebalance_percent(), 2u);
}

TEST_F(BalanceTest, AStopEndsWhatOnlyCopies) {
  ASSERT_EQ(StartRebalance(&map_, 2), absl::OkStatus());
  ASSERT_TRUE(Plan());
  ASSERT_GE(Moves().size(), 2u);
  for (wire::PlacementGroup& group : *map_.mutable_groups()) {
    if (group.moves().empty()) continue;
    ASSERT_TRUE(SwitchMember(&map_, group.id(), 0, group.moves(0).to()));
    break;
  }
  EXPECT_TRUE(StopRebalance(&map_));
  EXPECT_THAT(Moves(), SizeIs(1)) << "the one that settles";
  EXPECT_EQ(map_.rebalance_percent(), 0u);
  EXPECT_FALSE(StopRebalance(&map_));
}

TEST_F(BalanceTest, WhatIsNoPercentageIsRefused) {
  for (uint32_t percent : {0, 100, 1000})
    EXPECT_EQ(StartRebalance(&map_, percent).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(map_.rebalance_percent(), 0u);
}

}  // namespace
}  // namespace cairn
