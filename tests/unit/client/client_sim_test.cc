// Goal: what a save reports as done is there, whole and exact, whatever fails around it; what
// failed is not visible and costs no space for ever; no read returns wrong bytes. Method: the real
// client against a whole real node in the simulation. Faults at random points come from a seed; a
// failing one is printed and is replayed with CAIRN_SEED=<seed>.

#include <algorithm>
#include <cstdlib>

#include "common/base/crc32c.h"
#include "tests/sim/seeds.h"
#include "tests/unit/chunk/target_world.h"
#include "tests/unit/client/client_world.h"

namespace cairn {
namespace {

constexpr char kOld[] = "default/run/step-1";
constexpr char kNew[] = "default/run/step-2";
constexpr uint64_t kRounds = SeedsHere(200);

// Seeds for `kRounds` rounds, or the one to be replayed.
std::vector<uint64_t> Seeds() {
  if (const char* replay = std::getenv("CAIRN_SEED")) return {std::strtoull(replay, nullptr, 10)};
  const uint64_t first = SystemRandom().Next() % 1'000'000'000;
  std::vector<uint64_t> seeds;
  for (uint64_t i = 0; i < kRounds; ++i) seeds.push_back(first + i);
  return seeds;
}

std::vector<Content> RandomShards(Random& random) {
  std::vector<Content> shards;
  const uint64_t count = 1 + random.Below(3);
  for (uint64_t i = 0; i < count; ++i) {
    shards.push_back(RandomContent(random, random.Below(700 * kKiB)));
  }
  return shards;
}

Task<void> Store(Task<absl::Status> task, absl::Status* result, bool* done) {
  *result = co_await std::move(task);
  *done = true;
}

TEST(ClientSim, SavedBytesComeBackWholeAndInAnyRange) {
  ClientWorld world(1);
  std::vector<Content> shards;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{128 * kKiB}, size_t{900'001}}) {
    shards.push_back(RandomContent(world.random, size));
  }
  const absl::Status saved = world.executor.Run(world.Save(kNew, shards));
  ASSERT_TRUE(saved.ok()) << saved;
  EXPECT_EQ(world.Matches(kNew, shards), absl::OkStatus());
  const Content& whole = shards[3];
  for (int i = 0; i < 50; ++i) {
    const uint64_t offset = world.random.Below(whole.size());
    Content part(1 + world.random.Below(whole.size() - offset));
    const absl::Status read =
        world.executor.Run(world.ReadRange(std::string(kNew) + "/shard-3", offset, part));
    ASSERT_TRUE(read.ok()) << read;
    ASSERT_EQ(std::memcmp(part.data(), whole.data() + offset, part.size()), 0);
  }
  EXPECT_EQ(world.Usage().used, world.SpaceOf(shards));
}

// The power goes once or more in the middle of a save, for a short or a long time.
Task<void> CutPower(ClientWorld* world, absl::Duration within, bool* done) {
  const uint64_t times = 1 + world->random.Below(3);
  for (uint64_t i = 0; i < times; ++i) {
    const auto limit = static_cast<uint64_t>(absl::ToInt64Nanoseconds(within)) + 1;
    co_await Pass(absl::Nanoseconds(static_cast<int64_t>(world->random.Below(limit))));
    world->node.Kill(world->random.Next());
    co_await world->node.Bury();
    const uint64_t longest_ms = world->random.Below(10) == 0 ? 100'000 : 2'000;
    co_await Pass(absl::Milliseconds(static_cast<int64_t>(world->random.Below(longest_ms))));
    absl::Status started = co_await world->node.Start();
    EXPECT_TRUE(started.ok()) << started;
  }
  *done = true;
}

void CheckCrash(uint64_t seed) {
  ClientWorld world(seed);
  const std::vector<Content> old = RandomShards(world.random);
  const MonoTime begin = world.executor.clock().Now();
  absl::Status saved = world.executor.Run(world.Save(kOld, old));
  ASSERT_TRUE(saved.ok()) << saved;
  const absl::Duration usual = world.executor.clock().Now() - begin;

  const std::vector<Content> fresh = RandomShards(world.random);
  bool cut = false;
  bool ended = false;
  world.executor.Spawn(CutPower(&world, usual * 1.3, &cut));
  world.executor.Spawn(Store(world.Save(kNew, fresh), &saved, &ended));
  world.executor.RunUntil(&ended);
  world.executor.RunUntil(&cut);

  EXPECT_EQ(world.Matches(kOld, old), absl::OkStatus());
  const absl::Status visible = world.Matches(kNew, fresh);
  if (saved.ok()) {
    EXPECT_EQ(visible, absl::OkStatus());
  } else {
    // A commit whose reply was lost may have been made.
    EXPECT_TRUE(visible.ok() || absl::IsNotFound(visible)) << visible;
    EXPECT_TRUE(absl::IsUnavailable(saved) || absl::IsDeadlineExceeded(saved) ||
                absl::IsAborted(saved) || absl::IsNotFound(saved) ||
                absl::IsFailedPrecondition(saved))
        << saved;
  }
  world.LetLeasesEnd();
  const Target::Usage usage = world.Usage();
  EXPECT_EQ(usage.used, world.SpaceOf(old) + (visible.ok() ? world.SpaceOf(fresh) : 0));
  EXPECT_EQ(usage.pending, 0u);
  EXPECT_EQ(usage.held, 0u);
}

TEST(ClientSim, PowerCutsInASaveLoseNothingCommittedAndLeakNothing) {
  for (const uint64_t seed : Seeds()) {
    SCOPED_TRACE(testing::Message() << "CAIRN_SEED=" << seed);
    CheckCrash(seed);
    if (testing::Test::HasFailure()) return;
  }
}

void CheckBadNetwork(uint64_t seed, const SimFabric::Faults& faults) {
  ClientWorld world(seed);
  world.timeout = absl::Minutes(10);
  world.fabric.set_faults(faults);
  const std::vector<Content> shards = RandomShards(world.random);
  const absl::Status saved = world.executor.Run(world.Save(kNew, shards));
  // The attempt may end before an unlucky save does; wrong or half data may not come of it.
  const absl::Status visible = world.Matches(kNew, shards);
  if (saved.ok()) {
    EXPECT_EQ(visible, absl::OkStatus());
  } else {
    EXPECT_TRUE(visible.ok() || absl::IsNotFound(visible)) << visible << ", saved: " << saved;
  }
  world.fabric.set_faults({});
  world.LetLeasesEnd();
  EXPECT_EQ(world.Usage().used, visible.ok() ? world.SpaceOf(shards) : 0);
  EXPECT_EQ(world.Usage().pending, 0u);
}

TEST(ClientSim, LostAndDuplicatedMessagesDoNoHarm) {
  SimFabric::Faults faults;
  faults.lost_per_mille = 20;
  faults.duplicated_per_mille = 50;
  for (const uint64_t seed : Seeds()) {
    SCOPED_TRACE(testing::Message() << "CAIRN_SEED=" << seed);
    CheckBadNetwork(seed, faults);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(ClientSim, BrokenTransfersAreMadeAgain) {
  SimFabric::Faults faults;
  faults.broken_rma_per_mille = 50;
  faults.lost_per_mille = 5;
  for (const uint64_t seed : Seeds()) {
    SCOPED_TRACE(testing::Message() << "CAIRN_SEED=" << seed);
    CheckBadNetwork(seed, faults);
    if (testing::Test::HasFailure()) return;
  }
}

// Ways in which a network or a process stands still without ending, and back.
void BeginStall(SimFabric& fabric, uint64_t kind) {
  if (kind == 0) fabric.Freeze("node");
  if (kind == 1) fabric.Freeze("client");
  if (kind == 2 || kind == 4) fabric.Cut("client", "node");
  if (kind == 3 || kind == 4) fabric.Cut("node", "client");
}
void EndStall(SimFabric& fabric, uint64_t kind) {
  if (kind == 0) fabric.Thaw("node");
  if (kind == 1) fabric.Thaw("client");
  if (kind == 2 || kind == 4) fabric.Heal("client", "node");
  if (kind == 3 || kind == 4) fabric.Heal("node", "client");
}
constexpr uint64_t kStallKinds = 5;

// Everything stands still once or more in the middle of a save, for a short time, or for longer
// than a control connection and a lease last.
Task<void> Stall(ClientWorld* world, absl::Duration within, bool* done) {
  const uint64_t times = 1 + world->random.Below(3);
  for (uint64_t i = 0; i < times; ++i) {
    const auto limit = static_cast<uint64_t>(absl::ToInt64Nanoseconds(within)) + 1;
    co_await Pass(absl::Nanoseconds(static_cast<int64_t>(world->random.Below(limit))));
    const uint64_t kind = world->random.Below(kStallKinds);
    BeginStall(world->fabric, kind);
    const uint64_t longest_ms = world->random.Below(4) == 0 ? 100'000 : 2'000;
    co_await Pass(absl::Milliseconds(static_cast<int64_t>(world->random.Below(longest_ms))));
    EndStall(world->fabric, kind);
  }
  *done = true;
}

void CheckStall(uint64_t seed) {
  ClientWorld world(seed);
  const std::vector<Content> old = RandomShards(world.random);
  const MonoTime begin = world.executor.clock().Now();
  absl::Status saved = world.executor.Run(world.Save(kOld, old));
  ASSERT_TRUE(saved.ok()) << saved;
  const absl::Duration usual = world.executor.clock().Now() - begin;

  std::vector<Content> fresh = RandomShards(world.random);
  const std::vector<Content> meant = fresh;
  bool stalled = false;
  bool ended = false;
  world.executor.Spawn(Stall(&world, usual, &stalled));
  world.executor.Spawn(Store(world.Save(kNew, fresh), &saved, &ended));
  world.executor.RunUntil(&ended);
  // The caller's memory is its own again: what is pulled from it from now on must not count.
  for (Content& content : fresh) std::fill(content.begin(), content.end(), std::byte{0x5a});
  world.executor.RunUntil(&stalled);
  // What stood still arrives.
  world.executor.RunFor(absl::Seconds(1));

  EXPECT_EQ(world.Matches(kOld, old), absl::OkStatus());
  const absl::Status visible = world.Matches(kNew, meant);
  if (saved.ok()) {
    EXPECT_EQ(visible, absl::OkStatus());
  } else {
    EXPECT_TRUE(visible.ok() || absl::IsNotFound(visible)) << visible << ", saved: " << saved;
  }
  world.LetLeasesEnd();
  EXPECT_EQ(world.node.calls_running(), 0u);
  const Target::Usage usage = world.Usage();
  EXPECT_EQ(usage.used, world.SpaceOf(old) + (visible.ok() ? world.SpaceOf(meant) : 0));
  EXPECT_EQ(usage.pending, 0u);
  EXPECT_EQ(usage.held, 0u);
}

TEST(ClientSim, StallsInASaveDoNoHarm) {
  for (const uint64_t seed : Seeds()) {
    SCOPED_TRACE(testing::Message() << "CAIRN_SEED=" << seed);
    CheckStall(seed);
    if (testing::Test::HasFailure()) return;
  }
}

// The network stands still in the middle of a read, which fails at its deadline; then it goes on.
void CheckStalledRead(uint64_t seed, int* failed_reads) {
  ClientWorld world(seed);
  const std::vector<Content> shards = {RandomContent(world.random, 600 * kKiB)};
  const absl::Status saved = world.executor.Run(world.Save(kNew, shards));
  ASSERT_TRUE(saved.ok()) << saved;
  const auto stat = world.executor.Run(world.Stat(std::string(kNew) + "/shard-0"));
  ASSERT_TRUE(stat.ok()) << stat.status();

  // A stripe takes an eighth of a second, so that most stalls meet it on its way.
  SimFabric::Faults slow;
  slow.bytes_per_second = 1 * kMiB;
  world.fabric.set_faults(slow);
  Content destination(shards[0].size());
  absl::Status read;
  bool ended = false;
  world.timeout = absl::Seconds(2);
  world.executor.Spawn(Store(world.ReadOpened(*stat, 0, destination), &read, &ended));
  world.executor.RunFor(absl::Microseconds(static_cast<int64_t>(world.random.Below(200'000))));
  const uint64_t kind = world.random.Below(kStallKinds);
  BeginStall(world.fabric, kind);
  world.executor.RunUntil(&ended);
  EXPECT_TRUE(!read.ok() || destination == shards[0]);
  // The caller's own again, in use for something else.
  std::fill(destination.begin(), destination.end(), std::byte{0x5a});
  EndStall(world.fabric, kind);
  world.executor.RunFor(absl::Minutes(3));
  EXPECT_EQ(std::count(destination.begin(), destination.end(), std::byte{0x5a}),
            static_cast<std::ptrdiff_t>(destination.size()));
  EXPECT_EQ(world.node.calls_running(), 0u);
  if (!read.ok()) {
    ++*failed_reads;
    EXPECT_TRUE(absl::IsDeadlineExceeded(read) || absl::IsUnavailable(read)) << read;
  }
  world.fabric.set_faults({});
  world.timeout = absl::Seconds(60);
  EXPECT_EQ(world.Matches(kNew, shards), absl::OkStatus());
}

TEST(ClientSim, LateWritesOfAStalledReadMissMemoryGivenBack) {
  int failed_reads = 0;
  const std::vector<uint64_t> seeds = Seeds();
  for (const uint64_t seed : seeds) {
    SCOPED_TRACE(testing::Message() << "CAIRN_SEED=" << seed);
    CheckStalledRead(seed, &failed_reads);
    if (testing::Test::HasFailure()) return;
  }
  // Else nothing was late.
  if (seeds.size() > 1) {
    EXPECT_GT(failed_reads, 0);
  }
}

TEST(ClientSim, DamagedBlockIsDataLossAndItsNeighboursStayReadable) {
  ClientWorld world(3);
  const std::vector<Content> shards = {RandomContent(world.random, 300 * kKiB)};
  ASSERT_TRUE(world.executor.Run(world.Save(kNew, shards)).ok());
  const std::string file = std::string(kNew) + "/shard-0";
  // Where the second block of the first stripe lies on the device.
  const ConstBytes device = world.node.disk(0).live();
  const ConstBytes wanted = ConstBytes(shards[0]).subspan(kBlockBytes, 64);
  const auto found = std::search(device.begin(), device.end(), wanted.begin(), wanted.end());
  ASSERT_NE(found, device.end());
  world.node.disk(0).FlipBit(static_cast<uint64_t>(found - device.begin()) + 4321, 3);

  EXPECT_TRUE(absl::IsDataLoss(world.executor.Run(world.ReadFile(file)).status()));
  Content part(10);
  EXPECT_TRUE(
      absl::IsDataLoss(world.executor.Run(world.ReadRange(file, kBlockBytes + 60'000, part))));
  Content before(kBlockBytes);
  ASSERT_TRUE(world.executor.Run(world.ReadRange(file, 0, before)).ok());
  EXPECT_EQ(std::memcmp(before.data(), shards[0].data(), before.size()), 0);
  Content after(shards[0].size() - 2 * kBlockBytes);
  ASSERT_TRUE(world.executor.Run(world.ReadRange(file, 2 * kBlockBytes, after)).ok());
  EXPECT_EQ(std::memcmp(after.data(), shards[0].data() + 2 * kBlockBytes, after.size()), 0);
}

TEST(ClientSim, FullTargetIsSaidSoAndItsSpaceComesBack) {
  ClientWorld world(4);
  const std::vector<Content> kept = {RandomContent(world.random, 1 * kMiB)};
  ASSERT_TRUE(world.executor.Run(world.Save(kOld, kept)).ok());
  const std::vector<Content> large = {RandomContent(world.random, 12 * kMiB)};
  const absl::Status saved = world.executor.Run(world.Save(kNew, large));
  EXPECT_TRUE(absl::IsResourceExhausted(saved)) << saved;
  EXPECT_TRUE(absl::IsNotFound(world.Matches(kNew, large)));
  world.LetLeasesEnd();
  EXPECT_EQ(world.Usage().used, world.SpaceOf(kept));
  EXPECT_EQ(world.Usage().pending, 0u);
  const std::vector<Content> fits = {RandomContent(world.random, 5 * kMiB)};
  EXPECT_EQ(world.executor.Run(world.Save(kNew, fits)), absl::OkStatus());
  EXPECT_EQ(world.Matches(kNew, fits), absl::OkStatus());
  EXPECT_EQ(world.Matches(kOld, kept), absl::OkStatus());
}

// Fills a target with what no lease will ever give back. Of what is not sealed at once, the node
// may drop any, for it knows no such lease: so each is sealed by itself, and missing ones do not
// count.
Task<void> Fill(Target* target, uint64_t stripe_bytes) {
  constexpr uint64_t kLease = 77;
  for (uint64_t stripe = uint64_t{1} << 40; target->CheckRoom(Key(stripe), stripe_bytes).ok();
       ++stripe) {
    const absl::Status written =
        co_await TargetWorld::WriteTask(*target, stripe, stripe_bytes, kLease);
    if (!written.ok()) continue;
    std::vector<FragmentRun> runs(1, Stripes(stripe));
    const auto sealed = co_await target->Seal(LeaseId(kLease), std::move(runs));
    CAIRN_CHECK(sealed.ok());
  }
}

// More targets than a writer rotates over, and all of those may be full.
TEST(ClientSim, OneTargetWithRoomIsEnough) {
  SimNode::Options options;
  options.targets = 24;
  options.target_bytes = kTargetBytesMin;
  for (uint32_t roomy = 0; roomy < options.targets; roomy += 8) {
    ClientWorld world(40 + roomy, options);
    for (uint32_t i = 0; i < options.targets; ++i) {
      if (i != roomy) world.executor.Run(Fill(&world.node.target(i), options.stripe_bytes));
    }
    const std::vector<Content> shards = {RandomContent(world.random, 1 * kMiB)};
    const absl::Status saved = world.executor.Run(world.Save(kNew, shards));
    ASSERT_TRUE(saved.ok()) << saved << ", target " << roomy;
    EXPECT_EQ(world.Matches(kNew, shards), absl::OkStatus());
  }
}

TEST(ClientSim, FullClusterIsSaidSoAtOnce) {
  SimNode::Options options;
  options.targets = 3;
  ClientWorld world(30, options);
  for (uint32_t i = 0; i < options.targets; ++i) {
    world.executor.Run(Fill(&world.node.target(i), options.stripe_bytes));
  }
  const MonoTime begin = world.executor.clock().Now();
  const std::vector<Content> shards = {RandomContent(world.random, 1 * kMiB)};
  const absl::Status saved = world.executor.Run(world.Save(kNew, shards));
  EXPECT_TRUE(absl::IsResourceExhausted(saved)) << saved;
  EXPECT_NE(std::string(saved.message()).find("(3 asked)"), std::string::npos) << saved;
  EXPECT_NE(std::string(saved.message()).find("add targets"), std::string::npos) << saved;
  EXPECT_LT(world.executor.clock().Now() - begin, absl::Seconds(1));
}

TEST(ClientSim, SaveMovesAwayFromADeviceThatCannotWrite) {
  SimNode::Options options;
  options.targets = 2;
  for (const bool gone : {false, true}) {
    ClientWorld world(31, options);
    const absl::Status error = gone ? absl::FailedPreconditionError("planted: no such device")
                                    : absl::DataLossError("planted: input/output error");
    world.node.disk(0).FailEvery(SimDisk::Kind::kWrite, error);
    const std::vector<Content> shards = {RandomContent(world.random, 2 * kMiB)};
    const MonoTime begin = world.executor.clock().Now();
    const absl::Status saved = world.executor.Run(world.Save(kNew, shards));
    EXPECT_TRUE(saved.ok()) << saved;
    EXPECT_LT(world.executor.clock().Now() - begin, absl::Seconds(1));
    EXPECT_GT(world.node.disk(0).faults_fired(), 0);
    EXPECT_EQ(world.Matches(kNew, shards), absl::OkStatus());
    EXPECT_EQ(world.node.target(0).failure().ok(), !gone);
  }
}

TEST(ClientSim, StripesOfATargetThatFailsAtTheSealGoElsewhere) {
  SimNode::Options options;
  options.targets = 2;
  ClientWorld world(32, options);
  world.node.disk(0).FailNext(SimDisk::Kind::kFlush, absl::DataLossError("planted"));
  const std::vector<Content> shards = {RandomContent(world.random, 2 * kMiB)};
  const absl::Status saved = world.executor.Run(world.Save(kNew, shards));
  EXPECT_TRUE(saved.ok()) << saved;
  EXPECT_FALSE(world.node.target(0).failure().ok());
  EXPECT_EQ(world.Matches(kNew, shards), absl::OkStatus());
  EXPECT_EQ(world.node.target(1).usage().used, world.SpaceOf(shards));
}

TEST(ClientSim, TargetThatFailsAtTheSealWithNoOtherFailsTheSaveAtOnce) {
  ClientWorld world(33);
  world.node.disk(0).FailNext(SimDisk::Kind::kFlush, absl::DataLossError("planted"));
  const std::vector<Content> shards = {RandomContent(world.random, 1 * kMiB)};
  const MonoTime begin = world.executor.clock().Now();
  const absl::Status saved = world.executor.Run(world.Save(kNew, shards));
  EXPECT_TRUE(absl::IsFailedPrecondition(saved)) << saved;
  EXPECT_LT(world.executor.clock().Now() - begin, absl::Seconds(1));
}

TEST(ClientSim, SealThatFindsNoSpaceForItsRecordsIsTriedAgain) {
  ClientWorld world(34);
  world.node.index(0).RefuseNextWrite(absl::ResourceExhaustedError("planted: full"));
  const std::vector<Content> shards = {RandomContent(world.random, 1 * kMiB)};
  const absl::Status saved = world.executor.Run(world.Save(kNew, shards));
  EXPECT_TRUE(saved.ok()) << saved;
  EXPECT_EQ(world.Matches(kNew, shards), absl::OkStatus());
}

// A target keeps only so many unsealed fragments: its writers seal and go on.
TEST(ClientSim, ShardsThatTogetherExceedThePendingLimitAreSaved) {
  SimNode::Options options;
  options.pending_fragments_max = 10;
  ClientWorld world(35, options);
  std::vector<Content> shards;
  for (const uint64_t stripes : {20, 1, 9, 12}) {
    shards.push_back(RandomContent(world.random, stripes * options.stripe_bytes));
  }
  const absl::Status saved = world.executor.Run(world.Save(kNew, shards));
  EXPECT_TRUE(saved.ok()) << saved;
  EXPECT_EQ(world.Matches(kNew, shards), absl::OkStatus());
  EXPECT_EQ(world.Usage().used, world.SpaceOf(shards));
}

// Nobody frees what a file refers to: the target has lost it.
TEST(ClientSim, FragmentThatItsTargetLostIsDataLoss) {
  ClientWorld world(36);
  const std::vector<Content> shards = {RandomContent(world.random, 1 * kMiB)};
  ASSERT_TRUE(world.executor.Run(world.Save(kNew, shards)).ok());
  const std::string file = std::string(kNew) + "/shard-0";
  const auto stat = world.executor.Run(world.Stat(file));
  ASSERT_TRUE(stat.ok());
  const uint64_t lost = stat->extents(0).first_stripe() + 2;
  std::vector<FragmentRun> runs(1, Stripes(lost));
  ASSERT_TRUE(world.executor.Run(world.node.target(0).Free(std::move(runs))).ok());
  const absl::Status read = world.executor.Run(world.ReadFile(file)).status();
  EXPECT_TRUE(absl::IsDataLoss(read)) << read;
  const std::string wanted = "target 1 holds no stripe " + std::to_string(lost);
  EXPECT_NE(std::string(read.message()).find(wanted), std::string::npos) << read;
}

TEST(ClientSim, FileRemovedUnderItsReaderIsSaidSo) {
  ClientWorld world(37);
  const std::vector<Content> shards = {RandomContent(world.random, 1 * kMiB)};
  ASSERT_TRUE(world.executor.Run(world.Save(kNew, shards)).ok());
  const auto stat = world.executor.Run(world.Stat(std::string(kNew) + "/shard-0"));
  ASSERT_TRUE(stat.ok());
  wire::RemoveRequest remove;
  remove.set_path(kNew);
  remove.set_recursive(true);
  ASSERT_TRUE(
      world.executor.Run(world.session->Meta<wire::RemoveReply>(wire::REMOVE, remove, world.Soon()))
          .ok());
  world.LetLeasesEnd();
  Content content(shards[0].size());
  const absl::Status read = world.executor.Run(world.ReadOpened(*stat, 0, content));
  EXPECT_TRUE(absl::IsFailedPrecondition(read)) << read;
  EXPECT_NE(std::string(read.message()).find("replaced or removed"), std::string::npos) << read;
}

TEST(ClientSim, SpaceOfAClientThatDiedComesBack) {
  ClientWorld world(5);
  const std::vector<Content> shards = {RandomContent(world.random, 1 * kMiB)};
  wire::BeginCheckpointRequest begin;
  begin.set_path(kNew);
  begin.set_world_size(1);
  const auto begun = world.executor.Run(
      world.session->Meta<wire::BeginCheckpointReply>(wire::BEGIN_CHECKPOINT, begin, world.Soon()));
  ASSERT_TRUE(begun.ok());
  auto ids = std::make_shared<StripeIds>(LeaseId(begun->lease()), begun->stripes().first(),
                                         begun->stripes().count(), begun->redundancy());
  wire::ShardRecord record;
  ASSERT_TRUE(world.executor.Run(world.WriteShard(ids, shards[0], &record)).ok());
  EXPECT_EQ(world.Usage().used, world.SpaceOf(shards));
  world.fabric.Kill("client");
  world.LetLeasesEnd();
  EXPECT_EQ(world.Usage().used, 0u);
  EXPECT_EQ(world.Usage().pending, 0u);
}

// What was removed while its target refused everything is freed after the restart that heals it.
TEST(ClientSim, SpaceRemovedUnderAFailedTargetComesBackAfterARestart) {
  ClientWorld world(12);
  const std::vector<Content> shards = {RandomContent(world.random, 1 * kMiB)};
  ASSERT_TRUE(world.executor.Run(world.Save(kOld, shards)).ok());
  world.node.disk(0).FailNext(SimDisk::Kind::kFlush, absl::DataLossError("planted"));
  EXPECT_FALSE(world.executor.Run(world.Save(kNew, shards)).ok());
  ASSERT_FALSE(world.node.target(0).failure().ok());
  wire::RemoveRequest remove;
  remove.set_path(kOld);
  remove.set_recursive(true);
  ASSERT_TRUE(
      world.executor.Run(world.session->Meta<wire::RemoveReply>(wire::REMOVE, remove, world.Soon()))
          .ok());
  world.LetLeasesEnd();
  ASSERT_TRUE(world.executor.Run(world.node.Restart(1, 1)).ok());
  EXPECT_GT(world.Usage().used, 0u);
  world.LetLeasesEnd();
  EXPECT_EQ(world.Usage().used, 0u);
}

// A process that was stopped for longer than its lease goes on as if nothing had been.
TEST(ClientSim, WriterThatSleptThroughItsLeaseIsRefusedAndLeaksNothing) {
  ClientWorld world(6);
  wire::BeginCheckpointRequest begin;
  begin.set_path(kNew);
  begin.set_world_size(1);
  const auto begun = world.executor.Run(
      world.session->Meta<wire::BeginCheckpointReply>(wire::BEGIN_CHECKPOINT, begin, world.Soon()));
  ASSERT_TRUE(begun.ok());
  auto ids = std::make_shared<StripeIds>(LeaseId(begun->lease()), begun->stripes().first(),
                                         begun->stripes().count(), begun->redundancy());
  const Content content = RandomContent(world.random, 1 * kMiB);
  {
    WritePath path(*world.session, ids, world.timeout);
    ASSERT_TRUE(world.executor.Run(path.Write(ClientWorld::Cut(content))).ok());
    world.LetLeasesEnd();
    const absl::Status flushed = world.executor.Run(path.Flush());
    EXPECT_TRUE(absl::IsAborted(flushed)) << flushed;
  }
  world.LetLeasesEnd();
  EXPECT_EQ(world.Usage().used, 0u);
  EXPECT_EQ(world.Usage().pending, 0u);
}

TEST(ClientSim, FlushesOfAShardDoNotGrowWithItsStripes) {
  ClientWorld world(7);
  for (const uint64_t stripes : {1, 5, 40}) {
    const std::vector<Content> shards = {
        RandomContent(world.random, stripes * world.node.options().stripe_bytes)};
    const int64_t before = world.node.disk(0).flushes();
    const std::string path = "default/run/step-" + std::to_string(stripes);
    ASSERT_TRUE(world.executor.Run(world.Save(path, shards)).ok());
    EXPECT_EQ(world.node.disk(0).flushes() - before, 1) << stripes << " stripes";
  }
}

Task<void> WatchCalls(ClientWorld* world, const bool* stop, size_t* most) {
  while (!*stop) {
    *most = std::max(*most, world->node.calls_running());
    co_await Pass(absl::Microseconds(3));
  }
}

size_t MostCallsAtOnce(int64_t window, uint32_t credits) {
  SimNode::Options options;
  options.credits_max = credits;
  ClientWorld world(8, options, window);
  // One shard: the seal of another would come beside the writes.
  const std::vector<Content> shards = {RandomContent(world.random, 3 * kMiB)};
  bool done = false;
  size_t most = 0;
  absl::Status saved;
  world.executor.Spawn(WatchCalls(&world, &done, &most));
  world.executor.Spawn(Store(world.Save(kNew, shards), &saved, &done));
  world.executor.RunUntil(&done);
  world.executor.RunFor(absl::Milliseconds(1));
  EXPECT_TRUE(saved.ok()) << saved;
  EXPECT_EQ(world.session->window().available(), window);
  return most;
}

TEST(ClientSim, WindowAndCreditsBoundTheCallsUnderWay) {
  EXPECT_EQ(MostCallsAtOnce(3, 8), 3u);
  EXPECT_EQ(MostCallsAtOnce(8, 2), 2u);
}

// One credit, as on a node with many clients, and stripes that take a while each: none may be told
// that its time is up because it stood behind the others.
TEST(ClientSim, StripesThatQueueForOneCreditDoNotRunOutOfTime) {
  SimNode::Options options;
  options.credits_max = 1;
  ClientWorld world(13, options);
  SimFabric::Faults slow;
  slow.bytes_per_second = 10 * kKiB;  // 13 s a stripe, far below the 20 s of a try
  world.fabric.set_faults(slow);
  const std::vector<Content> shards = {RandomContent(world.random, 12 * 128 * kKiB)};
  const absl::Status saved = world.executor.Run(world.Save(kNew, shards));
  EXPECT_TRUE(saved.ok()) << saved;
  EXPECT_EQ(world.Matches(kNew, shards), absl::OkStatus());
}

// The other side of it: when nothing gets through, waiting for a turn ends too.
TEST(ClientSim, StripesThatQueueForAStoppedNodeGiveUp) {
  SimNode::Options options;
  options.credits_max = 1;
  ClientWorld world(14, options);
  const std::vector<Content> old = {RandomContent(world.random, 100 * kKiB)};
  ASSERT_TRUE(world.executor.Run(world.Save(kOld, old)).ok());
  world.fabric.Freeze("node");
  const MonoTime began = world.executor.clock().Now();
  Content content(1 * kMiB);
  auto ids = std::make_shared<StripeIds>(LeaseId(1), 1'000'000, 64, "");
  wire::ShardRecord record;
  const absl::Status written = world.executor.Run(world.WriteShard(ids, content, &record));
  EXPECT_TRUE(absl::IsDeadlineExceeded(written) || absl::IsUnavailable(written)) << written;
  EXPECT_LE(world.executor.clock().Now() - began, 3 * world.timeout);
  world.fabric.Thaw("node");
}

Task<absl::Status> Keep(Session* session, LeaseId lease, absl::Duration ttl) {
  session->KeepLease(lease, ttl);
  co_return absl::OkStatus();
}

// More leases than fit one message: those of a process that writes very many files at once.
TEST(ClientSim, ManyLeasesAreAllRenewed) {
  ClientWorld world(15);
  wire::BeginCheckpointRequest begin;
  begin.set_path(kNew);
  begin.set_world_size(1);
  const auto begun = world.executor.Run(
      world.session->Meta<wire::BeginCheckpointReply>(wire::BEGIN_CHECKPOINT, begin, world.Soon()));
  ASSERT_TRUE(begun.ok());
  const auto ttl = absl::Milliseconds(static_cast<int64_t>(begun->lease_ttl_ms()));
  // The service does not know the others, and says so; their ids are as long as ids get.
  for (uint64_t i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(world.executor.Run(Keep(world.session.get(), LeaseId(UINT64_MAX - i), ttl)).ok());
  }
  ASSERT_TRUE(world.executor.Run(Keep(world.session.get(), LeaseId(begun->lease()), ttl)).ok());
  world.executor.RunFor(3 * ttl);
  const std::vector<Content> shards = {RandomContent(world.random, 100 * kKiB)};
  EXPECT_EQ(world.executor.Run(world.SaveBegun(kNew, *begun, shards)), absl::OkStatus());
}

// A reply to a seal names 1,000 lost stripes at most, so a large shard takes many rounds.
TEST(ClientSim, RestartBehindALargeShardIsSurvived) {
  SimNode::Options options;
  options.stripe_bytes = 4 * kKiB;
  options.target_bytes = 64 * kMiB;
  ClientWorld world(9, options);
  wire::BeginCheckpointRequest begin;
  begin.set_path(kNew);
  begin.set_world_size(1);
  const auto begun = world.executor.Run(
      world.session->Meta<wire::BeginCheckpointReply>(wire::BEGIN_CHECKPOINT, begin, world.Soon()));
  ASSERT_TRUE(begun.ok());
  const auto ttl = absl::Milliseconds(static_cast<int64_t>(begun->lease_ttl_ms()));
  ASSERT_TRUE(world.executor.Run(Keep(world.session.get(), LeaseId(begun->lease()), ttl)).ok());
  auto ids = std::make_shared<StripeIds>(LeaseId(begun->lease()), begun->stripes().first(),
                                         begun->stripes().count(), begun->redundancy());
  const Content content = RandomContent(world.random, 9'500 * options.stripe_bytes);
  {
    WritePath path(*world.session, ids, world.timeout);
    ASSERT_TRUE(world.executor.Run(path.Write({ConstBytes(content)})).ok());
    world.executor.RunFor(absl::Milliseconds(100));
    ASSERT_TRUE(world.executor.Run(world.node.Restart(1, 1)).ok());
    const absl::Status flushed = world.executor.Run(path.Flush());
    EXPECT_TRUE(flushed.ok()) << flushed;
    EXPECT_EQ(world.Usage().used, content.size());
  }
}

// Targets move between cores when a node comes back with another number of them.
TEST(ClientSim, ClientFollowsTargetsToOtherCoresAfterARestart) {
  SimNode::Options options;
  options.cores = 2;
  options.targets = 4;
  ClientWorld world(10, options);
  const std::vector<Content> old = {RandomContent(world.random, 2 * kMiB)};
  ASSERT_TRUE(world.executor.Run(world.Save(kOld, old)).ok());
  for (const uint32_t cores : {1, 3, 4, 2}) {
    ASSERT_TRUE(world.executor.Run(world.node.Restart(cores, cores)).ok());
    EXPECT_EQ(world.Matches(kOld, old), absl::OkStatus()) << cores << " cores";
    const std::vector<Content> fresh = {RandomContent(world.random, 1 * kMiB)};
    const absl::Status saved = world.executor.Run(world.Save(kNew, fresh));
    EXPECT_TRUE(saved.ok()) << cores << " cores: " << saved;
    EXPECT_EQ(world.Matches(kNew, fresh), absl::OkStatus());
  }
}

TEST(StripeIds, ManySmallShardsFitALease) {
  auto ids = std::make_shared<StripeIds>(LeaseId(1), 100, 65, "");
  for (uint64_t shard = 0; shard < 65; ++shard) {
    absl::StatusOr<StripeIds::Block> block = ids->TakeBlock();
    ASSERT_TRUE(block.ok()) << block.status();
    EXPECT_EQ(block->next, 100 + shard);
    ++block->next;
    --block->left;
    ids->GiveBack(*block);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(ids->TakeBlock().status()));
}

TEST(StripeIds, WhatShardsSideBySideLeaveIsUsedInTheEnd) {
  StripeIds ids(LeaseId(1), 0, 128, "");
  const StripeIds::Block first = *ids.TakeBlock();
  const StripeIds::Block second = *ids.TakeBlock();
  ids.GiveBack({first.next + 1, first.left - 1});
  EXPECT_EQ(second.next, 64u);
  const absl::StatusOr<StripeIds::Block> again = ids.TakeBlock();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->next, 1u);
  EXPECT_EQ(again->left, 63u);
}

}  // namespace
}  // namespace cairn
