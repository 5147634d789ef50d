// Goal: whatever goes wrong, in any order and at any moment of a job that saves, keeps the newest
// and restores: what was acknowledged is there, byte for byte, nothing else is ever seen, and
// thirty seconds after all is well again saves go on and the books balance. Method: a simulated
// cluster of ec:4+2, in which never more than two nodes are in trouble at once; one seed decides
// everything.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "tests/unit/client/rebuild_world.h"

namespace cairn {
namespace {

constexpr uint32_t kNodes = 7;
constexpr int kRounds = 6;
constexpr size_t kKept = 3;
constexpr size_t kArchived = 5;
// Where a device's data is: the job keeps little of it.
constexpr uint64_t kDataBegins = kMiB;
constexpr uint64_t kDataBytes = 2 * kMiB;
constexpr absl::Duration kProgressWithin = absl::Seconds(30);

struct Saved {
  std::string path;
  std::vector<Content> shards;
};

// What the job has done so far, and how it is told to end.
struct Job {
  std::vector<Saved> acknowledged;  // and not removed: the newest
  std::vector<Saved> archived;      // of these every fourth, to stay
  // Saves and removals that have failed: each is there as it was meant or not at all.
  std::vector<Saved> doubtful;
  std::string under_way;  // the save's path
  std::string leaving;    // the path of what is being removed, or was last
  int steps = 0;
  bool stop = false;
  bool stopped = false;
};

class Chaos;
// What passes by itself and leaves nothing behind.
void BefallShortly(Chaos& world);

class Chaos : public Rebuild {
 public:
  explicit Chaos(uint64_t seed) : Rebuild(kNodes, seed) {
    timeout = absl::Minutes(3);
    EXPECT_EQ(MakeBucket("b", "ec:4+2"), absl::OkStatus());
    EXPECT_EQ(MakeBucket("bulk", "ec:4+2"), absl::OkStatus());
  }

  absl::Duration UpTo(int64_t milliseconds) {
    return absl::Milliseconds(
        static_cast<int64_t>(random.Below(static_cast<uint64_t>(milliseconds))));
  }
  // One that the job writes to right now, or any.
  size_t Victim() {
    if (random.Below(2) == 0) return random.Below(others.size());
    size_t busiest = 0;
    int64_t most = -1;
    for (size_t i = 0; i < others.size(); ++i) {
      int64_t& seen = seen_writes_[NameOf(i)];
      const int64_t writes = others[i]->disk(0).writes() - seen;
      seen += writes;
      if (writes > most) {
        most = writes;
        busiest = i;
      }
    }
    return busiest;
  }
  const std::string& NameOf(size_t other) const { return others[other]->options().process; }
  // The trouble lasts, and another may come on top of it: somewhere else, or of the same node.
  void Endure(absl::Duration duration) {
    executor.RunFor(duration / 2);
    if (!doubled_ && random.Below(3) == 0) {
      doubled_ = true;
      FaultTally::Note("trouble in the middle of trouble");
      BefallShortly(*this);
      doubled_ = false;
    }
    executor.RunFor(duration / 2);
  }
  void CutPower(SimNode& of, absl::Duration away) {
    of.Kill(random.Next());
    executor.Run(of.Bury());
    executor.RunFor(away);
    EXPECT_EQ(executor.Run(of.Start()), absl::OkStatus());
  }

  bool damaged = false;  // a device has lost or spoilt something in this round

 private:
  std::map<std::string, int64_t> seen_writes_;
  bool doubled_ = false;
};

Task<void> Work(Chaos* world, Job* job) {
  while (!job->stop) {
    Saved fresh;
    fresh.path = StrCat("b/step-", job->steps + 1, "-", job->doubtful.size());
    const uint64_t shards = 1 + world->random.Below(3);
    for (uint64_t i = 0; i < shards; ++i)
      fresh.shards.push_back(
          RandomContent(world->random, 1 + world->random.Below(900 * kKiB / shards)));
    job->under_way = fresh.path;
    absl::Status saved = co_await world->Save(fresh.path, fresh.shards);
    (saved.ok() ? job->acknowledged : job->doubtful).push_back(std::move(fresh));
    if (saved.ok()) ++job->steps;
    if (job->acknowledged.size() > kKept) {
      const Saved oldest = std::move(job->acknowledged.front());
      job->acknowledged.erase(job->acknowledged.begin());
      if (job->steps % 4 == 0 && job->archived.size() < kArchived) {
        job->archived.push_back(oldest);
      } else {
        job->leaving = oldest.path;
        absl::Status removed = co_await world->Remove(oldest.path);
        if (!removed.ok()) job->doubtful.push_back(oldest);
      }
    }
    co_await Pass(world->UpTo(2000));
  }
  job->stopped = true;
}

// A restore in the middle of it all may have to be tried again, but never returns wrong bytes.
Task<void> Restore(Chaos* world, const Job* job) {
  const std::vector<Saved>& from = world->random.Below(2) == 0 ? job->acknowledged : job->archived;
  if (from.empty()) co_return;
  const Saved wanted = from[world->random.Below(from.size())];
  const size_t shard = world->random.Below(wanted.shards.size());
  absl::StatusOr<Content> read = co_await world->ReadFile(wanted.path + "/" + ShardName(shard));
  if (read.ok()) {
    EXPECT_TRUE(*read == wanted.shards[shard]) << wanted.path << ": wrong bytes";
  }
  // The newest may be removed meanwhile; these stay.
  if (&from == &job->archived) {
    EXPECT_FALSE(absl::IsNotFound(read.status())) << wanted.path << ": " << read.status();
    EXPECT_FALSE(absl::IsFailedPrecondition(read.status())) << wanted.path << ": " << read.status();
  }
}

Task<void> RestoreNow(Chaos* world, const Job* job, bool* done) {
  co_await Restore(world, job);
  *done = true;
}

// ---- what goes wrong; each ends well again ----

void StandStill(Chaos& world) {
  const bool metadata = world.random.Below(4) == 0;
  const std::string frozen = metadata ? "node-0" : world.NameOf(world.Victim());
  FaultTally::Note(metadata ? "node with the metadata stands still" : "node stands still");
  world.fabric.Freeze(frozen);
  world.Endure(world.UpTo(15'000));
  world.fabric.Thaw(frozen);
}

// One way or both, between two of: a node, the one with the metadata, the client.
void Partition(Chaos& world) {
  std::string a = world.NameOf(world.Victim());
  std::string b = world.NameOf(world.random.Below(world.others.size()));
  const uint64_t kind = world.random.Below(4);
  if (kind == 0) b = "node-0";
  if (kind == 1) b = "client";
  if (kind == 2) {
    a = "node-0";
    b = "client";
  }
  if (a == b) return;
  const bool there = world.random.Below(3) != 0;
  const bool back = !there || world.random.Below(2) == 0;
  const char* ways = there && back ? "both ways" : "one way";
  FaultTally::Note(StrCat(ways, " between ",
                          kind == 2   ? "client and metadata"
                          : kind == 1 ? "client and node"
                          : kind == 0 ? "node and metadata"
                                      : "two nodes"));
  if (there) world.fabric.Cut(a, b);
  if (back) world.fabric.Cut(b, a);
  world.Endure(world.UpTo(20'000));
  world.fabric.Heal(a, b);
  world.fabric.Heal(b, a);
}

void LosePower(Chaos& world) {
  const uint64_t kind = world.random.Below(4);
  if (kind == 0) {
    FaultTally::Note("power of the metadata cut, and back");
    world.CutPower(world.node, world.UpTo(5'000));
    return;
  }
  const size_t first = world.Victim();
  if (kind == 1) {
    const size_t second = (first + 1) % world.others.size();
    FaultTally::Note("power of two nodes cut, and back");
    world.others[second]->Kill(world.random.Next());
    world.executor.Run(world.others[second]->Bury());
    world.CutPower(*world.others[first], world.UpTo(20'000));
    EXPECT_EQ(world.executor.Run(world.others[second]->Start()), absl::OkStatus());
    return;
  }
  FaultTally::Note("power of a node cut, and back");
  world.CutPower(*world.others[first], world.UpTo(20'000));
}

void BadNetwork(Chaos& world) {
  SimFabric::Faults faults;
  switch (world.random.Below(3)) {
    case 0:
      FaultTally::Note("messages lost");
      faults.lost_per_mille = 30;
      break;
    case 1:
      FaultTally::Note("messages lost and duplicated");
      faults.lost_per_mille = 10;
      faults.duplicated_per_mille = 100;
      break;
    default:
      FaultTally::Note("transfers broken");
      faults.broken_rma_per_mille = 50;
  }
  world.fabric.set_faults(faults);
  world.Endure(world.UpTo(10'000));
  world.fabric.set_faults({});
}

// A device that fails is out until its node is restarted.
void FailDevice(Chaos& world) {
  world.damaged = true;
  SimNode& victim = *world.others[world.Victim()];
  static constexpr std::array kKinds = {SimDisk::Kind::kWrite, SimDisk::Kind::kRead,
                                        SimDisk::Kind::kFlush};
  static constexpr std::array kNames = {"EIO of a write", "EIO of a read", "EIO of a flush"};
  const size_t kind = world.random.Below(kKinds.size());
  const int64_t fired = victim.disk(0).faults_fired();
  victim.disk(0).FailNext(kKinds[kind], absl::DataLossError("planted"),
                          static_cast<int>(world.random.Below(3)));
  world.Endure(world.UpTo(20'000));
  if (victim.disk(0).faults_fired() > fired) FaultTally::Note(kNames[kind]);
  world.CutPower(victim, world.UpTo(1'000));
}

void SlowDevice(Chaos& world) {
  FaultTally::Note("slow disk");
  SimDisk& disk = world.others[world.Victim()]->disk(0);
  disk.SetDelay(absl::Milliseconds(5) + world.UpTo(1'000));
  world.Endure(world.UpTo(15'000));
  disk.SetDelay(absl::ZeroDuration());
}

// What is not what was written stays so until it is read and mended: of one node at a time.
void Rot(Chaos& world) {
  world.damaged = true;
  bool misdirected = false;
  SimDisk& disk = world.others[world.Victim()]->disk(0);
  if (world.random.Below(2) == 0) {
    FaultTally::Note("bits rotten");
    for (int i = 0; i < 40; ++i)
      disk.FlipBit(kDataBegins + world.random.Below(kDataBytes),
                   static_cast<int>(world.random.Below(8)));
  } else {
    misdirected = true;
    disk.MisdirectNextWrite(AlignDown(kDataBegins + world.random.Below(kDataBytes), 4096));
  }
  const int64_t fired = disk.faults_fired();
  world.Endure(world.UpTo(10'000));
  disk.Disarm();
  if (misdirected && disk.faults_fired() > fired) FaultTally::Note("write misdirected");
}

void StepClock(Chaos& world) {
  FaultTally::Note("wall clock jumps");
  const absl::Duration jump = world.UpTo(10'000'000);
  world.executor.clock().StepWall(world.random.Below(2) == 0 ? jump : -jump);
  world.Endure(world.UpTo(5'000));
}

// Lost for good and removed by the operator, with a new one in its place.
void LoseNode(Chaos& world) {
  FaultTally::Note("node lost for good and replaced");
  const size_t victim = world.Victim();
  const uint32_t id = world.others[victim]->node_id();
  world.KillForGood(victim);
  world.Endure(world.UpTo(10'000));
  world.executor.RunFor(absl::Seconds(8));
  EXPECT_EQ(world.SetNode(id, wire::NODE_REMOVE, true), absl::OkStatus());
  world.AddOne();
  world.LetMovesEnd();
}

// What was written while too little could be reached survives the loss of one node, until it is
// spread.
void LetDataSpread(Chaos& world) {
  const auto is_crowded = [](const auto& group) { return group.crowded(); };
  for (int i = 0; i < 30; ++i) {
    const auto& groups = world.node.map().groups();
    if (std::none_of(groups.begin(), groups.end(), is_crowded)) return;
    world.executor.RunFor(absl::Seconds(10));
  }
  ADD_FAILURE() << "groups stay crowded";
}

// As many as ec:4+2 may lose, in one moment.
void LoseTwoNodes(Chaos& world) {
  LetDataSpread(world);
  FaultTally::Note("two nodes lost for good at once and replaced");
  std::vector<uint32_t> lost;
  for (int i = 0; i < 2; ++i) {
    const size_t victim = world.Victim();
    lost.push_back(world.others[victim]->node_id());
    world.KillForGood(victim);
    if (i == 0) world.executor.RunFor(world.UpTo(300));
  }
  world.executor.RunFor(absl::Seconds(8) + world.UpTo(10'000));
  for (const uint32_t id : lost)
    EXPECT_EQ(world.SetNode(id, wire::NODE_REMOVE, true), absl::OkStatus());
  for (int i = 0; i < 2; ++i) world.AddOne();
  world.LetMovesEnd();
}

// Another job writes until there is no room. Its remains are removed, and there is room again.
void FillUp(Chaos& world) {
  world.executor.RunFor(world.UpTo(1'000));
  const std::vector<Content> bulk = {RandomContent(world.random, 5 * kMiB)};
  absl::Status saved;
  int saves = 0;
  for (; saves < 30 && saved.ok(); ++saves)
    saved = world.executor.Run(world.Save(StrCat("bulk/step-", saves), bulk));
  EXPECT_TRUE(absl::IsResourceExhausted(saved)) << saved;
  if (absl::IsResourceExhausted(saved)) FaultTally::Note("all disks full");
  world.executor.RunFor(world.UpTo(5'000));
  for (int i = 0; i < saves; ++i) {
    const absl::Status removed = world.executor.Run(world.Remove(StrCat("bulk/step-", i)));
    EXPECT_TRUE(removed.ok() || absl::IsNotFound(removed)) << removed;
  }
  // Room is back once nobody can be reading what was removed.
  world.executor.RunFor(absl::Minutes(1));
}

// What is moved away comes back in the middle.
void DrainForAWhile(Chaos& world) {
  FaultTally::Note("node drained, and taken back");
  const uint32_t id = world.others[world.Victim()]->node_id();
  EXPECT_EQ(world.SetNode(id, wire::NODE_DRAIN), absl::OkStatus());
  world.Endure(world.UpTo(60'000));
  EXPECT_EQ(world.SetNode(id, wire::NODE_UNDRAIN), absl::OkStatus());
  world.LetMovesEnd();
}

void BefallShortly(Chaos& world) {
  switch (world.random.Below(5)) {
    case 0:
      return StandStill(world);
    case 1:
      return Partition(world);
    case 2:
      return BadNetwork(world);
    case 3:
      return SlowDevice(world);
    default:
      return StepClock(world);
  }
}

void Befall(Chaos& world) {
  switch (world.random.Below(13)) {
    case 0:
      return StandStill(world);
    case 1:
    case 2:
      return Partition(world);
    case 3:
      return LosePower(world);
    case 4:
      return BadNetwork(world);
    case 5:
      return FailDevice(world);
    case 6:
      return SlowDevice(world);
    case 7:
      return Rot(world);
    case 8:
      return LoseNode(world);
    case 9:
      return DrainForAWhile(world);
    case 10:
      return LoseTwoNodes(world);
    case 11:
      return FillUp(world);
    default:
      return StepClock(world);
  }
}

// ---- what must hold ----

void ExpectProgress(Chaos& world, const Job& job) {
  const int before = job.steps;
  const MonoTime healed = world.executor.clock().Now();
  while (job.steps == before && world.executor.clock().Now() - healed < kProgressWithin)
    world.executor.RunFor(absl::Milliseconds(500));
  EXPECT_GT(job.steps, before) << "no save within 30 s after all was well again";
}

// Whole, byte for byte. One that is doubtful may also be gone, with all its shards.
void ExpectWhole(Chaos& world, const Saved& saved, bool may_be_gone) {
  size_t gone = 0;
  for (size_t i = 0; i < saved.shards.size(); ++i) {
    const auto read = world.executor.Run(world.ReadFile(saved.path + "/" + ShardName(i)));
    if (may_be_gone && absl::IsNotFound(read.status())) {
      ++gone;
      continue;
    }
    ASSERT_TRUE(read.ok()) << saved.path << ": " << read.status();
    ASSERT_TRUE(*read == saved.shards[i]) << saved.path << ": wrong bytes";
  }
  ASSERT_TRUE(gone == 0 || gone == saved.shards.size()) << saved.path << " is there in part";
}

void ExpectKept(Chaos& world, const Job& job) {
  for (const std::vector<Saved>* all : {&job.acknowledged, &job.archived})
    for (const Saved& saved : *all) ASSERT_NO_FATAL_FAILURE(ExpectWhole(world, saved, false));
  for (const Saved& saved : job.doubtful) ASSERT_NO_FATAL_FAILURE(ExpectWhole(world, saved, true));
}

// All that was acknowledged, and nothing that never was begun.
void ExpectListed(Chaos& world, const Job& job) {
  wire::ListRequest request;
  request.set_path("b");
  // The answer is of some moment between these two; the job goes on meanwhile.
  std::set<std::string> wanted;
  for (const std::vector<Saved>* all : {&job.acknowledged, &job.archived})
    for (const Saved& saved : *all) wanted.insert(saved.path);
  std::set<std::string> allowed = wanted;
  const std::string under_way = job.under_way;
  allowed.insert(job.leaving);
  const auto listed =
      world.executor.Run(world.session->Meta<wire::ListReply>(wire::LIST, request, world.Soon()));
  ASSERT_TRUE(listed.ok()) << listed.status();
  std::set<std::string> kept = {under_way, job.under_way};
  for (const std::vector<Saved>* all : {&job.acknowledged, &job.archived, &job.doubtful})
    for (const Saved& saved : *all) kept.insert(saved.path);
  allowed.insert(kept.begin(), kept.end());
  allowed.insert(job.leaving);
  for (const wire::Entry& entry : listed->entries()) {
    const std::string path = "b/" + entry.name();
    EXPECT_TRUE(allowed.contains(path)) << path << " was never saved, or is removed";
    wanted.erase(path);
  }
  for (const std::string& path : wanted)
    EXPECT_FALSE(kept.contains(path)) << path << " is not listed";
}

// Without damage to devices nothing may be missing or left over, once what is under way has ended.
void ExpectNothingToMend(Chaos& world) {
  for (int tries = 0;; ++tries) {
    const auto checked = world.Check(false, true);
    if (checked.findings.empty() && checked.unreachable.empty() && checked.leftovers == 0) return;
    if (tries == 8) {
      EXPECT_EQ(checked.leftovers, 0u);
      for (const auto& finding : checked.findings) ADD_FAILURE() << finding.DebugString();
      for (uint32_t target : checked.unreachable) ADD_FAILURE() << "unreachable: " << target;
      return;
    }
    world.executor.RunFor(absl::Seconds(15));
  }
}

// Damage is found and mended before more of it comes.
void Mend(Chaos& world) {
  for (int tries = 0; tries < 5; ++tries) {
    const auto checked = world.Check(true, true);
    const bool mended = std::all_of(checked.findings.begin(), checked.findings.end(),
                                    [](const auto& each) { return each.repaired(); });
    for (const auto& finding : checked.findings) {
      EXPECT_NE(finding.fault(), wire::STRIPE_LOST) << finding.DebugString();
      if (finding.repaired()) FaultTally::Note("fragment mended by the check");
    }
    if (mended && checked.unreachable.empty()) return;
    world.executor.RunFor(absl::Seconds(5));
  }
  ADD_FAILURE() << "what is damaged cannot be mended";
}

void CheckChaos(uint64_t seed) {
  Chaos world(seed);
  Job job;
  world.executor.Spawn(Work(&world, &job));
  for (int round = 0; round < kRounds && !testing::Test::HasFailure(); ++round) {
    world.executor.RunFor(world.UpTo(1'500));
    bool restored = false;
    world.executor.Spawn(RestoreNow(&world, &job, &restored));
    Befall(world);
    ExpectProgress(world, job);
    ExpectListed(world, job);
    world.executor.RunUntil(&restored);
    if (world.damaged) {
      Mend(world);
    } else {
      ExpectNothingToMend(world);
    }
    world.damaged = false;
  }
  job.stop = true;
  world.executor.RunUntil(&job.stopped);
  ExpectKept(world, job);
  if (testing::Test::HasFailure()) return;
  // Nothing but what is referred to keeps its space.
  for (std::vector<Saved>* all : {&job.acknowledged, &job.archived, &job.doubtful}) {
    for (const Saved& saved : *all) {
      const absl::Status removed = world.executor.Run(world.Remove(saved.path));
      EXPECT_TRUE(removed.ok() || absl::IsNotFound(removed)) << removed;
    }
  }
  world.executor.RunFor(absl::Minutes(45));
  world.ExpectClean();
  EXPECT_EQ(world.UsageOf(world.node).used, 0u);
  for (const auto& other : world.others) {
    EXPECT_EQ(world.UsageOf(*other).used, 0u) << other->options().process;
    EXPECT_EQ(world.UsageOf(*other).pending, 0u) << other->options().process;
  }
}

TEST(ChaosSim, WhatIsAcknowledgedIsKeptAndSavesGoOnWhateverGoesWrong) {
  for (const uint64_t seed : Seeds()) {
    SCOPED_TRACE(testing::Message() << "CAIRN_SEED=" << seed);
    CheckChaos(seed);
    if (testing::Test::HasFailure()) return;
  }
  FaultTally::Print();
}

}  // namespace
}  // namespace cairn
