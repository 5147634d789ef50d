// Goal: single targets come and go while jobs save, and nothing is lost or left behind: one is
// removed, a failed one replaced, one added and filled, also over restarts. Method: real nodes over
// the simulated network; a seed replays each run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/client/rebuild_world.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kShardBytes = 512 * kKiB;

std::vector<Content> OneShard(Random& random) { return {RandomContent(random, kShardBytes)}; }

// Saves steps until told to stop; every one of them must succeed.
struct Job {
  std::vector<std::vector<Content>> saved;
  bool stop = false;
  bool stopped = false;
};

std::string Step(size_t step) { return "b/step-" + std::to_string(step); }

Task<void> RunJob(Rebuild* cluster, Job* job) {
  while (!job->stop) {
    std::vector<Content> shards = OneShard(cluster->random);
    const std::string path = Step(job->saved.size());
    absl::Status done = co_await cluster->Save(path, shards);
    EXPECT_TRUE(done.ok()) << path << ": " << done;
    if (!done.ok()) break;
    job->saved.push_back(std::move(shards));
    co_await Pass(absl::Seconds(4));
  }
  job->stopped = true;
}

void EndJob(Rebuild& cluster, Job& job) {
  job.stop = true;
  cluster.executor.RunUntil(&job.stopped);
  for (size_t step = 0; step < job.saved.size(); ++step)
    EXPECT_EQ(cluster.Matches(Step(step), job.saved[step]), absl::OkStatus()) << step;
}

TEST(TargetSim, ATargetIsRemovedWhileAJobSaves) {
  Rebuild cluster(4, 21);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  ASSERT_EQ(cluster.MakeBucket("one", "replica:1"), absl::OkStatus());
  const std::vector<Content> single = SomeShards(cluster.random);
  ASSERT_EQ(cluster.executor.Run(cluster.Save("one/step", single)), absl::OkStatus());
  Job job;
  cluster.executor.Spawn(RunJob(&cluster, &job));
  cluster.executor.RunFor(absl::Seconds(10));
  SimNode& other = *cluster.others[1];
  const uint32_t removed = cluster.ATargetOf(other.node_id());
  ASSERT_EQ(cluster.SetTarget(removed, wire::TARGET_REMOVE), absl::OkStatus());
  cluster.LetMovesEnd();
  EXPECT_FALSE(cluster.IsTarget(removed));
  EXPECT_TRUE(cluster.IsMember(other.node_id()));
  EndJob(cluster, job);
  EXPECT_GT(job.saved.size(), 3u);
  EXPECT_EQ(cluster.Matches("one/step", single), absl::OkStatus());
  cluster.LetLeasesEnd();
  cluster.ExpectClean();
  // The node lives on, without it, also after a restart.
  ASSERT_EQ(cluster.executor.Run(other.Restart(1, 1)), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(5));
  EXPECT_EQ(cluster.StateOf(other.node_id()), wire::NODE_UP);
  EXPECT_THAT(cluster.TargetsOf(other.node_id()), IsEmpty());
  // And is of use again with a new one, which has a number and an id of its own.
  const auto added = cluster.AddTarget(other.node_id());
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_GT(*added, removed);
  ASSERT_EQ(cluster.executor.Run(other.Restart(2, 1)), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(5));
  EXPECT_EQ(cluster.ATargetOf(other.node_id()), *added);
}

TEST(TargetSim, AFailedTargetIsReplacedAtOnce) {
  Rebuild cluster(3, 22);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = SomeShards(cluster.random);
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  SimNode& other = *cluster.others[0];
  const uint32_t failed = cluster.ATargetOf(other.node_id());
  other.disk(0).FailEvery(SimDisk::Kind::kFlush, absl::DataLossError("it is dying"));
  EXPECT_FALSE(cluster.executor.Run(cluster.Save("b/step-2", shards)).ok()) << "two nodes are left";
  EXPECT_FALSE(other.target(0).failure().ok());
  cluster.executor.RunFor(absl::Seconds(3));
  const absl::Status refused = cluster.SetTarget(failed, wire::TARGET_REMOVE);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("ec:2+1 needs 3 nodes, and 2 would be left"));
  ASSERT_EQ(cluster.SetTarget(failed, wire::TARGET_REPLACE), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(30));
  EXPECT_TRUE(cluster.IsTarget(failed)) << "there is no other node";
  const auto added = cluster.AddTarget(other.node_id());
  ASSERT_TRUE(added.ok()) << added.status();
  cluster.LetMovesEnd();
  EXPECT_FALSE(cluster.IsTarget(failed));
  EXPECT_EQ(cluster.TargetsOf(other.node_id()), std::set<uint32_t>{*added});
  EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-2", shards)), absl::OkStatus());
  cluster.LetLeasesEnd();
  cluster.ExpectClean();
  // As much may be lost as before.
  cluster.KillForGood(1);
  cluster.executor.RunFor(absl::Seconds(10));
  EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
}

TEST(TargetSim, LosingTheOnlyCopiesTakesForceAndEmptyGroupsDoNot) {
  Rebuild cluster(4, 23);
  ASSERT_EQ(cluster.MakeBucket("one", "replica:1"), absl::OkStatus());
  SimNode& other = *cluster.others[0];
  const uint32_t failed = cluster.ATargetOf(other.node_id());
  wire::OkToStopRequest stop;
  stop.add_nodes(other.node_id());
  const auto ask = [&cluster, &stop] {
    const auto reply = cluster.executor.Run(
        cluster.session->Meta<wire::OkToStopReply>(wire::OK_TO_STOP, stop, cluster.Soon()));
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() && reply->ok();
  };
  EXPECT_TRUE(ask()) << "its groups hold nothing";
  for (int step = 0; step < 20; ++step) {
    const std::vector<Content> single = SomeShards(cluster.random);
    ASSERT_EQ(cluster.executor.Run(cluster.Save("one/step-" + std::to_string(step), single)),
              absl::OkStatus());
  }
  ASSERT_GT(cluster.UsageOf(other).used, 0u);
  EXPECT_FALSE(ask());
  other.disk(0).FailEvery(SimDisk::Kind::kFlush, absl::DataLossError("it is dying"));
  // Until one chooses a group there.
  for (int step = 0; step < 100 && other.target(0).failure().ok(); ++step) {
    const std::vector<Content> single = SomeShards(cluster.random);
    (void)cluster.executor.Run(cluster.Save("one/more", single));
  }
  ASSERT_FALSE(other.target(0).failure().ok());
  cluster.executor.RunFor(absl::Seconds(3));
  const absl::Status refused = cluster.SetTarget(failed, wire::TARGET_REMOVE);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("would be lost: data in "));
  ASSERT_EQ(cluster.SetTarget(failed, wire::TARGET_REMOVE, true), absl::OkStatus());
  cluster.LetMovesEnd();
  EXPECT_FALSE(cluster.IsTarget(failed));
}

TEST(TargetSim, WhatIsAddedTakesItsShareAndARebalanceEndsByItself) {
  Rebuild cluster(3, 24);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  Job job;
  cluster.executor.Spawn(RunJob(&cluster, &job));
  cluster.executor.RunFor(absl::Seconds(60));
  SimNode& other = *cluster.others[1];
  const auto added = cluster.AddTarget(other.node_id());
  ASSERT_TRUE(added.ok()) << added.status();
  cluster.executor.RunFor(absl::Seconds(30));
  EXPECT_GT(other.target(1).usage().used, 0u) << "new stripes go there, too";
  EndJob(cluster, job);
  cluster.LetMovesEnd();
  const wire::RebalanceReply shown = cluster.Rebalance(wire::REBALANCE_SHOW, 1);
  EXPECT_EQ(shown.targets(), 4u);
  EXPECT_EQ(shown.threshold_percent(), 0u);
  EXPECT_EQ(cluster.Rebalance(wire::REBALANCE_START, 1).threshold_percent(), 1u);
  wire::RebalanceReply last;
  for (int i = 0; i < 200; ++i) {
    cluster.executor.RunFor(absl::Seconds(10));
    last = cluster.Rebalance(wire::REBALANCE_SHOW, 0);
    if (last.threshold_percent() == 0 && last.moves_under_way() == 0) break;
  }
  EXPECT_EQ(last.threshold_percent(), 0u);
  EXPECT_EQ(last.moves_under_way(), 0u);
  cluster.executor.RunFor(absl::Minutes(2));
  EXPECT_EQ(cluster.Rebalance(wire::REBALANCE_SHOW, 1).moves_planned(), 0u);
  for (size_t step = 0; step < job.saved.size(); ++step)
    EXPECT_EQ(cluster.Matches(Step(step), job.saved[step]), absl::OkStatus()) << step;
  cluster.ExpectClean();
}

TEST(TargetSim, TheFoundingNodesTargetsComeAndGoLikeAllOthers) {
  Rebuild cluster(3, 25);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = SomeShards(cluster.random);
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  const auto added = cluster.AddTarget(1);
  ASSERT_TRUE(added.ok()) << added.status();
  cluster.executor.RunFor(absl::Seconds(3));
  ASSERT_EQ(cluster.SetTarget(1, wire::TARGET_REMOVE), absl::OkStatus());
  cluster.LetMovesEnd();
  EXPECT_EQ(cluster.TargetsOf(1), std::set<uint32_t>{*added});
  ASSERT_EQ(cluster.executor.Run(cluster.node.Restart(1, 1)), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(10));
  EXPECT_EQ(cluster.TargetsOf(1), std::set<uint32_t>{*added});
  EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
  cluster.ExpectClean();
}

}  // namespace
}  // namespace cairn
