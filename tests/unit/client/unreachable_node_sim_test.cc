// Goal: a client that alone cannot reach a node, which is up for the cluster, saves and restores as
// others do: it finds out in seconds, once, and where each placement group has that node it gets
// others made. Method: the simulated cluster with the way between the client and a node cut.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/client/rebuild_world.h"

namespace cairn {
namespace {

struct Shape {
  uint32_t nodes;
  const char* redundancy;
};

class UnreachableNodeSim : public ::testing::TestWithParam<Shape> {
 protected:
  UnreachableNodeSim() : cluster_(GetParam().nodes, 3) {
    EXPECT_EQ(cluster_.MakeBucket("b", GetParam().redundancy), absl::OkStatus());
    shards_ = {RandomContent(cluster_.random, 3 * kMiB / 2),
               RandomContent(cluster_.random, 300 * kKiB)};
    EXPECT_EQ(cluster_.executor.Run(cluster_.Save("b/step-0", shards_)), absl::OkStatus());
  }
  absl::Duration Save(const std::string& path) {
    const MonoTime began = cluster_.executor.clock().Now();
    EXPECT_EQ(cluster_.executor.Run(cluster_.Save(path, shards_)), absl::OkStatus()) << path;
    return cluster_.executor.clock().Now() - began;
  }
  absl::Duration Restore(const std::string& path) {
    const MonoTime began = cluster_.executor.clock().Now();
    EXPECT_EQ(cluster_.Matches(path, shards_), absl::OkStatus()) << path;
    return cluster_.executor.clock().Now() - began;
  }
  void Cut(const std::string& node, bool there, bool back) {
    if (there) cluster_.fabric.Cut("client", node);
    if (back) cluster_.fabric.Cut(node, "client");
  }
  int CountCrowded() const {
    const auto& groups = cluster_.node.map().groups();
    return static_cast<int>(std::count_if(groups.begin(), groups.end(),
                                          [](const auto& group) { return group.crowded(); }));
  }
  Rebuild cluster_;
  std::vector<Content> shards_;
};

TEST_P(UnreachableNodeSim, SavesGoOnAndAreNotSlowForLong) {
  const SimNode& away = *cluster_.others[1];
  Cut(away.options().process, true, true);
  EXPECT_LT(Save("b/step-1"), absl::Seconds(12));
  EXPECT_LT(Save("b/step-2"), absl::Seconds(3));
  EXPECT_LT(Save("b/step-3"), absl::Seconds(3));
  EXPECT_EQ(cluster_.StateOf(away.node_id()), wire::NODE_UP);
  EXPECT_LT(Restore("b/step-2"), absl::Seconds(6));
  cluster_.fabric.Heal("client", away.options().process);
  cluster_.fabric.Heal(away.options().process, "client");
  cluster_.executor.RunFor(absl::Seconds(10));
  EXPECT_LT(Save("b/step-4"), absl::Seconds(1));
  cluster_.LetMovesEnd();
  cluster_.LetLeasesEnd();
  cluster_.executor.RunFor(absl::Minutes(3));
  for (int i = 0; i <= 4; ++i) Restore("b/step-" + std::to_string(i));
  cluster_.ExpectClean();
}

TEST_P(UnreachableNodeSim, GroupsThatAreWishedForStayForAsLongAsThatAndNoLonger) {
  shards_ = {RandomContent(cluster_.random, 30 * kKiB)};  // the disks are small
  const SimNode& away = *cluster_.others[1];
  Cut(away.options().process, true, true);
  // Small ones do not have a fragment everywhere.
  for (int i = 1; i < 5; ++i) Save("b/step-" + std::to_string(i));
  const int groups = cluster_.node.map().groups_size();
  const int crowded = CountCrowded();
  for (int i = 5; i < 14; ++i) {
    cluster_.executor.RunFor(absl::Seconds(15));
    EXPECT_LT(Save("b/step-" + std::to_string(i)), absl::Seconds(3)) << i;
  }
  EXPECT_EQ(cluster_.node.map().groups_size(), groups);
  EXPECT_EQ(CountCrowded(), crowded);
  cluster_.fabric.Heal("client", away.options().process);
  cluster_.fabric.Heal(away.options().process, "client");
  cluster_.executor.RunFor(absl::Minutes(3));
  EXPECT_EQ(CountCrowded(), 0);
}

TEST_P(UnreachableNodeSim, ARestartedNodeLeavesNoGroupCrowded) {
  SimNode& away = *cluster_.others[1];
  away.Kill(7);
  Save("b/step-1");
  cluster_.executor.Run(away.Bury());
  ASSERT_EQ(cluster_.executor.Run(away.Start()), absl::OkStatus());
  cluster_.executor.RunFor(absl::Seconds(50));
  EXPECT_EQ(CountCrowded(), 0);
}

TEST_P(UnreachableNodeSim, RestoresGoOnAndAreNotSlowForLong) {
  for (const bool back : {true, false}) {
    const std::string& away = cluster_.others[back ? 1 : 2]->options().process;
    Cut(away, !back, true);
    EXPECT_LT(Restore("b/step-0"), absl::Seconds(12));
    EXPECT_LT(Restore("b/step-0"), absl::Seconds(3));
    cluster_.fabric.Heal("client", away);
    cluster_.fabric.Heal(away, "client");
    cluster_.executor.RunFor(absl::Seconds(70));
    EXPECT_LT(Restore("b/step-0"), absl::Seconds(1));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, UnreachableNodeSim,
                         ::testing::Values(Shape{6, "ec:4+2"}, Shape{7, "ec:4+2"},
                                           Shape{4, "replica:2"}));

}  // namespace
}  // namespace cairn
