// Goal: a cluster goes on when nodes die, stand apart or come back: no save fails while as many are
// left as its redundancy needs, everything acknowledged reads back byte for byte, and space comes
// back on every node. Method: real nodes, the founding one with the metadata, joined over the
// simulated network; nodes killed at random moments of saves; a seed replays each run.
#include <gtest/gtest.h>

#include <deque>

#include "tests/unit/client/cluster_world.h"

namespace cairn {
namespace {

TEST(ClusterSim, NodesThatJoinShareWhatIsWritten) {
  Cluster cluster(4, 1);
  EXPECT_EQ(cluster.node.map().nodes_size(), 4);
  EXPECT_EQ(cluster.node.map().targets_size(), 4);
  for (const auto& other : cluster.others)
    EXPECT_EQ(cluster.StateOf(other->node_id()), wire::NODE_UP);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = {RandomContent(cluster.random, 3 * kMiB)};
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
  EXPECT_GT(cluster.UsageOf(cluster.node).used, 0u);
  for (const auto& other : cluster.others) EXPECT_GT(cluster.UsageOf(*other).used, 0u);

  ASSERT_EQ(cluster.executor.Run(cluster.Remove("b/step-1")), absl::OkStatus());
  cluster.LetLeasesEnd();
  EXPECT_EQ(cluster.UsageOf(cluster.node).used, 0u);
  for (const auto& other : cluster.others) EXPECT_EQ(cluster.UsageOf(*other).used, 0u);
}

TEST(ClusterSim, ASecretThatIsNotTheClustersIsRefused) {
  Cluster cluster(1, 1);
  SimNode::Options options = Cluster::Shape(9);
  options.join = cluster.node.options().endpoint;
  options.secret = "another secret, as long";
  SimNode stranger(cluster.executor, cluster.fabric, options);
  const absl::Status refused = cluster.executor.Run(stranger.Start());
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  cluster.executor.Run(stranger.Bury());
  EXPECT_EQ(cluster.node.map().nodes_size(), 1);
}

TEST(ClusterSim, ClientsAreNoNodes) {
  Cluster cluster(1, 1);
  // What a client of the SDK may say, said to the methods of nodes.
  wire::JoinRequest join;
  join.set_identity(7);
  join.set_target_count(1);
  const auto joined = cluster.executor.Run(
      cluster.session->Meta<wire::JoinReply>(wire::JOIN, join, cluster.Soon()));
  EXPECT_TRUE(absl::IsPermissionDenied(joined.status())) << joined.status();
  wire::FreeSpansRequest free;
  wire::StripeRange* everything = free.add_spans();
  everything->set_first(1);
  everything->set_count(uint64_t{1} << 60);
  const auto freed = cluster.executor.Run(
      cluster.session->Meta<wire::FreeSpansReply>(wire::FREE_SPANS, free, cluster.Soon()));
  EXPECT_TRUE(absl::IsPermissionDenied(freed.status())) << freed.status();
  wire::HeartbeatRequest heartbeat;
  heartbeat.set_node(1);
  const auto heard = cluster.executor.Run(
      cluster.session->Meta<wire::HeartbeatReply>(wire::HEARTBEAT, heartbeat, cluster.Soon()));
  EXPECT_TRUE(absl::IsPermissionDenied(heard.status())) << heard.status();
}

TEST(ClusterSim, ADeadNodeIsDownInSecondsAndUpWhenItIsBack) {
  Cluster cluster(3, 1);
  SimNode& victim = *cluster.others[0];
  const uint32_t id = victim.node_id();
  victim.Kill(1);
  cluster.executor.Run(victim.Bury());
  cluster.executor.RunFor(absl::Seconds(6));
  EXPECT_EQ(cluster.StateOf(id), wire::NODE_DOWN);
  EXPECT_EQ(cluster.StateOf(cluster.others[1]->node_id()), wire::NODE_UP);
  ASSERT_EQ(cluster.executor.Run(victim.Start()), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(2));
  EXPECT_EQ(victim.node_id(), id);
  EXPECT_EQ(cluster.StateOf(id), wire::NODE_UP);
  EXPECT_EQ(cluster.node.map().nodes_size(), 3);
}

// The node with the metadata loses its power; what the others know of it they find again.
TEST(ClusterSim, TheMetadataComesBackAndFindsItsNodes) {
  Cluster cluster(4, 3);
  ASSERT_EQ(cluster.MakeBucket("b", "replica:2"), absl::OkStatus());
  const std::vector<Content> shards = {RandomContent(cluster.random, 2 * kMiB)};
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  ASSERT_EQ(cluster.executor.Run(cluster.node.Restart(5, 1)), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(10));
  for (const auto& other : cluster.others)
    EXPECT_EQ(cluster.StateOf(other->node_id()), wire::NODE_UP);
  EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
  const std::vector<Content> later = {RandomContent(cluster.random, 2 * kMiB)};
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-2", later)), absl::OkStatus());
  EXPECT_EQ(cluster.Matches("b/step-2", later), absl::OkStatus());
}

// --- Nodes that die at random moments ---

Task<void> Store(Task<absl::Status> task, absl::Status* result, bool* ended) {
  *result = co_await std::move(task);
  *ended = true;
}

// Takes a node's power for a while, or for good when `pause` is infinite.
Task<void> CutPower(SimNode* node, uint64_t seed, absl::Duration after, absl::Duration pause,
                    bool* done) {
  co_await Pass(after);
  FaultTally::Note("power of a node cut during a save");
  node->Kill(seed);
  co_await node->Bury();
  co_await Pass(pause);
  absl::Status started = co_await node->Start();
  EXPECT_TRUE(started.ok()) << started;
  *done = true;
}

struct Saved {
  std::string path;
  std::vector<Content> shards;
};

// Two nodes that die one after the other, each found down two seconds after its death, and the
// client's look at the map after that.
constexpr absl::Duration kStallMax = absl::Seconds(12);

void CheckDeaths(uint64_t seed) {
  // Six nodes, stripes in six fragments: at most two are away at a time, four are enough to go on.
  Cluster cluster(6, seed);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:4+2"), absl::OkStatus());
  std::deque<Saved> kept;
  for (int step = 1; step <= 4; ++step) {
    Saved fresh{"b/step-" + std::to_string(step), SomeShards(cluster.random)};
    const size_t first = cluster.random.Below(cluster.others.size());
    const size_t second = cluster.random.Below(cluster.others.size());
    bool back[2] = {false, false};
    const auto random_ms = [&cluster](uint64_t below) {
      return absl::Milliseconds(static_cast<int64_t>(cluster.random.Below(below)));
    };
    cluster.executor.Spawn(CutPower(cluster.others[first].get(), cluster.random.Next(),
                                    random_ms(40), random_ms(20'000), &back[0]));
    if (second != first) {
      cluster.executor.Spawn(CutPower(cluster.others[second].get(), cluster.random.Next(),
                                      random_ms(8'000), random_ms(20'000), &back[1]));
    } else {
      back[1] = true;
    }
    absl::Status saved;
    bool ended = false;
    const MonoTime began = cluster.executor.clock().Now();
    cluster.executor.Spawn(Store(cluster.Save(fresh.path, fresh.shards), &saved, &ended));
    cluster.executor.RunUntil(&ended);
    EXPECT_TRUE(saved.ok()) << fresh.path << ": " << saved;
    EXPECT_LT(cluster.executor.clock().Now() - began, kStallMax);
    if (saved.ok()) kept.push_back(std::move(fresh));
    // With those still away that are.
    for (const Saved& each : kept)
      EXPECT_EQ(cluster.Matches(each.path, each.shards), absl::OkStatus()) << each.path;
    for (bool& each : back) cluster.executor.RunUntil(&each);
    cluster.executor.RunFor(absl::Seconds(5));
    if (kept.size() > 2) {
      ASSERT_EQ(cluster.executor.Run(cluster.Remove(kept.front().path)), absl::OkStatus());
      kept.pop_front();
    }
  }
  for (const Saved& each : kept)
    EXPECT_EQ(cluster.Matches(each.path, each.shards), absl::OkStatus()) << each.path;
  for (const Saved& each : kept)
    ASSERT_EQ(cluster.executor.Run(cluster.Remove(each.path)), absl::OkStatus());
  // Whatever was freed while a node was away is tried again, later and later.
  cluster.executor.RunFor(absl::Minutes(30));
  EXPECT_EQ(cluster.UsageOf(cluster.node).used, 0u);
  for (const auto& other : cluster.others) {
    const Target::Usage usage = cluster.UsageOf(*other);
    EXPECT_EQ(usage.used, 0u) << other->options().process;
    EXPECT_EQ(usage.pending, 0u) << other->options().process;
  }
}

TEST(ClusterSim, SavesGoOnWhileNodesDieAndNothingIsLostOrLeaked) {
  for (const uint64_t seed : Seeds()) {
    SCOPED_TRACE(testing::Message() << "CAIRN_SEED=" << seed);
    CheckDeaths(seed);
    if (testing::Test::HasFailure()) return;
  }
  FaultTally::Print();
}

}  // namespace
}  // namespace cairn
