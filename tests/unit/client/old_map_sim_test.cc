// Goal: reads go on by the map that a client has while the metadata is gone, although the other
// nodes know of a newer one. Method: a simulated cluster whose founding node loses its power.
#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/client/cluster_world.h"

namespace cairn {
namespace {

TEST(OldMapSim, ReadsGoOnByItWhileTheMetadataIsGone) {
  Cluster cluster(4, 1);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = {RandomContent(cluster.random, 3 * kMiB)};
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  const auto stat = cluster.executor.Run(cluster.Stat("b/step-1/" + ShardName(0)));
  ASSERT_TRUE(stat.ok()) << stat.status();

  // The nodes learn of two changes, the client of none: it is idle.
  SimNode& restarted = *cluster.others[2];
  restarted.Kill(1);
  cluster.executor.Run(restarted.Bury());
  cluster.executor.RunFor(absl::Seconds(6));
  ASSERT_EQ(cluster.executor.Run(restarted.Start()), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(5));
  ASSERT_EQ(cluster.StateOf(restarted.node_id()), wire::NODE_UP);
  ASSERT_LT(cluster.session->known_map()->version(), cluster.node.map().version());
  cluster.node.Kill(2);
  cluster.executor.RunFor(absl::Seconds(1));  // its connections break

  const MonoTime began = cluster.executor.clock().Now();
  Content read(shards[0].size());
  const absl::Status status = cluster.executor.Run(cluster.ReadOpened(*stat, 0, read));
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(read == shards[0]);
  // It has to look for a newer map a few times; one look until its own deadline would take 20 s.
  EXPECT_LT(cluster.executor.clock().Now() - began, absl::Seconds(10));
}

}  // namespace
}  // namespace cairn
