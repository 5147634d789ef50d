// The engine itself: group commit, retries, failures of the store, starting and stopping.
#include <algorithm>

#include "common/task/when_all.h"
#include "server/meta/requests.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EngineTest : public MetaTest {
 protected:
  static wire::MakeDirectoryRequest Mkdir(const std::string& path) {
    wire::MakeDirectoryRequest request;
    request.set_path(path);
    return request;
  }
};

Task<std::vector<absl::StatusOr<wire::MakeDirectoryReply>>> MakeMany(MetaEngine& engine,
                                                                     int count) {
  std::vector<Task<absl::StatusOr<wire::MakeDirectoryReply>>> tasks;
  for (int i = 0; i < count; ++i) {
    wire::MakeDirectoryRequest request;
    request.set_path(StrCat("default/d", i));
    tasks.push_back(engine.Mutate(std::move(request)));
  }
  auto replies = co_await WhenAll(std::move(tasks));
  co_return replies;
}

TEST_F(EngineTest, CommandsThatWaitShareOneWrite) {
  Settle();
  const int64_t before = kv_.synced_writes();
  for (const auto& reply : executor_.Run(MakeMany(*engine_, 500))) EXPECT_THAT(reply, IsOk());
  // How many gather while a write is on its way depends on the seed.
  EXPECT_LE(kv_.synced_writes() - before, 50);
  EXPECT_EQ(List("default")->size(), 500u);
}

TEST_F(EngineTest, EveryAcknowledgedMutationIsSynced) {
  ASSERT_THAT(MakeDirectory("default/d"), IsOk());
  EXPECT_EQ(kv_.unsynced_batches(), 0u);
  StopEngine();
  kv_.Crash(1);
  kv_.PowerOn();
  Restart();
  EXPECT_THAT(*List("default"), ElementsAre("d"));
}

TEST_F(EngineTest, FailedCommandsWriteNothing) {
  Settle();
  const int64_t before = kv_.synced_writes();
  EXPECT_THAT(Remove("default/nope"), Fails(kNotFound, ""));
  EXPECT_THAT(Begin("default/a/b/c", {.world = 1, .rank = 1}), Fails(kInvalid, ""));
  ASSERT_THAT(PutFile("default/file"), IsOk());
  const int64_t between = kv_.synced_writes();
  // Makes a directory on its way to the failure.
  EXPECT_THAT(MakeDirectory("default/file/x", true), Fails(kPrecondition, ""));
  wire::RenameRequest rename;
  EXPECT_THAT(Rename("default/file", "default/new/x"), Fails(kNotFound, ""));
  Settle();
  EXPECT_EQ(kv_.synced_writes() - between, 0);
  EXPECT_EQ(between - before, 2);
}

TEST_F(EngineTest, ARetryGetsTheFirstResult) {
  const MutationId id{77, 5};
  const auto first = Do(BeginRequest("default/run/s1"), id);
  ASSERT_THAT(first, IsOk());
  const auto again = Do(BeginRequest("default/run/s1"), id);
  EXPECT_EQ(again->attempt(), 1u);
  EXPECT_EQ(again->stripes().first(), first->stripes().first());
  Restart();
  EXPECT_EQ(Do(BeginRequest("default/run/s1"), id)->stripes().first(), first->stripes().first());
  // Another id is another mutation; no id is always one.
  EXPECT_EQ(Do(BeginRequest("default/run/s1"), {77, 6})->attempt(), 2u);
  EXPECT_EQ(Do(BeginRequest("default/run/s1"))->attempt(), 3u);
  EXPECT_THAT(Do(Mkdir("default/x"), id), Fails(kInvalid, "used before, for another method"));
}

TEST_F(EngineTest, OldResultsAreForgotten) {
  const auto mkdir = [&](uint64_t sequence) {
    EXPECT_THAT(Do(Mkdir(StrCat("default/d", sequence)), {77, sequence}), IsOk());
  };
  for (uint64_t sequence = 1; sequence <= 10; ++sequence) mkdir(sequence);
  EXPECT_EQ(kv_.family(kFamilyRequest).size(), 20u);
  // As many mutations later as are kept.
  StopEngine();
  kv_.Overwrite(kFamilySystem, CounterKey(Counter::kNextRequest), U64(1 + kKeptResults));
  Restart();
  for (uint64_t sequence = 11; sequence <= 15; ++sequence) mkdir(sequence);
  const auto known = [&](uint64_t sequence) {
    return kv_.family(kFamilyRequest).contains(RequestKey(77, sequence));
  };
  EXPECT_FALSE(known(1));
  EXPECT_FALSE(known(5));
  EXPECT_TRUE(known(6));
  EXPECT_TRUE(known(15));
  EXPECT_EQ(kv_.family(kFamilyRequest).size(), 20u);
}

TEST_F(EngineTest, ARetryOfAFailureIsTriedAgain) {
  const MutationId id{77, 5};
  EXPECT_THAT(Do(Mkdir("default/a/b"), id), Fails(kNotFound, ""));
  ASSERT_THAT(MakeDirectory("default/a"), IsOk());
  EXPECT_THAT(Do(Mkdir("default/a/b"), id), IsOk());
}

TEST_F(EngineTest, AFailedWriteIsFinal) {
  ASSERT_THAT(MakeDirectory("default/before"), IsOk());
  Settle();
  kv_.FailWriteAfter(0, absl::UnavailableError("I/O error on the log"));
  EXPECT_THAT(MakeDirectory("default/d"),
              Fails(kUnavailable, "metadata store failed: I/O error on the log"));
  EXPECT_THAT(MakeDirectory("default/e"), Fails(kUnavailable, "metadata store failed"));
  EXPECT_THAT(Stat("default"), Fails(kUnavailable, "metadata store failed"));
  EXPECT_THAT(List("default"), Fails(kUnavailable, "metadata store failed"));
  StopEngine();
  kv_.Crash(3);
  kv_.PowerOn();
  Restart();
  EXPECT_THAT(Stat("default/before"), IsOk());
  EXPECT_THAT(Stat("default/e"), Fails(kNotFound, ""));
}

TEST_F(EngineTest, AFailedReadOfACommandIsFinal) {
  Settle();
  kv_.FailNextGet(absl::UnavailableError("I/O error"));
  EXPECT_THAT(MakeDirectory("default/d"), Fails(kUnavailable, "metadata store failed: I/O error"));
  EXPECT_THAT(MakeDirectory("default/d"), Fails(kUnavailable, "metadata store failed"));
}

TEST_F(EngineTest, ADamagedRecordIsReportedAndNeverUsed) {
  ASSERT_THAT(PutFile("default/f"), IsOk());
  ASSERT_THAT(PutFile("default/g"), IsOk());
  const auto inode = InodeId(Stat("default/f")->entry().inode());
  kv_.Overwrite(kFamilyInode, InodeKey(inode), "\xff\xff\xff garbage");
  EXPECT_THAT(Stat("default/f"), Fails(absl::StatusCode::kDataLoss, "family \"inode\" is damaged"));
  EXPECT_THAT(Stat("default/g"), IsOk());
  EXPECT_THAT(MakeDirectory("default/d"), IsOk());
}

TEST_F(EngineTest, CleanupGoesOnAfterARefusal) {
  for (int i = 0; i < 1000; ++i) ASSERT_THAT(PutFile(StrCat("default/d/f", i), 0), IsOk());
  ASSERT_THAT(Remove("default/d", true), IsOk());
  kv_.set_space(SimKv::Space::kNone);
  Settle();
  EXPECT_EQ(Counters().cleanup_backlog, 1u);
  EXPECT_EQ(engine_->Health().cleanup_failures, 1u);
  executor_.RunFor(absl::Seconds(20));
  EXPECT_GT(engine_->Health().cleanup_failures, 1u);
  kv_.set_space(SimKv::Space::kRoom);
  // Nothing new is put off meanwhile.
  executor_.RunFor(absl::Seconds(20));
  EXPECT_EQ(Counters().cleanup_backlog, 0u);
  EXPECT_EQ(Counters().files, 0u);
}

template <class Request>
Task<absl::Status> StatusOfMutation(MetaEngine& engine, Request request) {
  absl::StatusOr<MutationReply<Request>> reply = co_await engine.Mutate(std::move(request));
  co_return reply.status();
}

// All in one group.
Task<std::vector<absl::Status>> MakeRemoveMake(MetaEngine& engine) {
  wire::MakeDirectoryRequest first, second;
  first.set_path("default/first");
  second.set_path("default/second");
  wire::RemoveRequest remove;
  remove.set_path("default/old");
  std::vector<Task<absl::Status>> tasks;
  tasks.push_back(StatusOfMutation(engine, first));
  tasks.push_back(StatusOfMutation(engine, remove));
  tasks.push_back(StatusOfMutation(engine, second));
  auto statuses = co_await WhenAll(std::move(tasks));
  co_return statuses;
}

TEST_F(EngineTest, AFullStoreStillLetsGo) {
  ASSERT_THAT(PutFile("default/old"), IsOk());
  ASSERT_THAT(PutFile("default/run/file"), IsOk());
  ASSERT_THAT(Save("default/run/step-1"), IsOk());
  wire::PinCheckpointRequest pin;
  pin.set_path("default/run/step-1");
  pin.set_pinned(true);
  ASSERT_THAT(Do(pin), IsOk());
  const auto file = BeginFile("default/begun");
  ASSERT_THAT(Begin("default/run/step-2"), IsOk());
  const auto aborted = Begin("default/run/step-3");
  Settle();
  kv_.set_space(SimKv::Space::kReserve);
  const auto full = Fails(absl::StatusCode::kResourceExhausted, "full");
  EXPECT_THAT(executor_.Run(MakeRemoveMake(*engine_)), ElementsAre(full, IsOk(), full));
  EXPECT_THAT(PutFile("default/new"), full);
  EXPECT_THAT(Do(pin), full);
  pin.set_pinned(false);
  EXPECT_THAT(Do(pin), IsOk());
  EXPECT_THAT(Remove("default/run/file"), IsOk());
  EXPECT_THAT(Remove("default/run/step-1"), IsOk());
  wire::AbortFileRequest abort_file;
  abort_file.set_lease(file->lease());
  EXPECT_THAT(Do(abort_file), IsOk());
  wire::AbortCheckpointRequest abort;
  abort.set_path("default/run/step-3");
  abort.set_attempt(aborted->attempt());
  EXPECT_THAT(Do(abort), IsOk());
  // The lease of step-2 runs out, and everything written so far is given back.
  executor_.RunFor(options_.lease_ttl * 2);
  EXPECT_THAT(ReclaimAll(), ::testing::SizeIs(1));
  EXPECT_EQ(Counters().open_attempts, 0u);
  EXPECT_EQ(Counters().files, 0u);
  EXPECT_EQ(Counters().cleanup_backlog, 0u);
  EXPECT_EQ(engine_->Health().cleanup_failures, 0u);
  // Even the reserve has its end; the store goes on once there is room.
  kv_.set_space(SimKv::Space::kNone);
  EXPECT_THAT(Remove("default/run", true), full);
  kv_.set_space(SimKv::Space::kRoom);
  EXPECT_THAT(Remove("default/run", true), IsOk());
  EXPECT_THAT(PutFile("default/new"), IsOk());
}

TEST_F(EngineTest, APutOffTaskThatFailsHoldsUpNoOther) {
  // Of the first tree a file is freed before the damage is met: that must be taken back.
  ASSERT_THAT(PutFile("default/a/file"), IsOk());
  ASSERT_THAT(Save("default/a/step-1"), IsOk());
  ASSERT_THAT(PutFile("default/b/file"), IsOk());
  Settle();
  const auto checkpoint = InodeId(Stat("default/a/step-1")->entry().inode());
  const std::string key = CheckpointKey(checkpoint);
  const std::string sound = kv_.family(kFamilyCheckpoint).find(key)->second;
  kv_.Overwrite(kFamilyCheckpoint, key, "\xff damaged");
  ASSERT_THAT(Remove("default/a", true), IsOk());
  ASSERT_THAT(Remove("default/b", true), IsOk());
  Settle();
  EXPECT_EQ(kv_.family(kFamilyExtent).size(), 2u);
  EXPECT_EQ(Counters().files, 2u);
  EXPECT_EQ(Counters().cleanup_backlog, 1u);
  EXPECT_EQ(engine_->Health().cleanup_failures, 1u);
  EXPECT_EQ(engine_->Health().cleanup_set_aside, 1u);
  EXPECT_THAT(engine_->Health().warnings, ElementsAre(HasSubstr("put-off work have failed")));
  // What comes later is done, and the failed one not tried again before a restart.
  ASSERT_THAT(PutFile("default/c"), IsOk());
  ASSERT_THAT(Remove("default/c"), IsOk());
  Settle();
  EXPECT_EQ(Counters().cleanup_backlog, 1u);
  EXPECT_EQ(engine_->Health().cleanup_failures, 1u);
  kv_.Overwrite(kFamilyCheckpoint, key, sound);
  Restart();
  Settle();
  EXPECT_EQ(Counters().cleanup_backlog, 0u);
  EXPECT_EQ(Counters().files, 0u);
  EXPECT_THAT(engine_->Health().warnings, IsEmpty());
}

// What stands for the tombstones there is a record that no reader would get past.
TEST_F(EngineTest, QueuesAreReadFromTheirOldestEntryOn) {
  ASSERT_THAT(PutFile("default/a"), IsOk());
  ASSERT_THAT(Remove("default/a"), IsOk());
  ReclaimAll();
  for (const ColumnFamily queue : {kFamilyCleanup, kFamilyPendingFree}) {
    ASSERT_THAT(kv_.family(queue), IsEmpty());
    kv_.Overwrite(queue, SequenceKey(1), "\xff damaged");
  }
  for (int round = 0; round < 2; ++round) {
    ASSERT_THAT(PutFile("default/b"), IsOk());
    ASSERT_THAT(Remove("default/b"), IsOk());
    EXPECT_THAT(ReclaimAll(), ::testing::SizeIs(1));
    EXPECT_EQ(Counters().cleanup_backlog, 0u);
    EXPECT_EQ(engine_->Health().cleanup_failures, 0u);
    Restart();
  }
}

Task<void> StopCommitter(GroupCommitter& committer) {
  committer.Stop();
  co_return;
}

TEST_F(EngineTest, AQueueThatIsTooLongTurnsCommandsAway) {
  SimKv kv(kMetaFamilyCount);
  GroupCommitter committer(kv, runner_, [](const Effects&) {});
  disk::Command small;
  small.mutable_expire_lease()->set_lease(1);
  std::vector<StoredResult<absl::StatusOr<std::string>>> results(GroupCommitter::kMaxQueued + 1);
  for (auto& result : results) executor_.Spawn(StoreResult(committer.Execute(small), &result));
  // Nothing takes them yet.
  executor_.RunUntilIdle();
  const auto answered = [&] {
    return std::count_if(results.begin(), results.end(), [](auto& result) { return result.done; });
  };
  EXPECT_EQ(answered(), 1);
  executor_.Spawn(committer.Run());
  executor_.RunUntilIdle();
  EXPECT_EQ(answered(), static_cast<ptrdiff_t>(results.size()));
  int turned_away = 0;
  for (auto& result : results) {
    const absl::Status status = result.Take().status();
    if (status.ok()) continue;
    EXPECT_THAT(status, Fails(kUnavailable, "too many commands waiting; try again"));
    ++turned_away;
  }
  EXPECT_EQ(turned_away, 1);
  executor_.Run(StopCommitter(committer));
  executor_.RunUntilIdle();
}

// Runs nothing before it is opened.
class HeldRunner final : public BlockingRunner {
 public:
  Task<void> Run(absl::AnyInvocable<void()> function) override {
    co_await open_;
    function();
  }
  Task<void> Open() {
    open_.Set();
    co_return;
  }

 private:
  Event open_;
};

class HeldQueriesTest : public MetaTest {
 protected:
  HeldQueriesTest() {
    StopEngine();
    engine_ =
        std::make_unique<MetaEngine>(kv_, runner_, reads_, walks_, executor_.clock(), options_);
    EXPECT_THAT(executor_.Run(engine_->Start("test-cluster")), IsOk());
  }
  ~HeldQueriesTest() override { StopEngine(); }
  // Asks so often, at once, and says how many were turned away.
  template <class Request>
  ptrdiff_t TurnedAway(size_t asked, const Request& request, HeldRunner& runner) {
    std::vector<StoredResult<absl::StatusOr<QueryReply<Request>>>> results(asked);
    for (auto& result : results) {
      executor_.Spawn(StoreResult(engine_->Query(request), &result));
    }
    executor_.RunUntilIdle();
    const ptrdiff_t answered = std::count_if(results.begin(), results.end(),
                                             [](const auto& result) { return result.done; });
    executor_.Run(runner.Open());
    executor_.RunUntilIdle();
    ptrdiff_t turned_away = 0;
    for (auto& result : results) {
      const absl::Status status = result.Take().status();
      if (status.ok()) continue;
      EXPECT_THAT(status, Fails(kUnavailable, "too many queries waiting; try again"));
      ++turned_away;
    }
    EXPECT_EQ(answered, turned_away);
    return turned_away;
  }
  HeldRunner reads_, walks_;
};

TEST_F(HeldQueriesTest, TooManyAreTurnedAway) {
  wire::StatRequest stat;
  stat.set_path("default");
  EXPECT_EQ(TurnedAway(MetaEngine::kMaxQueries + 2, stat, reads_), 2);
  wire::ListCheckpointsRequest list;
  list.set_recursive(true);
  EXPECT_EQ(TurnedAway(MetaEngine::kMaxWalks + 3, list, walks_), 3);
  EXPECT_THAT(Stat("default"), IsOk());
}

TEST_F(HeldQueriesTest, WalksHoldUpNoOtherQueries) {
  executor_.Run(reads_.Open());
  StoredResult<absl::StatusOr<wire::ListCheckpointsReply>> list;
  wire::ListCheckpointsRequest request;
  executor_.Spawn(StoreResult(engine_->Query(request), &list));
  executor_.RunUntilIdle();
  EXPECT_THAT(Stat("default"), IsOk());
  EXPECT_EQ(Counters().open_attempts, 0u);
  EXPECT_THAT(NextReclaim(), IsEmpty());
  EXPECT_FALSE(list.done);
  executor_.Run(walks_.Open());
  executor_.RunUntilIdle();
  EXPECT_THAT(list.Take(), IsOk());
}

TEST_F(EngineTest, AWaitingCommitIsAskedAgainWithoutAWrite) {
  ASSERT_THAT(Begin("default/run/s1", {.world = 2}), IsOk());
  Settle();
  const int64_t before = kv_.synced_writes();
  EXPECT_EQ(Do(CommitRequest("default/run/s1", 1), {9, 1})->info().state(), wire::WRITING);
  EXPECT_EQ(kv_.synced_writes(), before);
  for (uint32_t rank : {1u, 0u}) {
    if (rank == 1) {
      ASSERT_THAT(Begin("default/run/s1", {.world = 2, .rank = 1}), IsOk());
    }
    ASSERT_THAT(Done("default/run/s1", 1, rank), IsOk());
  }
  // The same request id, since its first answer was of no consequence.
  EXPECT_EQ(Do(CommitRequest("default/run/s1", 1), {9, 1})->info().state(), wire::COMMITTED);
}

TEST_F(EngineTest, StopAnswersWhatItAccepted) {
  StoredResult<std::vector<absl::StatusOr<wire::MakeDirectoryReply>>> result;
  executor_.Spawn(StoreResult(MakeMany(*engine_, 100), &result));
  executor_.Run(engine_->Stop());
  executor_.RunUntilIdle();
  for (const auto& reply : result.Take()) {
    EXPECT_TRUE(reply.ok() || absl::IsUnavailable(reply.status())) << reply.status();
  }
  EXPECT_THAT(MakeDirectory("default/d"), Fails(kUnavailable, "shutting down"));
}

class StartTest : public MetaTest {
 protected:
  absl::Status StartAs(const std::string& cluster_id) {
    StopEngine();
    engine_ =
        std::make_unique<MetaEngine>(kv_, runner_, runner_, runner_, executor_.clock(), options_);
    return executor_.Run(engine_->Start(cluster_id));
  }
};

TEST_F(StartTest, RefusesAnotherCluster) {
  EXPECT_THAT(StartAs("other"),
              Fails(kPrecondition, "belongs to cluster test-cluster, not to other"));
  EXPECT_THAT(StartAs(""), IsOk());
  EXPECT_EQ(engine_->cluster_id(), "test-cluster");
}

TEST_F(StartTest, RefusesAnotherFormat) {
  disk::SystemRecord system;
  system.set_format_version(2);
  system.set_cluster_id("test-cluster");
  kv_.Overwrite(kFamilySystem, SystemKey(), SerializeRecord(system));
  EXPECT_THAT(StartAs("test-cluster"),
              Fails(kPrecondition, "has format version 2; this build reads version 1"));
}

TEST_F(StartTest, RefusesAStoreWithoutItsHead) {
  kv_.Overwrite(kFamilySystem, SystemKey(), "\xff");
  EXPECT_THAT(StartAs("test-cluster"),
              Fails(absl::StatusCode::kDataLoss, "family \"system\" is damaged"));
}

}  // namespace
}  // namespace cairn
