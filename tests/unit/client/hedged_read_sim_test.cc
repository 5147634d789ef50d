// Goal: a restore does not wait for what is slow: a node that stands still costs it a second at
// most, long before the cluster finds it down, and one hedge a target, not one a read; and what it
// returns is right whichever way was faster. Method: the simulated cluster, whose nodes freeze.
#include <gtest/gtest.h>

#include "tests/unit/client/cluster_world.h"

namespace cairn {
namespace {

constexpr uint32_t kNodes = 4;
// The cluster takes five to find out.
constexpr absl::Duration kSoonEnough = absl::Milliseconds(2500);

struct Saved {
  explicit Saved(const std::string& redundancy, uint64_t seed) : cluster(kNodes, seed) {
    const absl::Status made = cluster.MakeBucket("b", redundancy);
    EXPECT_TRUE(made.ok()) << made;
    shards = {RandomContent(cluster.random, 4 * kMiB), RandomContent(cluster.random, 3'000'001)};
    const absl::Status saved = cluster.executor.Run(cluster.Save("b/step-1", shards));
    EXPECT_TRUE(saved.ok()) << saved;
    // Reads that tell how long they take here.
    EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
  }
  // How long a restore takes, in simulated time; that it is right is looked at here.
  absl::Duration Restore() {
    const MonoTime began = cluster.executor.clock().Now();
    EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
    return cluster.executor.clock().Now() - began;
  }
  Cluster cluster;
  std::vector<Content> shards;
};

class HedgedReadSim : public ::testing::TestWithParam<const char*> {};

TEST_P(HedgedReadSim, ANodeThatStandsStillDoesNotHoldUpARestore) {
  for (uint64_t seed = 1; seed <= SeedsHere(6); ++seed) {
    Saved world(GetParam(), seed);
    const std::string frozen = world.cluster.others[seed % (kNodes - 1)]->options().process;
    world.cluster.fabric.Freeze(frozen);
    EXPECT_LE(world.Restore(), kSoonEnough) << "seed " << seed;
    // By now it is known.
    EXPECT_LE(world.Restore(), absl::Milliseconds(500)) << "seed " << seed;
    world.cluster.fabric.Thaw(frozen);
    world.cluster.executor.RunFor(absl::Seconds(10));
    EXPECT_LE(world.Restore(), absl::Milliseconds(500)) << "seed " << seed;
  }
}

// What was asked of it comes late, after another way has been taken: it must not be taken for
// something else, nor hang up a node that works.
TEST_P(HedgedReadSim, ANodeThatPausesAnswersLateAndHarmsNothing) {
  for (uint64_t seed = 1; seed <= SeedsHere(6); ++seed) {
    Saved world(GetParam(), seed);
    const std::string frozen = world.cluster.others[seed % (kNodes - 1)]->options().process;
    world.cluster.fabric.Freeze(frozen);
    world.cluster.executor.AddTimer(world.cluster.executor.clock().Now() + absl::Milliseconds(700),
                                    [&world, frozen] { world.cluster.fabric.Thaw(frozen); });
    EXPECT_LE(world.Restore(), kSoonEnough) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(All, HedgedReadSim, ::testing::Values("ec:2+1", "replica:2"));

}  // namespace
}  // namespace cairn
