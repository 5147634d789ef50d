// A target's promises one by one, on a simulated disk and store: write, seal, read, discard, free,
// and what every kind of failure turns into. The random test with crashes is target_model_test.cc.
#include "server/chunk/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "common/task/when_all.h"
#include "server/disk/disk_error.h"
#include "tests/sim/seeds.h"
#include "tests/unit/chunk/target_world.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TargetTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(w_.Open().ok()); }
  void TearDown() override {
    if (w_.target == nullptr) return;
    EXPECT_TRUE(w_.SpaceAddsUp());
  }
  static std::string Message(const absl::Status& status) { return std::string(status.message()); }
  TargetWorld w_;
};

TEST_F(TargetTest, SealedFragmentReadsBackAndSurvivesCrash) {
  ASSERT_TRUE(w_.Write(10, 300'000).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(10)}).ok());
  EXPECT_TRUE(w_.ReadAll(10, 300'000).ok());
  for (uint64_t seed = 0; seed < 20; ++seed) {
    ASSERT_TRUE(w_.CrashAndOpen(seed).ok());
    EXPECT_TRUE(w_.ReadAll(10, 300'000).ok()) << "crash seed " << seed;
  }
}

TEST_F(TargetTest, UnsealedFragmentIsAbsent) {
  ASSERT_TRUE(w_.Write(10, 5000).ok());
  EXPECT_EQ(w_.ReadAll(10, 5000).code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(w_.CrashAndOpen(1).ok());
  EXPECT_EQ(w_.ReadAll(10, 5000).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(w_.target->usage().free, w_.target->usage().capacity);
  EXPECT_THAT(*w_.Seal({Stripes(10)}), ElementsAre(StripeId(10)));
}

TEST_F(TargetTest, AnyRangeReadsBackWithItsPieceChecksums) {
  const uint64_t length = 3 * kBlockBytes + 777;
  ASSERT_TRUE(w_.Write(1, length).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  const std::vector<uint64_t> edges = {0,
                                       1,
                                       4095,
                                       4096,
                                       kBlockBytes - 1,
                                       kBlockBytes,
                                       kBlockBytes + 1,
                                       2 * kBlockBytes,
                                       3 * kBlockBytes,
                                       3 * kBlockBytes + 1,
                                       length - 1,
                                       length};
  for (uint64_t from : edges) {
    for (uint64_t to : edges) {
      if (from >= to) continue;
      EXPECT_TRUE(w_.Read(1, from, to - from, length).ok()) << from << " to " << to;
    }
  }
}

TEST_F(TargetTest, ReadTouchesOnlyItsBlocks) {
  ASSERT_TRUE(w_.Write(1, 4 * kMiB).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  const uint64_t before = w_.disk.bytes_read();
  ASSERT_TRUE(w_.Read(1, kBlockBytes + 10, 20, 4 * kMiB).ok());
  EXPECT_EQ(w_.disk.bytes_read() - before, kBlockBytes);
}

TEST_F(TargetTest, ReadBeyondTheEndIsOutOfRange) {
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  const TestSlab slab(kMiB);
  const auto read = [&](uint64_t offset, uint64_t length) {
    return w_.executor.Run(w_.target->Read(Key(1), offset, length, slab.bytes())).status().code();
  };
  EXPECT_EQ(read(5000, 1), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(read(0, 5001), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(read(1, UINT64_MAX), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(read(UINT64_MAX, 1), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(read(0, 0), absl::StatusCode::kInvalidArgument);
}

TEST_F(TargetTest, SlabThatIsTooSmallIsRefused) {
  ASSERT_TRUE(w_.Write(1, 2 * kBlockBytes).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  const TestSlab slab(kBlockBytes);
  EXPECT_EQ(w_.executor.Run(w_.target->Read(Key(1), 1, kBlockBytes, slab.bytes())).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(w_.executor.Run(w_.target->Read(Key(1), 0, kBlockBytes, slab.bytes())).ok());
}

// --- the same again

TEST_F(TargetTest, SameFragmentAgainIsOkPendingOrSealed) {
  ASSERT_TRUE(w_.Write(1, 10'000).ok());
  ASSERT_TRUE(w_.Write(1, 10'000).ok());
  EXPECT_EQ(w_.target->usage().pending, ExtentBytes(10'000));
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  ASSERT_TRUE(w_.Write(1, 10'000).ok());
  EXPECT_EQ(w_.target->usage().pending, 0u);
  EXPECT_TRUE(w_.SealAll({Stripes(1)}).ok());
  ASSERT_TRUE(w_.CrashAndOpen(1).ok());
  EXPECT_TRUE(w_.Write(1, 10'000).ok());
  EXPECT_TRUE(w_.SealAll({Stripes(1)}).ok());
  EXPECT_EQ(w_.target->usage().used, ExtentBytes(10'000));
}

TEST_F(TargetTest, OtherContentUnderTheSameKeyIsRefused) {
  ASSERT_TRUE(w_.Write(1, 10'000).ok());
  EXPECT_EQ(w_.Write(1, 10'001).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(w_.Write(1, 10'000, 2).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  EXPECT_EQ(w_.Write(1, 10'001).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(w_.ReadAll(1, 10'000).ok());
  EXPECT_EQ(w_.target->usage().pending, 0u);
}

Task<std::vector<absl::Status>> WriteTwiceAtOnce(Target& target) {
  std::vector<Task<absl::Status>> writes;
  writes.push_back(TargetWorld::WriteTask(target, 1, 100'000, 1));
  writes.push_back(TargetWorld::WriteTask(target, 1, 100'000, 1));
  std::vector<absl::Status> results = co_await WhenAll(std::move(writes));
  co_return results;
}

TEST_F(TargetTest, SecondWriterOfAFragmentWaitsForTheFirst) {
  const int64_t before = w_.disk.writes();
  for (const absl::Status& status : w_.executor.Run(WriteTwiceAtOnce(*w_.target)))
    EXPECT_TRUE(status.ok());
  EXPECT_EQ(w_.disk.writes() - before, 1);
}

TEST_F(TargetTest, SecondWriterWritesWhenTheFirstFailed) {
  w_.disk.FailNext(SimDisk::Kind::kWrite, absl::ResourceExhaustedError("planted"));
  const auto results = w_.executor.Run(WriteTwiceAtOnce(*w_.target));
  EXPECT_NE(results[0].ok(), results[1].ok());
  EXPECT_TRUE(w_.SealAll({Stripes(1)}).ok());
  EXPECT_TRUE(w_.ReadAll(1, 100'000).ok());
}

// --- seals

TEST_F(TargetTest, SealOfManyStripesCostsOneFlushAndOneBatch) {
  for (uint64_t stripe = 0; stripe < 500; ++stripe) ASSERT_TRUE(w_.Write(100 + stripe, 5000).ok());
  const int64_t flushes = w_.disk.flushes();
  const int64_t synced = w_.store.synced_writes();
  ASSERT_TRUE(w_.SealAll({Stripes(100, 250, 2), Stripes(101, 250, 2)}).ok());
  EXPECT_EQ(w_.disk.flushes() - flushes, 1);
  EXPECT_EQ(w_.store.synced_writes() - synced, 1);
  EXPECT_EQ(w_.target->usage().fragments, 500u);
  for (uint64_t stripe = 0; stripe < 500; ++stripe)
    EXPECT_TRUE(w_.ReadAll(100 + stripe, 5000).ok());
}

Task<std::vector<absl::StatusOr<std::vector<StripeId>>>> SealEachAtOnce(Target& target,
                                                                        uint64_t count) {
  std::vector<Task<absl::StatusOr<std::vector<StripeId>>>> seals;
  for (uint64_t stripe = 0; stripe < count; ++stripe) {
    std::vector<FragmentRun> runs(1, Stripes(stripe));
    seals.push_back(target.Seal(LeaseId(1), std::move(runs)));
  }
  std::vector<absl::StatusOr<std::vector<StripeId>>> results = co_await WhenAll(std::move(seals));
  co_return results;
}

TEST_F(TargetTest, SealsThatWaitTogetherShareOneFlush) {
  for (uint64_t stripe = 0; stripe < 50; ++stripe) ASSERT_TRUE(w_.Write(stripe, 5000).ok());
  const int64_t flushes = w_.disk.flushes();
  const int64_t synced = w_.store.synced_writes();
  for (const auto& result : w_.executor.Run(SealEachAtOnce(*w_.target, 50))) {
    ASSERT_TRUE(result.ok());
    EXPECT_THAT(*result, IsEmpty());
  }
  // Those that came before the first flush started, and the rest.
  EXPECT_LE(w_.disk.flushes() - flushes, 2);
  EXPECT_LE(w_.store.synced_writes() - synced, 2);
  EXPECT_EQ(w_.target->counters().flushes, w_.disk.flushes() - flushes);
}

TEST_F(TargetTest, MissingStripesAreNamedAndNothingIsSealed) {
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  ASSERT_TRUE(w_.Write(3, 5000).ok());
  EXPECT_THAT(*w_.Seal({Stripes(1, 4)}), ElementsAre(StripeId(2), StripeId(4)));
  EXPECT_EQ(w_.ReadAll(1, 5000).code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(w_.Write(2, 5000).ok());
  ASSERT_TRUE(w_.Write(4, 5000).ok());
  EXPECT_TRUE(w_.SealAll({Stripes(1, 4)}).ok());
}

TEST_F(TargetTest, AtMostAThousandMissingStripesAreNamed) {
  EXPECT_EQ(w_.Seal({Stripes(1, 5000)})->size(), 1000u);
}

TEST_F(TargetTest, FragmentOfAnotherLeaseIsMissing) {
  ASSERT_TRUE(w_.Write(1, 5000, 8).ok());
  EXPECT_THAT(*w_.Seal({Stripes(1)}, 9), ElementsAre(StripeId(1)));
  EXPECT_TRUE(w_.SealAll({Stripes(1)}, 8).ok());
}

TEST_F(TargetTest, StripeNamedTwiceInOneSealIsSealedOnce) {
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  EXPECT_TRUE(w_.SealAll({Stripes(1), Stripes(1)}).ok());
  EXPECT_EQ(w_.target->usage().fragments, 1u);
}

TEST_F(TargetTest, LostDeviceWritesAreNoticedByTheReader) {
  // What a skipped flush looks like after a power cut: the record is durable and the bytes are not.
  w_.disk.DropEverything(true);
  ASSERT_TRUE(w_.Write(1, 200'000).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  ASSERT_TRUE(w_.CrashAndOpen(1).ok());
  EXPECT_EQ(w_.ReadAll(1, 200'000).code(), absl::StatusCode::kDataLoss);
}

// --- discard, drop, free

TEST_F(TargetTest, DiscardForgetsWhatIsNotSealed) {
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  ASSERT_TRUE(w_.Write(2, 5000).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  w_.target->Discard({Stripes(0, 10)});
  EXPECT_TRUE(w_.ReadAll(1, 5000).ok());
  EXPECT_EQ(w_.target->usage().pending, 0u);
  EXPECT_THAT(*w_.Seal({Stripes(2)}), ElementsAre(StripeId(2)));
}

TEST_F(TargetTest, LeaseThatEndsTakesItsPendingFragmentsAlong) {
  ASSERT_TRUE(w_.Write(1, 5000, 8).ok());
  ASSERT_TRUE(w_.Write(2, 5000, 8).ok());
  ASSERT_TRUE(w_.Write(3, 5000, 9).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1)}, 8).ok());
  w_.target->DropLease(LeaseId(8));
  w_.target->DropLease(LeaseId(77));
  EXPECT_EQ(w_.target->usage().pending_fragments, 1u);
  EXPECT_TRUE(w_.ReadAll(1, 5000).ok());
  EXPECT_TRUE(w_.SealAll({Stripes(3)}, 9).ok());
}

Task<void> DiscardLater(Target& target, std::vector<FragmentRun> runs) {
  target.Discard(std::move(runs));
  co_return;
}
Task<absl::Status> WriteAndDiscard(Target& target) {
  Scope scope;
  std::vector<FragmentRun> runs(1, Stripes(1));
  scope.Spawn(DiscardLater(target, std::move(runs)));
  const absl::Status written = co_await TargetWorld::WriteTask(target, 1, 100'000, 1);
  co_await scope.Join();
  co_return written;
}

TEST(TargetRaces, FragmentDiscardedWhileBeingWrittenIsFreedWhenTheDiskIsDone) {
  int aborted = 0;
  for (uint64_t seed = 1; seed < SeedsHere(30); ++seed) {
    TargetWorld w(seed);
    ASSERT_TRUE(w.Open().ok());
    const absl::Status written = w.executor.Run(WriteAndDiscard(*w.target));
    aborted += written.code() == absl::StatusCode::kAborted ? 1 : 0;
    EXPECT_TRUE(written.ok() || written.code() == absl::StatusCode::kAborted) << written;
    w.target->Discard({Stripes(1)});
    EXPECT_EQ(w.target->usage().free, w.target->usage().capacity) << "seed " << seed;
    EXPECT_TRUE(w.SpaceAddsUp());
  }
  if (!kSanitized) {
    EXPECT_GT(aborted, 5);
  }
}

TEST_F(TargetTest, FreedSpaceComesBackAndStaysFreeAfterACrash) {
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  ASSERT_TRUE(w_.Write(2, 5000).ok());
  ASSERT_TRUE(w_.Write(3, 5000).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1, 2)}).ok());
  ASSERT_TRUE(w_.Free({Stripes(1), Stripes(3), Stripes(1), Stripes(99)}).ok());
  EXPECT_EQ(w_.ReadAll(1, 5000).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(w_.ReadAll(2, 5000).ok());
  EXPECT_EQ(w_.target->usage().used, ExtentBytes(5000));
  EXPECT_EQ(w_.target->usage().pending, 0u);
  ASSERT_TRUE(w_.CrashAndOpen(3).ok());
  EXPECT_EQ(w_.target->usage().used, ExtentBytes(5000));
  EXPECT_TRUE(w_.ReadAll(2, 5000).ok());
}

Task<absl::StatusOr<Target::ReadResult>> ReadInto(Target& target, uint64_t stripe, uint64_t length,
                                                  MutableBytes slab) {
  absl::StatusOr<Target::ReadResult> read = co_await target.Read(Key(stripe), 0, length, slab);
  co_return read;
}
Task<void> StoreRead(Target* target, uint64_t length, const TestSlab* slab, absl::Status* result) {
  const absl::StatusOr<Target::ReadResult> read =
      co_await ReadInto(*target, 1, length, slab->bytes());
  *result = read.ok() ? TargetWorld::CheckRead(*read, 1, 0, length, length) : read.status();
}
// Frees the fragment and fills the device, so that its space is reused the moment it can be.
Task<absl::Status> ReadWhileFreedAndOverwritten(Target& target, uint64_t length,
                                                const TestSlab& slab) {
  Scope scope;
  absl::Status read;
  scope.Spawn(StoreRead(&target, length, &slab, &read));
  std::vector<FragmentRun> runs(1, Stripes(1));
  const absl::Status freed = co_await target.Free(std::move(runs));
  CAIRN_CHECK(freed.ok());
  for (uint64_t stripe = 1000; stripe < 1010; ++stripe) {
    const absl::Status written = co_await TargetWorld::WriteTask(target, stripe, length, 2);
    if (!written.ok()) break;
  }
  co_await scope.Join();
  co_return read;
}

TEST(TargetRaces, SpaceOfAFragmentBeingReadIsNotReused) {
  constexpr uint64_t kLength = 6 * kMiB;  // two fit a device of 16 MiB
  int read_while_freed = 0;
  for (uint64_t seed = 1; seed < SeedsHere(60); ++seed) {
    TargetWorld w(seed);
    ASSERT_TRUE(w.Open().ok());
    ASSERT_TRUE(w.Write(1, kLength).ok());
    ASSERT_TRUE(w.SealAll({Stripes(1)}).ok());
    const TestSlab slab(kLength);
    const absl::Status read =
        w.executor.Run(ReadWhileFreedAndOverwritten(*w.target, kLength, slab));
    EXPECT_TRUE(read.ok() || read.code() == absl::StatusCode::kNotFound)
        << read << ", seed " << seed;
    read_while_freed += read.ok() ? 1 : 0;
    EXPECT_TRUE(w.SpaceAddsUp());
    EXPECT_EQ(w.target->usage().held, 0u);
  }
  if (!kSanitized) {
    EXPECT_GT(read_while_freed, 5);
  }
}

TEST_F(TargetTest, ListIsPagedInTheOrderOfKeysAndEndsWhereAsked) {
  for (uint64_t stripe : {30, 10, 20, 40}) ASSERT_TRUE(w_.Write(stripe, 5000).ok());
  for (uint64_t stripe : {30, 10, 20, 40}) ASSERT_TRUE(w_.SealAll({Stripes(stripe)}).ok());
  const auto list = [&](uint64_t from, uint64_t end, size_t limit) {
    return *w_.executor.Run(w_.target->ListFragments(Key(from), StripeId(end), limit));
  };
  EXPECT_THAT(list(0, 1000, 2), ElementsAre(Key(10), Key(20)));
  EXPECT_THAT(list(21, 1000, 2), ElementsAre(Key(30), Key(40)));
  EXPECT_THAT(list(10, 40, 10), ElementsAre(Key(10), Key(20), Key(30)));
  EXPECT_THAT(list(11, 20, 10), IsEmpty());
}

// --- failures

TEST_F(TargetTest, FullTargetSaysHowFullItIs) {
  uint64_t stripe = 0;
  absl::Status written;
  while (written.ok()) written = w_.Write(stripe++, 1 * kMiB);
  EXPECT_EQ(written.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(written), HasSubstr("0 of 14680064 are free"));
  EXPECT_EQ(stripe, 15u);
  w_.target->Discard({Stripes(3)});
  EXPECT_TRUE(w_.Write(100, 1 * kMiB).ok());
}

TEST_F(TargetTest, RoomAndPendingLimitAreKnownBeforeAWrite) {
  EXPECT_EQ(w_.target->CheckRoom(Key(1), 14 * kMiB), absl::OkStatus());
  ASSERT_TRUE(w_.Write(1, 8 * kMiB).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(w_.target->CheckRoom(Key(2), 8 * kMiB)));
  EXPECT_EQ(w_.target->CheckRoom(Key(2), 6 * kMiB), absl::OkStatus());
  // Its reply was lost, and it is sent again.
  EXPECT_EQ(w_.target->CheckRoom(Key(1), 8 * kMiB), absl::OkStatus());
  EXPECT_FALSE(w_.target->WantsSeal(Key(2)));
}

TEST_F(TargetTest, MediaErrorOnWriteTakesThePlaceOutOfUseAndAnother) {
  w_.disk.FailNext(SimDisk::Kind::kWrite, absl::DataLossError("planted"));
  EXPECT_EQ(w_.Write(1, 5000), absl::OkStatus());
  EXPECT_EQ(w_.disk.faults_fired(), 1);
  EXPECT_EQ(w_.target->usage().bad, ExtentBytes(5000));
  EXPECT_EQ(w_.target->counters().media_errors, 1);
  EXPECT_TRUE(w_.SealAll({Stripes(1)}).ok());
  EXPECT_TRUE(w_.ReadAll(1, 5000).ok());
}

// Not DATA_LOSS, which a client takes for a damaged transfer and sends to the same target again.
TEST_F(TargetTest, DeviceThatCannotWriteAnywhereRefusesTheFragment) {
  w_.disk.FailEvery(SimDisk::Kind::kWrite, absl::DataLossError("planted"));
  const absl::Status written = w_.Write(1, 5000);
  EXPECT_EQ(written.code(), absl::StatusCode::kFailedPrecondition) << written;
  EXPECT_THAT(Message(written), HasSubstr("target 7 cannot write this fragment: planted"));
  EXPECT_EQ(w_.target->usage().bad, 3 * ExtentBytes(5000));
  EXPECT_EQ(w_.target->usage().pending, 0u);
  EXPECT_TRUE(w_.target->failure().ok());
}

TEST_F(TargetTest, DeviceThatIsGoneFailsTheTarget) {
  for (const int error : {ENODEV, ENXIO, EROFS}) {
    ASSERT_TRUE(w_.CrashAndOpen(1).ok());
    w_.disk.FailNext(SimDisk::Kind::kWrite, DiskError(error, "writing"));
    EXPECT_EQ(w_.Write(1, 5000).code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_FALSE(w_.target->failure().ok());
    EXPECT_EQ(w_.Write(2, 5000).code(), absl::StatusCode::kFailedPrecondition);
  }
  ASSERT_TRUE(w_.CrashAndOpen(1).ok());
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  w_.disk.FailNext(SimDisk::Kind::kRead, DiskError(ENODEV, "reading"));
  EXPECT_EQ(w_.ReadAll(1, 5000).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(w_.target->failure().ok());
}

TEST_F(TargetTest, FirstFailedFlushFailsTheTargetForGood) {
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  ASSERT_TRUE(w_.Write(2, 5000).ok());
  w_.disk.FailNext(SimDisk::Kind::kFlush, absl::DataLossError("planted flush error"));
  const auto sealed = w_.Seal({Stripes(2)});
  EXPECT_EQ(sealed.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(sealed.status()), HasSubstr("planted flush error"));
  const int64_t flushes = w_.disk.flushes();
  EXPECT_EQ(w_.Seal({Stripes(2)}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(w_.Write(3, 5000).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(w_.ReadAll(1, 5000).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(w_.Free({Stripes(1)}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(w_.executor.Run(w_.target->ListFragments(Key(0), StripeId(9), 1)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(w_.disk.flushes(), flushes) << "a failed flush was tried again";
  EXPECT_FALSE(w_.target->failure().ok());
  ASSERT_TRUE(w_.CrashAndOpen(1).ok());
  EXPECT_TRUE(w_.ReadAll(1, 5000).ok());
  EXPECT_EQ(w_.ReadAll(2, 5000).code(), absl::StatusCode::kNotFound);
}

TEST_F(TargetTest, FailedIndexWriteFailsTheTargetForGood) {
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  w_.store.FailWriteAfter(0, absl::UnavailableError("planted index error"));
  EXPECT_THAT(Message(w_.Seal({Stripes(1)}).status()), HasSubstr("planted index error"));
  EXPECT_EQ(w_.Write(2, 5000).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(w_.CrashAndOpen(1).ok());
  // The batch may have reached the log; then its bytes are there too.
  const absl::Status read = w_.ReadAll(1, 5000);
  EXPECT_TRUE(read.ok() || read.code() == absl::StatusCode::kNotFound) << read;
}

TEST_F(TargetTest, IndexWithoutSpaceFailsTheSealAndNothingElse) {
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  w_.store.RefuseNextWrite(absl::ResourceExhaustedError("planted: full"));
  const auto sealed = w_.Seal({Stripes(1)});
  EXPECT_EQ(sealed.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(sealed.status()), HasSubstr("target 7: planted: full"));
  EXPECT_TRUE(w_.target->failure().ok());
  EXPECT_EQ(w_.ReadAll(1, 5000).code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  EXPECT_TRUE(w_.ReadAll(1, 5000).ok());
}

TEST_F(TargetTest, FailedSealFailsAllThatSharedIt) {
  for (uint64_t stripe = 0; stripe < 10; ++stripe) ASSERT_TRUE(w_.Write(stripe, 5000).ok());
  w_.disk.FailNext(SimDisk::Kind::kFlush, absl::DataLossError("planted"));
  for (const auto& result : w_.executor.Run(SealEachAtOnce(*w_.target, 10))) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST_F(TargetTest, BitRotInAPartialBlockIsFoundHereInAWholeOneByTheClient) {
  const uint64_t length = 2 * kBlockBytes;
  ASSERT_TRUE(w_.Write(5, length).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(5)}).ok());
  w_.disk.FlipBit(kReservedBytes + kBlockBytes + 100, 3);
  EXPECT_TRUE(w_.Read(5, 0, kBlockBytes, length).ok());
  const absl::Status partial = w_.Read(5, kBlockBytes + 1, 10, length);
  EXPECT_EQ(partial.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(partial), HasSubstr("target 7, stripe 5, fragment 0, block 1"));
  EXPECT_EQ(w_.target->counters().corrupt_blocks, 1);
  EXPECT_EQ(w_.Read(5, 0, length, length).code(), absl::StatusCode::kDataLoss);
}

TEST_F(TargetTest, MisdirectedWriteIsFound) {
  w_.disk.MisdirectNextWrite(8 * kMiB);
  ASSERT_TRUE(w_.Write(5, 5000).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(5)}).ok());
  EXPECT_EQ(w_.Read(5, 0, 100, 5000).code(), absl::StatusCode::kDataLoss);
}

TEST_F(TargetTest, MediaErrorOnReadNamesTheStripe) {
  ASSERT_TRUE(w_.Write(5, 5000).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(5)}).ok());
  w_.disk.FailNext(SimDisk::Kind::kRead, absl::DataLossError("planted"));
  const absl::Status read = w_.ReadAll(5, 5000);
  EXPECT_EQ(read.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(read), HasSubstr("target 7, stripe 5"));
  EXPECT_EQ(w_.target->counters().media_errors, 1);
  EXPECT_TRUE(w_.ReadAll(5, 5000).ok());
}

TEST_F(TargetTest, MalformedWritesAreRefused) {
  const TestSlab slab(8192);
  const auto write = [&](size_t data, uint64_t length, size_t crcs) {
    return w_.executor
        .Run(w_.target->Write(Key(1), LeaseId(1), slab.bytes().first(data), length,
                              std::vector<uint32_t>(crcs)))
        .code();
  };
  EXPECT_EQ(write(4096, 0, 0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(write(4096, 5000, 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(write(8192, 5000, 2), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(write(8192, uint64_t{1} << 33, 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(w_.target->usage().pending, 0u);
}

}  // namespace
}  // namespace cairn
