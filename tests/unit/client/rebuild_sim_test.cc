// Goal: what is lost is made again, what is to move moves, and the cluster's books balance: a node
// that is gone for good, drained, removed or replaced; and fsck finds and mends what does not
// agree. Method: real nodes over the simulated network; a seed replays each run.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/strings.h"
#include "common/rpc/frame.h"
#include "common/task/when_all.h"
#include "proto/wire/rpc.pb.h"
#include "server/chunk/aligned_block.h"
#include "tests/sim/seeds.h"
#include "tests/unit/client/rebuild_world.h"

namespace cairn {
namespace {

TEST(RebuildSim, WhatANodeHeldIsMadeAgainOnceItIsNotExpectedBack) {
  Rebuild cluster(5, 1);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = SomeShards(cluster.random);
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  const uint32_t lost = cluster.others[1]->node_id();
  cluster.KillForGood(1);
  cluster.executor.RunFor(absl::Minutes(11));
  EXPECT_EQ(cluster.StateOf(lost), wire::NODE_OUT);
  cluster.LetMovesEnd();
  EXPECT_GT(cluster.RebuildStatus().restored_fragments(), 0u);
  EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
  ASSERT_EQ(cluster.SetNode(lost, wire::NODE_REMOVE, true), absl::OkStatus());
  cluster.LetMovesEnd();
  EXPECT_FALSE(cluster.IsMember(lost));
  cluster.ExpectClean();
  // As much may be lost as before.
  cluster.KillForGood(0);
  cluster.executor.RunFor(absl::Seconds(10));
  EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
}

TEST(RebuildSim, ADrainedNodeIsEmptyAndNothingIsEverMissing) {
  Rebuild cluster(4, 2);
  ASSERT_EQ(cluster.MakeBucket("one", "replica:1"), absl::OkStatus());
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = SomeShards(cluster.random);
  const std::vector<Content> single = SomeShards(cluster.random);
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  ASSERT_EQ(cluster.executor.Run(cluster.Save("one/step-1", single)), absl::OkStatus());
  SimNode& drained = *cluster.others[0];
  ASSERT_EQ(cluster.SetNode(drained.node_id(), wire::NODE_DRAIN), absl::OkStatus());
  for (int i = 0; i < 40; ++i) {
    cluster.executor.RunFor(absl::Milliseconds(300));
    EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
    EXPECT_EQ(cluster.Matches("one/step-1", single), absl::OkStatus());
  }
  cluster.LetMovesEnd();
  EXPECT_FALSE(cluster.Names(drained.node_id()));
  cluster.executor.RunFor(absl::Minutes(2));
  EXPECT_EQ(cluster.UsageOf(drained).used, 0u);
  cluster.ExpectClean();
  EXPECT_EQ(cluster.Matches("one/step-1", single), absl::OkStatus());
  // What is written now goes elsewhere.
  ASSERT_EQ(cluster.executor.Run(cluster.Save("one/step-2", single)), absl::OkStatus());
  EXPECT_EQ(cluster.UsageOf(drained).used, 0u);
}

TEST(RebuildSim, ANodeThatComesBackKeepsWhatItHas) {
  Rebuild cluster(5, 3);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = SomeShards(cluster.random);
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  SimNode& away = *cluster.others[2];
  away.Kill(1);
  cluster.executor.Run(away.Bury());
  cluster.executor.RunFor(absl::Minutes(9));
  ASSERT_EQ(cluster.executor.Run(away.Start()), absl::OkStatus());
  cluster.LetMovesEnd();
  EXPECT_EQ(cluster.RebuildStatus().restored_fragments(), 0u);
  // And once more, for so long that all of it is made again: what it still holds then is freed.
  away.Kill(2);
  cluster.executor.Run(away.Bury());
  cluster.executor.RunFor(absl::Minutes(12));
  cluster.LetMovesEnd();
  EXPECT_FALSE(cluster.Names(away.node_id()));
  ASSERT_EQ(cluster.executor.Run(away.Start()), absl::OkStatus());
  cluster.executor.RunFor(absl::Minutes(2));
  EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
  const Rebuild::Checked checked = cluster.Check(true);
  for (const auto& finding : checked.findings)
    EXPECT_EQ(finding.fault(), wire::FRAGMENT_ORPHAN) << finding.DebugString();
  cluster.ExpectClean();
}

// Removing a node that is up promises that what it holds is moved away first.
TEST(RebuildSim, ANodeThatRestartsWhileItIsRemovedLosesNothing) {
  Rebuild cluster(4, 7);
  ASSERT_EQ(cluster.MakeBucket("one", "replica:1"), absl::OkStatus());
  const std::vector<Content> single = SomeShards(cluster.random);
  ASSERT_EQ(cluster.executor.Run(cluster.Save("one/step-1", single)), absl::OkStatus());
  SimNode& removed = *cluster.others[0];
  const uint32_t id = removed.node_id();
  ASSERT_EQ(cluster.SetNode(id, wire::NODE_REMOVE), absl::OkStatus());
  removed.Kill(3);
  cluster.executor.Run(removed.Bury());
  cluster.executor.RunFor(absl::Minutes(15));
  EXPECT_TRUE(cluster.IsMember(id));
  ASSERT_EQ(cluster.executor.Run(removed.Start()), absl::OkStatus());
  cluster.LetMovesEnd();
  EXPECT_FALSE(cluster.IsMember(id));
  EXPECT_EQ(cluster.Matches("one/step-1", single), absl::OkStatus());
}

// A client that cannot hear of a switch gives the former member stripes after it, which nobody else
// has: they are looked for there until its lease has ended.
TEST(RebuildSim, WhatIsWrittenByAnOldMapIsTakenOverFromTheFormerMember) {
  Rebuild cluster(4, 8);
  ASSERT_EQ(cluster.MakeBucket("one", "replica:1"), absl::OkStatus());
  wire::BeginCheckpointRequest begin;
  begin.set_path("one/step-1");
  begin.set_world_size(1);
  const auto begun = cluster.executor.Run(cluster.session->Meta<wire::BeginCheckpointReply>(
      wire::BEGIN_CHECKPOINT, begin, cluster.Soon()));
  ASSERT_TRUE(begun.ok()) << begun.status();
  const auto ids = std::make_shared<StripeIds>(LeaseId(begun->lease()), begun->stripes().first(),
                                               begun->stripes().count(), begun->redundancy());
  const Content content = RandomContent(cluster.random, 6 * kMiB);
  const ConstBytes all(content);
  WritePath path(*cluster.session, ids, absl::Seconds(15));
  ASSERT_EQ(cluster.executor.Run(path.Write({all.first(kMiB)})), absl::OkStatus());
  cluster.fabric.Cut("client", "node-0");
  cluster.fabric.Cut("node-0", "client");
  ASSERT_EQ(cluster.SetNodeAsOperator(cluster.others[0]->node_id(), wire::NODE_DRAIN),
            absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(6));
  ASSERT_EQ(cluster.executor.Run(path.Write({all.subspan(kMiB)})), absl::OkStatus());
  ASSERT_EQ(cluster.executor.Run(path.Flush()), absl::OkStatus());
  cluster.fabric.Heal("client", "node-0");
  cluster.fabric.Heal("node-0", "client");
  wire::RankDoneRequest done;
  done.set_path("one/step-1");
  done.set_attempt(begun->attempt());
  wire::ShardRecord* record = Rebuild::AddShard(&done, 0);
  record->set_size_bytes(path.size_bytes());
  record->set_crc32c(path.crc32c());
  for (wire::ExtentRun& run : path.Extents()) *record->add_extents() = std::move(run);
  const auto told = cluster.executor.Run(
      cluster.session->Meta<wire::RankDoneReply>(wire::RANK_DONE, done, cluster.Soon()));
  ASSERT_TRUE(told.ok()) << told.status();
  wire::CommitCheckpointRequest commit;
  commit.set_path("one/step-1");
  commit.set_attempt(begun->attempt());
  const auto committed = cluster.executor.Run(cluster.session->Meta<wire::CommitCheckpointReply>(
      wire::COMMIT_CHECKPOINT, commit, cluster.Soon()));
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_EQ(cluster.Matches("one/step-1", {content}), absl::OkStatus());
  cluster.LetMovesEnd();
  EXPECT_EQ(cluster.Matches("one/step-1", {content}), absl::OkStatus());
  EXPECT_FALSE(cluster.Names(cluster.others[0]->node_id()));
  cluster.executor.RunFor(absl::Minutes(3));
  cluster.ExpectClean();
}

// Moves to a node wait for an open lease to settle when the node is lost for good. Neither may what
// it took over be lost with it, as long as the former members live, nor may the moves wait for it.
TEST(RebuildSim, WhatTookOverAndIsLostBeforeItHasSettledIsReplaced) {
  for (const char* redundancy : {"replica:1", "ec:2+1"}) {
    SCOPED_TRACE(redundancy);
    Rebuild cluster(4, 9);
    ASSERT_EQ(cluster.MakeBucket("b", redundancy), absl::OkStatus());
    // So much that something lies in every group.
    const std::vector<Content> shards(6, RandomContent(cluster.random, 2 * kMiB));
    ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
    // Nothing lies on it but what moves there.
    cluster.AddOne();
    cluster.executor.RunFor(absl::Seconds(3));
    SimNode& lost = *cluster.others.back();
    const uint32_t lost_id = lost.node_id();
    wire::BeginCheckpointRequest begin;
    begin.set_path("b/step-9");
    begin.set_world_size(1);
    const auto begun = cluster.executor.Run(cluster.session->Meta<wire::BeginCheckpointReply>(
        wire::BEGIN_CHECKPOINT, begin, cluster.Soon()));
    ASSERT_TRUE(begun.ok()) << begun.status();
    const uint32_t drained = cluster.others[0]->node_id();
    ASSERT_EQ(cluster.SetNode(drained, wire::NODE_DRAIN), absl::OkStatus());
    const std::set<uint32_t> targets = cluster.TargetsOf(lost_id);
    const auto settling = [&] {
      const wire::RebuildStatusReply status = cluster.RebuildStatus();
      return std::count_if(status.moves().begin(), status.moves().end(), [&](const auto& move) {
        return move.settling() && targets.contains(move.to());
      });
    };
    for (int i = 0; i < 50 && settling() == 0; ++i)
      cluster.executor.RunFor(absl::Milliseconds(100));
    ASSERT_GT(settling(), 0) << cluster.RebuildStatus().DebugString();
    cluster.KillForGood(cluster.others.size() - 1);
    cluster.executor.RunFor(absl::Seconds(8));
    EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
    ASSERT_EQ(cluster.SetNode(lost_id, wire::NODE_REMOVE, true), absl::OkStatus());
    cluster.LetMovesEnd();
    EXPECT_FALSE(cluster.IsMember(lost_id));
    EXPECT_FALSE(cluster.Names(drained));
    EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
    cluster.executor.RunFor(absl::Minutes(3));
    cluster.ExpectClean();
  }
}

// --- Whatever operators and accidents do ---

Task<void> SaveSteps(Rebuild* cluster, std::vector<std::pair<std::string, Content>>* saved,
                     const bool* stop, bool* stopped) {
  for (int step = 1; !*stop; ++step) {
    const std::string path = "b/step-" + std::to_string(step);
    const std::vector<Content> shards = {
        RandomContent(cluster->random, 1 + cluster->random.Below(600 * kKiB))};
    absl::Status done = co_await cluster->Save(path, shards);
    EXPECT_TRUE(done.ok()) << path << ": " << done;
    if (done.ok()) saved->emplace_back(path, shards[0]);
    if (saved->size() > 6) {
      done = co_await cluster->Remove(saved->front().first);
      EXPECT_TRUE(done.ok()) << done;
      saved->erase(saved->begin());
    }
    co_await Pass(absl::Seconds(5));
  }
  *stopped = true;
}

// One thing that happens to a cluster of stripes that survive the loss of one node.
void Befall(Rebuild& cluster) {
  SimNode& other = *cluster.others[cluster.random.Below(cluster.others.size())];
  const uint32_t id = other.node_id();
  switch (cluster.random.Below(9)) {
    case 0:
      // What it held must have somewhere to go; nodes may have lost all their targets by now.
      if (cluster.others.size() < 5 || cluster.NodesThatStay() < 5) return;
      for (size_t i = 0; i < cluster.others.size(); ++i) {
        if (cluster.others[i].get() != &other) continue;
        cluster.KillForGood(i);
        break;
      }
      FaultTally::Note("node lost for good and removed");
      cluster.executor.RunFor(absl::Seconds(8));
      EXPECT_EQ(cluster.SetNode(id, wire::NODE_REMOVE, true), absl::OkStatus());
      break;
    case 1:
      FaultTally::Note("node drained");
      (void)cluster.SetNode(id, wire::NODE_DRAIN);
      break;
    case 2:
      FaultTally::Note("draining taken back");
      EXPECT_EQ(cluster.SetNode(id, wire::NODE_UNDRAIN), absl::OkStatus());
      return;  // and so to the next, while moves are under way
    case 3:
      FaultTally::Note("node added");
      cluster.AddOne();
      break;
    case 4:
      FaultTally::Note("target added");
      EXPECT_EQ(cluster.AddTarget(id).status(), absl::OkStatus());
      return;  // and so to the next, before it is used
    case 5:
      FaultTally::Note("target removed");
      (void)cluster.SetTarget(cluster.ATargetOf(id), wire::TARGET_REMOVE);
      break;
    case 6:
      FaultTally::Note("target replaced");
      EXPECT_EQ(cluster.AddTarget(id).status(), absl::OkStatus());
      EXPECT_EQ(cluster.SetTarget(cluster.ATargetOf(id), wire::TARGET_REPLACE), absl::OkStatus());
      break;
    case 7:
      FaultTally::Note("power of a node cut, and back");
      EXPECT_EQ(cluster.executor.Run(other.Restart(cluster.random.Next(), 1)), absl::OkStatus());
      break;
    default:
      FaultTally::Note("power of the metadata cut, and back");
      EXPECT_EQ(cluster.executor.Run(cluster.node.Restart(cluster.random.Next(), 1)),
                absl::OkStatus());
      break;
  }
  if (cluster.random.Below(2) == 0) return cluster.LetMovesEnd();
  cluster.executor.RunFor(absl::Seconds(static_cast<int64_t>(cluster.random.Below(20))));
}

void CheckWhateverHappens(uint64_t seed) {
  Rebuild cluster(6, seed);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  std::vector<std::pair<std::string, Content>> saved;
  bool stop = false, stopped = false;
  cluster.executor.Spawn(SaveSteps(&cluster, &saved, &stop, &stopped));
  for (int i = 0; i < 10 && !testing::Test::HasFailure(); ++i) {
    Befall(cluster);
    // The next loss comes when this one is made good.
    cluster.LetMovesEnd();
  }
  stop = true;
  cluster.executor.RunUntil(&stopped);
  cluster.LetMovesEnd();
  cluster.LetLeasesEnd();
  for (const auto& [path, content] : saved) {
    const auto read = cluster.executor.Run(cluster.ReadFile(path + "/" + ShardName(0)));
    EXPECT_TRUE(read.ok() && *read == content) << path << ": " << read.status();
  }
  cluster.executor.RunFor(absl::Minutes(12));
  cluster.ExpectClean();
}

TEST(RebuildSim, NothingIsLostOrLeftWhateverHappens) {
  for (const uint64_t seed : Seeds()) {
    SCOPED_TRACE(testing::Message() << "CAIRN_SEED=" << seed);
    CheckWhateverHappens(seed);
    if (testing::Test::HasFailure()) return;
  }
  FaultTally::Print();
}

// --- fsck ---

std::vector<FragmentKey> HeldOn(Rebuild& cluster, SimNode& on) {
  const auto held = cluster.executor.Run(
      on.target(0).ListFragments({StripeId(0), 0}, StripeId(UINT64_MAX), 100'000));
  EXPECT_TRUE(held.ok()) << held.status();
  return held.ok() ? *held : std::vector<FragmentKey>();
}

TEST(RebuildSim, FsckFindsAndMendsWhatIsMissingDamagedOrNobodys) {
  Rebuild cluster(4, 4);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = {RandomContent(cluster.random, 3 * kMiB)};
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  // The metadata has only just started: until its first sweep, orphans are to be expected.
  cluster.executor.RunFor(absl::Seconds(90));
  cluster.ExpectClean();
  // Missing.
  SimNode& loser = *cluster.others[0];
  SimNode& rotten = *cluster.others[1];
  std::set<StripeId> of_rotten;
  for (const FragmentKey& key : HeldOn(cluster, rotten)) of_rotten.insert(key.stripe);
  std::vector<FragmentKey> held = HeldOn(cluster, loser);
  // Of one stripe two would be one too many.
  std::erase_if(held, [&of_rotten](const auto& key) { return of_rotten.contains(key.stripe); });
  ASSERT_FALSE(held.empty());
  ASSERT_EQ(cluster.executor.Run(loser.target(0).Free({{held[0].stripe, 1, 1, held[0].index}})),
            absl::OkStatus());
  // Rotten.
  for (uint64_t offset = kMiB / 2; offset < 2 * kMiB; offset += 4096)
    rotten.disk(0).FlipBit(offset, 3);
  // Nobody's.
  SimNode& hoarder = *cluster.others[2];
  const AlignedBuffer buffer(4096);
  const MutableBytes data = buffer.bytes();
  std::fill(data.begin(), data.end(), std::byte{1});
  const FragmentKey nobodys{StripeId(held[0].stripe.value() + (uint64_t{1} << 40)), 0};
  ASSERT_EQ(cluster.executor.Run(
                hoarder.target(0).Write(nobodys, LeaseId(1'000'000), data, 4096, {Crc32c(data)})),
            absl::OkStatus());
  ASSERT_TRUE(
      cluster.executor.Run(hoarder.target(0).Seal(LeaseId(1'000'000), {{nobodys.stripe, 1, 1, 0}}))
          .ok());

  const Rebuild::Checked quick = cluster.Check();
  ASSERT_EQ(quick.findings.size(), 2u);
  EXPECT_EQ(quick.findings[0].fault(), wire::FRAGMENT_MISSING);
  EXPECT_EQ(quick.findings[0].stripe(), held[0].stripe.value());
  EXPECT_EQ(quick.findings[1].fault(), wire::FRAGMENT_ORPHAN);
  EXPECT_EQ(quick.findings[1].stripe(), nobodys.stripe.value());
  std::set<int> faults;
  for (const auto& finding : cluster.Check(false, true).findings) faults.insert(finding.fault());
  EXPECT_TRUE(faults.contains(wire::FRAGMENT_DAMAGED));
  for (const auto& finding : cluster.Check(true, true).findings)
    EXPECT_TRUE(finding.repaired()) << finding.DebugString();
  cluster.ExpectClean();
  EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
}

// Nobody has to ask for it.
Task<absl::StatusOr<wire::CheckStorageReply>> MendAfter(Rebuild* cluster, absl::Duration pause) {
  co_await Pass(pause);
  wire::CheckStorageRequest request;
  request.set_verify(true);
  request.set_repair(true);
  co_return co_await cluster->session->Meta<wire::CheckStorageReply>(
      wire::CHECK_STORAGE, std::move(request), cluster->Soon());
}

// As a check that an operator asks for, and one that readers have asked for.
TEST(RebuildSim, SeveralWhoMendTheSameAtOnceAllDo) {
  for (uint64_t seed = 1; seed <= SeedsHere(10); ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Rebuild cluster(4, seed);
    ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
    const std::vector<Content> shards = {RandomContent(cluster.random, 3 * kMiB)};
    ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
    for (uint64_t offset = kMiB / 2; offset < 4 * kMiB; offset += 4096)
      cluster.others[1]->disk(0).FlipBit(offset, 3);
    cluster.others[1]->disk(0).SetDelay(absl::Milliseconds(5));
    std::vector<Task<absl::StatusOr<wire::CheckStorageReply>>> checks;
    for (int i = 0; i < 6; ++i)
      checks.push_back(MendAfter(&cluster, absl::Milliseconds(cluster.random.Below(200))));
    size_t found = 0;
    for (const auto& reply : cluster.executor.Run(WhenAll(std::move(checks)))) {
      ASSERT_TRUE(reply.ok()) << reply.status();
      for (const wire::StorageFinding& finding : reply->findings())
        EXPECT_TRUE(finding.repaired()) << finding.DebugString();
      found += static_cast<size_t>(reply->findings_size());
    }
    EXPECT_GT(found, 0u);
    for (const auto& finding : cluster.Check(false, true).findings)
      EXPECT_EQ(finding.fault(), wire::FRAGMENT_ORPHAN) << finding.DebugString();
    EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
  }
}

TEST(RebuildSim, WhatAReaderStumblesOverIsMended) {
  Rebuild cluster(4, 6);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = {RandomContent(cluster.random, 3 * kMiB)};
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  SimNode& loser = *cluster.others[0];
  for (const FragmentKey& key : HeldOn(cluster, loser)) {
    ASSERT_EQ(cluster.executor.Run(loser.target(0).Free({{key.stripe, 1, 1, key.index}})),
              absl::OkStatus());
  }
  EXPECT_EQ(cluster.Matches("b/step-1", shards), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(10));
  EXPECT_GT(cluster.RebuildStatus().scrub().repaired(), 0u);
  // Parity that is gone is met by no reader, but by the scrub.
  cluster.executor.RunFor(absl::Hours(2));
  EXPECT_GT(cluster.RebuildStatus().scrub().ended_at_ns(), 0);
  cluster.ExpectClean();
}

TEST(RebuildSim, FsckSaysWhatIsLost) {
  Rebuild cluster(4, 5);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = {RandomContent(cluster.random, 2 * kMiB)};
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  // Two fragments of a stripe, of which one may be lost.
  std::set<uint64_t> freed;
  for (size_t i = 0; i < 2; ++i) {
    SimNode& on = *cluster.others[i];
    for (const FragmentKey& key : HeldOn(cluster, on)) {
      ASSERT_EQ(cluster.executor.Run(on.target(0).Free({{key.stripe, 1, 1, key.index}})),
                absl::OkStatus());
    }
  }
  bool lost = false;
  for (const auto& finding : cluster.Check(true).findings) {
    if (finding.fault() != wire::STRIPE_LOST) continue;
    lost = true;
    EXPECT_FALSE(finding.repaired());
  }
  EXPECT_TRUE(lost);
  EXPECT_TRUE(absl::IsDataLoss(cluster.Matches("b/step-1", shards)));
}

// What a move leaves where it came from is no fault: it is freed when the rebuild is through.
TEST(RebuildSim, FsckCountsWhatMovesHaveLeftUntilItIsFreed) {
  Rebuild cluster(4, 7);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = SomeShards(cluster.random);
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(90));
  cluster.ExpectClean();
  EXPECT_FALSE(cluster.RebuildStatus().sweep_due());
  ASSERT_EQ(cluster.SetNode(cluster.others[0]->node_id(), wire::NODE_DRAIN), absl::OkStatus());
  uint64_t left = 0;
  for (int i = 0; i < 120; ++i) {
    cluster.executor.RunFor(absl::Milliseconds(500));
    const bool due = cluster.RebuildStatus().sweep_due();
    const Rebuild::Checked checked = cluster.Check();
    for (const auto& finding : checked.findings) ADD_FAILURE() << finding.DebugString();
    if (checked.leftovers > 0) {
      EXPECT_TRUE(due);
    }
    left = std::max(left, checked.leftovers);
  }
  EXPECT_GT(left, 0u);
  cluster.LetMovesEnd();
  cluster.ExpectClean();
  EXPECT_FALSE(cluster.RebuildStatus().sweep_due());
}

// For requests of one kind.
SimFabric::Detour DetourOf(wire::Method method, absl::Duration duration) {
  return [method, duration](ConstBytes message) {
    const absl::StatusOr<Frame> frame = DecodeFrame(message);
    wire::RequestHeader header;
    const bool is_meant =
        frame.ok() && frame->kind == FrameKind::kRequest &&
        header.ParseFromArray(frame->header.data(), static_cast<int>(frame->header.size())) &&
        header.method() == static_cast<uint32_t>(method);
    return is_meant ? duration : absl::ZeroDuration();
  };
}

// What sweeps do not get rid of does not stay "soon to be freed" for ever.
TEST(RebuildSim, FsckFindsWhatSeveralSweepsCouldNotFree) {
  Rebuild cluster(4, 8);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = SomeShards(cluster.random);
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(90));
  for (const auto& other : cluster.others) {
    cluster.fabric.SendRound(other->options().process,
                             DetourOf(wire::FREE_FRAGMENTS, absl::InfiniteDuration()));
  }
  ASSERT_EQ(cluster.SetNode(cluster.others[0]->node_id(), wire::NODE_DRAIN), absl::OkStatus());
  uint64_t left = 0;
  const auto is_found = [&cluster, &left] {
    const Rebuild::Checked checked = cluster.Check();
    left = std::max(left, checked.leftovers);
    return !checked.findings.empty();
  };
  for (int i = 0; i < 120 && !is_found(); ++i) cluster.executor.RunFor(absl::Seconds(10));
  EXPECT_GT(left, 0u) << "found at once, before any sweep";
  EXPECT_TRUE(is_found()) << "never found";
  EXPECT_EQ(cluster.Check().leftovers, 0u);
  EXPECT_FALSE(cluster.RebuildStatus().sweep_due());
  for (const auto& finding : cluster.Check().findings)
    EXPECT_EQ(finding.fault(), wire::FRAGMENT_ORPHAN);
  for (const auto& other : cluster.others)
    cluster.fabric.SendRound(other->options().process, nullptr);
  for (int i = 0; i < 12 && is_found(); ++i) cluster.executor.RunFor(absl::Seconds(10));
  cluster.ExpectClean();
}

// A repair that arrives late, after its target has given the fragment away and been swept.
TEST(RebuildSim, WhatIsMendedWhereAMoveHasJustLeftIsFreed) {
  Rebuild cluster(4, 9);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = SomeShards(cluster.random);
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(90));
  cluster.ExpectClean();
  SimNode& loser = *cluster.others[0];
  for (const FragmentKey& key : HeldOn(cluster, loser)) {
    ASSERT_EQ(cluster.executor.Run(loser.target(0).Free({{key.stripe, 1, 1, key.index}})),
              absl::OkStatus());
  }
  ASSERT_EQ(cluster.SetNode(loser.node_id(), wire::NODE_DRAIN), absl::OkStatus());
  cluster.fabric.SendRound(loser.options().process,
                           DetourOf(wire::RESTORE_FRAGMENTS, absl::Seconds(40)));
  const MonoTime began = cluster.executor.clock().Now();
  wire::CheckStorageRequest request;
  request.set_repair(true);
  const auto late = Deadline::After(cluster.executor.clock(), absl::Minutes(2));
  const auto checked = cluster.executor.Run(cluster.session->Meta<wire::CheckStorageReply>(
      wire::CHECK_STORAGE, std::move(request), late, absl::Minutes(2)));
  ASSERT_TRUE(checked.ok()) << checked.status();
  ASSERT_GT(checked->findings_size(), 0);
  EXPECT_GT(cluster.executor.clock().Now() - began, absl::Seconds(39));
  EXPECT_FALSE(HeldOn(cluster, loser).empty()) << "nothing came late";
  const Rebuild::Checked now = cluster.Check();
  for (const auto& finding : now.findings) ADD_FAILURE() << finding.DebugString();
  EXPECT_GT(now.leftovers, 0u);
  cluster.LetMovesEnd();
  cluster.ExpectClean();
  EXPECT_TRUE(HeldOn(cluster, loser).empty());
}

// As above, while the sweep is under way that has asked the target already.
TEST(RebuildSim, WhatIsMendedBehindASweepIsFreedByAnother) {
  Rebuild cluster(4, 10);
  ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
  const std::vector<Content> shards = SomeShards(cluster.random);
  ASSERT_EQ(cluster.executor.Run(cluster.Save("b/step-1", shards)), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(90));
  cluster.ExpectClean();
  SimNode& loser = *cluster.others[0];
  SimNode& slow = *cluster.others[1];
  const FragmentKey lost = HeldOn(cluster, loser).front();
  ASSERT_EQ(cluster.executor.Run(loser.target(0).Free({{lost.stripe, 1, 1, lost.index}})),
            absl::OkStatus());
  ASSERT_EQ(cluster.SetNode(loser.node_id(), wire::NODE_DRAIN), absl::OkStatus());
  cluster.fabric.SendRound(loser.options().process,
                           DetourOf(wire::RESTORE_FRAGMENTS, absl::Seconds(40)));
  // The check lists at once; the sweep, later, waits for this one until after the repair.
  const Clock& clock = cluster.executor.clock();
  const MonoTime began = clock.Now();
  int slow_lists = 0;
  const auto list = DetourOf(wire::LIST_FRAGMENTS, absl::Seconds(50));
  cluster.fabric.SendRound(slow.options().process, [&](ConstBytes message) {
    const bool is_early = clock.Now() - began < absl::Seconds(2);
    const absl::Duration detour = is_early ? absl::ZeroDuration() : list(message);
    slow_lists += detour > absl::ZeroDuration() ? 1 : 0;
    return detour;
  });
  wire::CheckStorageRequest request;
  request.set_repair(true);
  const auto late = Deadline::After(cluster.executor.clock(), absl::Minutes(2));
  const auto checked = cluster.executor.Run(cluster.session->Meta<wire::CheckStorageReply>(
      wire::CHECK_STORAGE, std::move(request), late, absl::Minutes(2)));
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(slow_lists, 1) << "no sweep is under way";
  EXPECT_FALSE(HeldOn(cluster, loser).empty()) << "nothing came late";
  cluster.executor.RunFor(absl::Seconds(30));
  cluster.fabric.SendRound(slow.options().process, nullptr);
  cluster.LetMovesEnd();
  cluster.ExpectClean();
  EXPECT_TRUE(HeldOn(cluster, loser).empty());
}

// While files come and go, nothing is found that is not wrong.
TEST(RebuildSim, FsckFindsNothingWhileDataComesAndGoes) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    Rebuild cluster(4, seed);
    ASSERT_EQ(cluster.MakeBucket("b", "ec:2+1"), absl::OkStatus());
    bool stop = false, stopped = false;
    auto churn = [](Rebuild* cluster, bool* stop, bool* stopped) -> Task<void> {
      for (int step = 1; !*stop; ++step) {
        const std::string path = "b/step-" + std::to_string(step);
        const std::vector<Content> shards = {RandomContent(cluster->random, 300 * kKiB)};
        absl::Status saved = co_await cluster->Save(path, shards);
        EXPECT_TRUE(saved.ok()) << saved;
        absl::Status removed = co_await cluster->Remove(path);
        EXPECT_TRUE(removed.ok()) << removed;
        // What is removed keeps its space for a while.
        co_await Pass(absl::Milliseconds(300));
      }
      *stopped = true;
    };
    cluster.executor.Spawn(churn(&cluster, &stop, &stopped));
    for (int i = 0; i < 30; ++i) {
      cluster.executor.RunFor(absl::Milliseconds(500));
      for (const auto& finding : cluster.Check().findings) ADD_FAILURE() << finding.DebugString();
    }
    stop = true;
    cluster.executor.RunUntil(&stopped);
  }
}

}  // namespace
}  // namespace cairn
