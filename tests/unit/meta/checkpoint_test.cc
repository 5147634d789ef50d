// Checkpoints through the engine: who may begin and join, what shards are refused, what a commit
// does, who is fenced.
#include <algorithm>

#include "server/meta/extents.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kPath[] = "default/run/step-7";

class CheckpointTest : public MetaTest {
 protected:
  absl::Status Abort(const std::string& path, uint64_t attempt, const std::string& reason = "") {
    wire::AbortCheckpointRequest request;
    request.set_path(path);
    request.set_attempt(attempt);
    request.set_reason(reason);
    return Do(request).status();
  }
  absl::Status Stage(uint32_t rank, wire::ShardRecord shard, bool more = false,
                     uint64_t attempt = 1) {
    wire::StageShardRequest request;
    request.set_path(kPath);
    request.set_attempt(attempt);
    request.set_rank(rank);
    *request.mutable_shard() = std::move(shard);
    request.set_more_extents_follow(more);
    return Do(request).status();
  }
  // Leases granted just now run out, and the engine has not looked yet.
  void ExpireUnapplied() {
    executor_.RunFor(options_.lease_ttl - absl::Seconds(1));
    executor_.clock().Advance(absl::Seconds(1));
  }
  absl::Status Pin(const std::string& path, bool pinned = true) {
    wire::PinCheckpointRequest request;
    request.set_path(path);
    request.set_pinned(pinned);
    return Do(request).status();
  }
};

TEST_F(CheckpointTest, AppearsWholeWithItsCommit) {
  const auto rank0 = Begin(kPath, {.world = 2, .rank = 0});
  const auto rank1 = Begin(kPath, {.world = 2, .rank = 1});
  ASSERT_THAT(rank0, IsOk());
  ASSERT_THAT(rank1, IsOk());
  EXPECT_EQ(rank0->attempt(), 1u);
  EXPECT_EQ(rank1->attempt(), 1u);
  EXPECT_EQ(rank0->lease(), rank1->lease());
  EXPECT_EQ(rank1->stripes().first(), rank0->stripes().first() + kDefaultGrant);
  EXPECT_EQ(rank0->lease_ttl_ms(), 60'000u);

  EXPECT_EQ(Done(kPath, 1, 0, {Shard("a", 10 << 20, rank0->stripes().first())})->ranks_done(), 1u);
  EXPECT_THAT(Commit(kPath, 1), Fails(kPrecondition, "1 ranks are done, missing: 1."));
  EXPECT_THAT(*List("default/run"), IsEmpty());
  EXPECT_THAT(Stat(StrCat(kPath, "/a")), Fails(kNotFound, ""));
  EXPECT_THAT(Latest("default/run"),
              Fails(kNotFound, "no checkpoint is committed in \"default/run\""));
  EXPECT_EQ(Done(kPath, 1, 1, {Shard("b", 5, rank1->stripes().first())})->ranks_done(), 2u);
  EXPECT_THAT(*List("default/run"), IsEmpty());

  const auto committed = Commit(kPath, 1);
  ASSERT_THAT(committed, IsOk());
  EXPECT_EQ(committed->info().path(), kPath);
  EXPECT_EQ(committed->info().state(), wire::COMMITTED);
  EXPECT_EQ(committed->info().step(), 7u);
  EXPECT_EQ(committed->info().shard_count(), 2u);
  EXPECT_EQ(committed->info().size_bytes(), (10u << 20) + 5);
  EXPECT_EQ(committed->info().world_size(), 2u);
  EXPECT_THAT(*List(kPath), ElementsAre("a", "b"));
  EXPECT_EQ(Stat(StrCat(kPath, "/b"))->entry().size_bytes(), 5u);
  EXPECT_EQ(Latest("default/run")->path(), kPath);
  const auto shown = Show(kPath);
  ASSERT_EQ(shown->shards_size(), 2);
  EXPECT_EQ(shown->shards(1).name(), "b");
  EXPECT_EQ(shown->shards(1).rank(), 1u);
  EXPECT_EQ(shown->shards(1).crc32c(), 0xc0ffeeu);
  Settle();
  const MetaCounters counters = Counters();
  EXPECT_EQ(counters.checkpoints, 1u);
  EXPECT_EQ(counters.files, 2u);
  EXPECT_EQ(counters.open_attempts, 0u);
}

TEST_F(CheckpointTest, CommittingTwiceIsHarmless) {
  ASSERT_THAT(Save(kPath), IsOk());
  const auto again = Commit(kPath, 1);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->info().attempt(), 1u);
  EXPECT_EQ(Counters().checkpoints, 1u);
  // Also when a newer attempt has begun since.
  ASSERT_EQ(Begin(kPath)->attempt(), 2u);
  EXPECT_EQ(Commit(kPath, 1)->info().attempt(), 1u);
  // A rank that lost the reply to its done, and one that says something new.
  EXPECT_THAT(
      Commit(kPath, 3),
      Fails(kPrecondition, "attempt 3 of \"default/run/step-7\" was not begun; the newest is 2"));
}

TEST_F(CheckpointTest, RefusesBadWorldsAndRanks) {
  EXPECT_THAT(Begin(kPath, {.world = 0}), Fails(kInvalid, "the world size is 0"));
  EXPECT_THAT(Begin(kPath, {.world = (1 << 20) + 1}), Fails(kInvalid, "must be 1 to"));
  EXPECT_THAT(Begin(kPath, {.world = 2, .rank = 2}),
              Fails(kInvalid, "rank 2 is not below the world size, 2"));
  EXPECT_THAT(Begin(kPath, {.attempt = UINT64_MAX}), Fails(kInvalid, "too large"));
  EXPECT_THAT(Begin(kPath, {.job = std::string(257, 'j')}), Fails(kInvalid, "over 256 bytes"));
  auto request = BeginRequest(kPath);
  for (int i = 0; i < 65; ++i) (*request.mutable_attributes())[std::to_string(i)] = "x";
  EXPECT_THAT(Do(request), Fails(kInvalid, "over 64 attributes"));
  ASSERT_THAT(Begin(kPath, {.world = 2, .rank = 0, .attempt = 5}), IsOk());
  EXPECT_THAT(Begin(kPath, {.world = 3, .rank = 1, .attempt = 5}),
              Fails(kPrecondition, "has a world size of 2, not 3"));
  EXPECT_THAT(Done(kPath, 5, 2), Fails(kInvalid, "rank 2 is not below the world size, 2"));
  EXPECT_THAT(Done(kPath, 5, 1), Fails(kPrecondition, "rank 1 has not begun"));
  EXPECT_THAT(Done(kPath, 0, 1), Fails(kInvalid, "names no attempt"));
  EXPECT_THAT(Done("default/run/other", 5, 1),
              Fails(kNotFound, "no checkpoint \"default/run/other\" is being written"));
}

TEST_F(CheckpointTest, AttemptZeroJoinsOrStartsTheNext) {
  EXPECT_EQ(Begin(kPath, {.world = 3, .rank = 0})->attempt(), 1u);
  EXPECT_EQ(Begin(kPath, {.world = 3, .rank = 1})->attempt(), 1u);
  // Rank 1 again: it has restarted, and with it the job.
  EXPECT_EQ(Begin(kPath, {.world = 3, .rank = 1})->attempt(), 2u);
  EXPECT_EQ(Begin(kPath, {.world = 3, .rank = 0})->attempt(), 2u);
  // Another world size: another run.
  EXPECT_EQ(Begin(kPath, {.world = 2, .rank = 0})->attempt(), 3u);
  EXPECT_THAT(Done(kPath, 2, 0),
              Fails(kAborted, "attempt 2 of \"default/run/step-7\" was superseded by attempt 3"));
  Settle();
  EXPECT_EQ(Counters().open_attempts, 1u);
}

// The reply to a begin is lost for good, and its rank calls again, under another request id.
TEST_F(CheckpointTest, ARepeatedBeginOfTheSameNonceJoins) {
  const auto rank0 = Begin(kPath, {.world = 3, .rank = 0, .nonce = 70});
  const auto lost = Begin(kPath, {.world = 3, .rank = 1, .nonce = 71});
  const auto again = Begin(kPath, {.world = 3, .rank = 1, .nonce = 71});
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->attempt(), 1u);
  EXPECT_EQ(again->lease(), lost->lease());
  EXPECT_NE(again->stripes().first(), lost->stripes().first());
  EXPECT_THAT(Done(kPath, 1, 0, {Shard("a", 10, rank0->stripes().first())}), IsOk());
  EXPECT_THAT(Done(kPath, 1, 1, {Shard("b", 10, again->stripes().first())}), IsOk());
  EXPECT_EQ(Show(kPath)->info().ranks_done(), 2u);
  // A nonce of another rank is none; one that changes, or is missing, is a rank that restarted.
  EXPECT_EQ(Begin(kPath, {.world = 3, .rank = 2, .nonce = 71})->attempt(), 1u);
  EXPECT_EQ(Begin(kPath, {.world = 3, .rank = 2, .nonce = 72})->attempt(), 2u);
  EXPECT_EQ(Begin(kPath, {.world = 3, .rank = 2})->attempt(), 3u);
  EXPECT_EQ(Begin(kPath, {.world = 3, .rank = 2})->attempt(), 4u);
  EXPECT_EQ(Begin(kPath, {.world = 3, .rank = 2, .nonce = 72})->attempt(), 5u);
}

TEST_F(CheckpointTest, NewerAttemptsFenceOlderOnes) {
  const auto old0 = Begin(kPath, {.world = 1, .attempt = 3});
  ASSERT_THAT(old0, IsOk());
  ASSERT_THAT(Done(kPath, 3, 0, {Shard("old", 10, old0->stripes().first())}), IsOk());
  ASSERT_THAT(Begin(kPath, {.world = 1, .attempt = 7}), IsOk());
  const auto stale =
      Fails(kAborted, "attempt 3 of \"default/run/step-7\" was superseded by attempt 7");
  EXPECT_THAT(Begin(kPath, {.world = 1, .attempt = 3}), stale);
  EXPECT_THAT(Done(kPath, 3, 0), stale);
  EXPECT_THAT(Stage(0, Shard("x", 0, 0), false, 3), stale);
  EXPECT_THAT(Commit(kPath, 3), stale);
  EXPECT_THAT(Abort(kPath, 3), IsOk());
  ASSERT_THAT(Done(kPath, 7, 0), IsOk());
  ASSERT_THAT(Commit(kPath, 7), IsOk());
  EXPECT_THAT(*List(kPath), IsEmpty());
  EXPECT_THAT(Begin(kPath, {.world = 1, .attempt = 7}),
              Fails(kPrecondition, "attempt 7 of \"default/run/step-7\" is committed"));
  EXPECT_THAT(Begin(kPath, {.world = 1, .attempt = 6}), Fails(kAborted, "superseded by attempt 7"));
  EXPECT_EQ(Begin(kPath)->attempt(), 8u);
}

TEST_F(CheckpointTest, BeginningAgainInANamedAttemptGrantsMoreStripes) {
  const auto first = Begin(kPath, {.world = 1, .attempt = 1});
  const auto second = Begin(kPath, {.world = 1, .attempt = 1});
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(second->stripes().first(), first->stripes().first() + first->stripes().count());
  // Both ranges are the rank's, also for a run across them.
  const uint64_t across = second->stripes().first() - 1;
  EXPECT_THAT(Done(kPath, 1, 0, {Shard("a", 8 << 20, across)}), IsOk());
  EXPECT_THAT(Begin(kPath, {.world = 1, .attempt = 1}),
              Fails(kPrecondition, "rank 0 of attempt 1"));
}

TEST_F(CheckpointTest, StripesWantedAreBounded) {
  auto request = BeginRequest(kPath);
  request.set_stripes_wanted(10);
  EXPECT_EQ(Do(request)->stripes().count(), 10u);
  request.set_stripes_wanted(UINT64_MAX);
  EXPECT_EQ(Do(request)->stripes().count(), uint64_t{1} << 24);
}

TEST_F(CheckpointTest, LiveJobsRefuseEachOther) {
  ASSERT_THAT(Begin(kPath, {.world = 2, .rank = 0, .job = "alpha"}), IsOk());
  const auto refused = Fails(
      kPrecondition, "is being written by another job, \"alpha\" (attempt 1), which is alive");
  EXPECT_THAT(Begin(kPath, {.world = 2, .rank = 1, .job = "beta"}), refused);
  EXPECT_THAT(Begin(kPath, {.world = 2, .rank = 1, .attempt = 9, .job = "beta"}), refused);
  // No name, no check; the same name, the same job.
  EXPECT_THAT(Begin(kPath, {.world = 2, .rank = 1, .job = "alpha"}), IsOk());
  // Once nobody renews, the other may go on, even before the expiry is applied.
  ExpireUnapplied();
  const auto taken = Begin(kPath, {.world = 2, .rank = 1, .job = "beta"});
  ASSERT_THAT(taken, IsOk());
  EXPECT_EQ(taken->attempt(), 2u);
}

TEST_F(CheckpointTest, AnExpiredAttemptIsNotJoined) {
  ASSERT_EQ(Begin(kPath, {.world = 2, .rank = 0})->attempt(), 1u);
  ExpireUnapplied();
  EXPECT_EQ(Begin(kPath, {.world = 2, .rank = 1})->attempt(), 2u);
}

TEST_F(CheckpointTest, NamesDoNotCollideWithFilesOrDirectories) {
  ASSERT_THAT(PutFile("default/run/file"), IsOk());
  ASSERT_THAT(MakeDirectory("default/run/dir"), IsOk());
  EXPECT_THAT(Begin("default/run/file"),
              Fails(kExists, "is a file; a checkpoint cannot take its name"));
  EXPECT_THAT(Begin("default/run/dir"),
              Fails(kExists, "is a directory; a checkpoint cannot take its name"));
  ASSERT_THAT(Save(kPath), IsOk());
  EXPECT_THAT(BeginFile(kPath), Fails(kExists, "is a checkpoint; a file cannot take its name"));
  EXPECT_THAT(MakeDirectory(kPath), Fails(kExists, "it is a checkpoint"));
}

TEST_F(CheckpointTest, RefusesShardsThatAreWrong) {
  const auto begun = Begin(kPath, {.world = 2, .rank = 0});
  const auto other = Begin(kPath, {.world = 2, .rank = 1});
  const uint64_t first = begun->stripes().first();
  EXPECT_THAT(Done(kPath, 1, 0, {Shard("../x", 10, first)}), Fails(kInvalid, "\"..\""));
  EXPECT_THAT(Done(kPath, 1, 0, {Shard("", 10, first)}), Fails(kInvalid, "empty"));
  EXPECT_THAT(Done(kPath, 1, 0, {Shard("a", 10, other->stripes().first())}),
              Fails(kInvalid, "were not granted"));
  EXPECT_THAT(Done(kPath, 1, 0, {Shard("a", 10, first), Shard("b", 10, first)}),
              Fails(kInvalid, "used already"));
  EXPECT_THAT(Done(kPath, 1, 0, {Shard("a", 10, first), Shard("a", 10, first + 1)}),
              Fails(kExists, "the shard \"a\" was closed already, by rank 0"));
  EXPECT_THAT(Done(kPath, 1, 0, {Shard("a", 10, first), Shard("a/b", 10, first + 1)}),
              Fails(kExists, "is a shard itself"));
  EXPECT_THAT(Done(kPath, 1, 0, {Shard("a/b", 10, first), Shard("a", 10, first + 1)}),
              Fails(kExists, "directory of other shards"));
  auto shrt = Shard("a", 10, first);
  shrt.set_size_bytes(11);
  EXPECT_THAT(Done(kPath, 1, 0, {shrt}),
              Fails(kInvalid, "is said to have 11 bytes; its extents have 10"));
  // Nothing of all that was kept.
  ASSERT_THAT(Done(kPath, 1, 0, {Shard("a", 10, first), Shard("sub/b", 10, first + 1)}), IsOk());
  EXPECT_THAT(Done(kPath, 1, 1, {Shard("a", 10, other->stripes().first())}),
              Fails(kExists, "the shard \"a\" was closed already, by rank 0"));
  ASSERT_THAT(Done(kPath, 1, 1, {Shard("sub/c", 10, other->stripes().first())}), IsOk());
  ASSERT_THAT(Commit(kPath, 1), IsOk());
  EXPECT_EQ(Stat(StrCat(kPath, "/sub/b"))->entry().size_bytes(), 10u);
  const auto shown = Show(kPath);
  ASSERT_EQ(shown->shards_size(), 3);
  EXPECT_EQ(shown->shards(2).name(), "sub/c");
}

TEST_F(CheckpointTest, StripesAreUsedOnceInWhateverCallsTheyAreTold) {
  const uint64_t first = Begin(kPath)->stripes().first();
  ASSERT_THAT(Stage(0, Shard("a", 10, first)), IsOk());
  EXPECT_THAT(Stage(0, Shard("b", 10, first)), Fails(kInvalid, "used already"));
  EXPECT_THAT(Done(kPath, 1, 0, {Shard("b", 10, first)}), Fails(kInvalid, "used already"));
  ASSERT_THAT(Done(kPath, 1, 0, {Shard("b", 10, first + 1)}), IsOk());
}

TEST_F(CheckpointTest, AShardThatBeginsAgainTakesStripesOfItsOwn) {
  const uint64_t first = Begin(kPath)->stripes().first();
  ASSERT_THAT(Stage(0, Shard("a", 10, first), true), IsOk());
  EXPECT_THAT(Done(kPath, 1, 0, {Shard("a", 20, first)}), Fails(kInvalid, "used already"));
  ASSERT_THAT(Done(kPath, 1, 0, {Shard("a", 20, first + 1)}), IsOk());
}

TEST_F(CheckpointTest, RankDoneTwiceIsHarmlessUnlessItDiffers) {
  const auto begun = Begin(kPath, {.world = 2, .rank = 0});
  const auto shard = Shard("a", 10, begun->stripes().first());
  ASSERT_THAT(Done(kPath, 1, 0, {shard}), IsOk());
  EXPECT_EQ(Done(kPath, 1, 0, {shard})->ranks_done(), 1u);
  EXPECT_THAT(
      Done(kPath, 1, 0, {}),
      Fails(kPrecondition, "rank 0 of \"default/run/step-7\" has said already that it is done"));
  EXPECT_THAT(Stage(0, Shard("b", 0, 0)), Fails(kPrecondition, "has said already"));
}

TEST_F(CheckpointTest, StagesLongShardsInPieces) {
  const auto begun = Begin(kPath);
  const uint64_t first = begun->stripes().first();
  auto piece = [&](uint64_t offset, uint64_t size) {
    wire::ShardRecord shard;
    shard.set_name("long");
    shard.set_size_bytes(size);
    shard.set_crc32c(1);
    *shard.add_extents() = RunOf(offset, 100, first + offset);
    return shard;
  };
  ASSERT_THAT(Stage(0, piece(0, 300), true), IsOk());
  ASSERT_THAT(Stage(0, Shard("other", 10, first + 1000), true), IsOk());
  EXPECT_THAT(Done(kPath, 1, 0), Fails(kPrecondition, "has 2 shards that are not closed"));
  EXPECT_THAT(Stage(0, piece(200, 300), true),
              Fails(kInvalid, "starts at byte 200 where 100 is next"));
  ASSERT_THAT(Stage(0, piece(100, 300), true), IsOk());
  EXPECT_THAT(Stage(0, piece(200, 301)),
              Fails(kInvalid, "is said to have 301 bytes; its extents have 300"));
  ASSERT_THAT(Stage(0, piece(200, 300)), IsOk());
  EXPECT_THAT(Stage(0, piece(300, 400)), Fails(kExists, "was closed already, by rank 0"));
  wire::ShardRecord end;
  end.set_name("other");
  end.set_size_bytes(10);
  ASSERT_THAT(Stage(0, end), IsOk());
  ASSERT_THAT(Done(kPath, 1, 0), IsOk());
  EXPECT_EQ(Commit(kPath, 1)->info().shard_count(), 2u);
}

// Replies that are lost for good: each call comes again, under another request id.
TEST_F(CheckpointTest, StagingTheSameAgainChangesNothing) {
  const uint64_t first = Begin(kPath)->stripes().first();
  const auto piece = [&](uint64_t offset) {
    wire::ShardRecord shard;
    shard.set_name("dir/long");
    shard.set_size_bytes(200);
    shard.set_crc32c(1);
    *shard.add_extents() = RunOf(offset, 100, first + offset);
    return shard;
  };
  const auto small = Shard("small", 10, first + 1000), empty = Shard("empty", 0, 0);
  for (int i = 0; i < 2; ++i) EXPECT_THAT(Stage(0, small), IsOk());
  for (int i = 0; i < 2; ++i) EXPECT_THAT(Stage(0, empty), IsOk());
  for (int i = 0; i < 2; ++i) EXPECT_THAT(Stage(0, piece(0), true), IsOk());
  for (int i = 0; i < 2; ++i) EXPECT_THAT(Stage(0, piece(100)), IsOk());
  // The whole shard again, from its first piece.
  EXPECT_THAT(Stage(0, piece(0), true), IsOk());
  EXPECT_THAT(Stage(0, piece(100)), IsOk());
  // What differs is another shard of that name.
  auto other = small;
  other.set_crc32c(2);
  EXPECT_THAT(Stage(0, other), Fails(kExists, "was closed already, by rank 0"));
  EXPECT_THAT(Stage(0, Shard("small", 10, first + 1001)), Fails(kExists, "was closed already"));
  ASSERT_THAT(Done(kPath, 1, 0), IsOk());
  EXPECT_EQ(Commit(kPath, 1)->info().shard_count(), 3u);
  EXPECT_EQ(Show(kPath)->info().size_bytes(), 210u);
}

TEST_F(CheckpointTest, AShardStagedInPartMayBeginAgain) {
  const auto begun = Begin(kPath, {.world = 2, .rank = 0});
  ASSERT_THAT(Begin(kPath, {.world = 2, .rank = 1}), IsOk());
  const uint64_t first = begun->stripes().first();
  auto shard = Shard("long", 300, first);
  ASSERT_THAT(Stage(0, shard, true), IsOk());
  // Of another rank it may not.
  EXPECT_THAT(Stage(1, Shard("long", 300, first + kDefaultGrant), true),
              Fails(kExists, "was begun already, by rank 0"));
  ASSERT_THAT(Stage(0, Shard("long", 200, first + 1), true), IsOk());
  EXPECT_THAT(Done(kPath, 1, 0), Fails(kPrecondition, "has 1 shards that are not closed"));
  ASSERT_THAT(Done(kPath, 1, 0, {Shard("long", 100, first + 2)}), IsOk());
  ASSERT_THAT(Done(kPath, 1, 1), IsOk());
  ASSERT_THAT(Commit(kPath, 1), IsOk());
  EXPECT_EQ(Stat(StrCat(kPath, "/long"))->entry().size_bytes(), 100u);
  // All but the last try's stripe comes back.
  EXPECT_THAT(ReclaimAll(),
              ElementsAre(StripeSpan{first, 2}, StripeSpan{first + 3, 2 * kDefaultGrant - 3}));
  EXPECT_EQ(Counters().files, 1u);
}

TEST_F(CheckpointTest, NamesTheFirstSixteenMissingRanks) {
  constexpr uint32_t kWorld = 5000;
  for (uint32_t rank = 0; rank < kWorld; rank += 4000) {
    ASSERT_THAT(Begin(kPath, {.world = kWorld, .rank = rank}), IsOk());
    ASSERT_THAT(Done(kPath, 1, rank), IsOk());
  }
  EXPECT_THAT(
      Commit(kPath, 1),
      Fails(kPrecondition, "2 ranks are done, missing: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16."));
  const auto shown = Show(kPath);
  EXPECT_EQ(shown->info().state(), wire::WRITING);
  EXPECT_EQ(shown->info().ranks_done(), 2u);
  EXPECT_EQ(shown->info().missing_ranks_size(), 16);
}

TEST_F(CheckpointTest, AbortLeavesNothing) {
  const auto begun = Begin(kPath);
  ASSERT_THAT(Done(kPath, 1, 0, {Shard("a", 10, begun->stripes().first())}), IsOk());
  ASSERT_THAT(Abort(kPath, 1, "out of \x01memory"), IsOk());
  EXPECT_THAT(Abort(kPath, 1), IsOk());
  EXPECT_THAT(
      Commit(kPath, 1),
      Fails(kAborted, "attempt 1 of \"default/run/step-7\" was aborted: out of \\x01memory"));
  EXPECT_THAT(Begin(kPath, {.attempt = 1}), Fails(kAborted, "was aborted"));
  EXPECT_THAT(ReclaimAll(), ElementsAre(StripeSpan{1, kDefaultGrant}));
  for (const auto family : {kFamilyExtent, kFamilyStripeRun, kFamilyCheckpoint, kFamilyAttemptRank,
                            kFamilyLease, kFamilyCleanup, kFamilyPendingFree}) {
    EXPECT_THAT(kv_.family(family), IsEmpty()) << family;
  }
  ASSERT_THAT(Save(kPath), IsOk());
  EXPECT_THAT(Abort(kPath, 2), Fails(kPrecondition, "is committed; remove the checkpoint instead"));
}

TEST_F(CheckpointTest, ExpiresWithItsLeaseUnlessRenewed) {
  const auto begun = Begin(kPath);
  wire::RenewLeasesRequest renew;
  renew.add_leases(begun->lease());
  renew.add_leases(4711);
  for (int i = 0; i < 5; ++i) {
    executor_.RunFor(options_.lease_ttl * 3 / 4);
    EXPECT_THAT(engine_->RenewLeases(renew).ended(), ElementsAre(4711u));
  }
  executor_.RunFor(options_.lease_ttl + options_.lease_ttl / 4);
  EXPECT_THAT(engine_->RenewLeases(renew).ended(), ElementsAre(begun->lease(), 4711u));
  EXPECT_THAT(Done(kPath, 1, 0), Fails(kAborted, "was aborted: its lease ran out"));
  EXPECT_EQ(Counters().open_attempts, 0u);
}

// As after SIGSTOP, or a virtual machine that was moved: the ranks renew, and were not heard.
TEST_F(CheckpointTest, AFrozenNodeEndsNoLeases) {
  const auto begun = Begin(kPath);
  executor_.RunFor(options_.lease_ttl / 2);
  executor_.clock().Advance(options_.lease_ttl * 10);
  Settle();
  wire::RenewLeasesRequest renew;
  renew.add_leases(begun->lease());
  EXPECT_THAT(engine_->RenewLeases(renew).ended(), IsEmpty());
  EXPECT_THAT(Done(kPath, 1, 0), IsOk());
  EXPECT_THAT(Commit(kPath, 1), IsOk());
}

TEST_F(CheckpointTest, RestartGivesLeasesAFullTtl) {
  const auto begun = Begin(kPath);
  executor_.RunFor(options_.lease_ttl * 3 / 4);
  Restart();
  executor_.RunFor(options_.lease_ttl * 3 / 4);
  ASSERT_THAT(Done(kPath, 1, 0, {Shard("a", 10, begun->stripes().first())}), IsOk());
  EXPECT_THAT(Commit(kPath, 1), IsOk());
}

TEST_F(CheckpointTest, OverwritingKeepsTheOldVersionUntilTheCommit) {
  ASSERT_THAT(Save(kPath, 100), IsOk());
  ReclaimAll();
  const auto begun = Begin(kPath);
  EXPECT_EQ(begun->attempt(), 2u);
  ASSERT_THAT(Done(kPath, 2, 0, {Shard("shard", 200, begun->stripes().first())}), IsOk());
  EXPECT_EQ(Stat(StrCat(kPath, "/shard"))->entry().size_bytes(), 100u);
  EXPECT_THAT(*Checkpoints("default/run", true), ElementsAre(kPath, StrCat(kPath, " (writing)")));
  ASSERT_THAT(Commit(kPath, 2), IsOk());
  EXPECT_EQ(Stat(StrCat(kPath, "/shard"))->entry().size_bytes(), 200u);
  EXPECT_THAT(*Checkpoints("default/run", true), ElementsAre(kPath));
  Settle();
  EXPECT_EQ(Counters().checkpoints, 1u);
  EXPECT_EQ(Counters().files, 1u);
  // The old version's stripe and what the new one did not use.
  EXPECT_THAT(ReclaimAll(),
              ElementsAre(StripeSpan{1, 1}, StripeSpan{kDefaultGrant + 2, kDefaultGrant - 1}));
}

TEST_F(CheckpointTest, PinsHoldAcrossOverwritesAndAgainstRemoval) {
  ASSERT_THAT(Save(kPath), IsOk());
  ASSERT_THAT(Pin("default/run/latest"), IsOk());
  EXPECT_TRUE(Show(kPath)->info().pinned());
  EXPECT_THAT(Remove(kPath), Fails(kPrecondition, "is pinned; unpin it first"));
  ASSERT_THAT(Save(kPath), IsOk());
  EXPECT_TRUE(Show(kPath)->info().pinned());
  ASSERT_THAT(Pin(kPath, false), IsOk());
  EXPECT_THAT(Remove(kPath), IsOk());
  EXPECT_THAT(Pin("default/run"), Fails(kPrecondition, "is a directory, not a checkpoint"));
  EXPECT_THAT(Pin(kPath), Fails(kNotFound, ""));
}

// What leads to pinned checkpoints, by the keys of the store: parents as numbers, names.
TEST_F(CheckpointTest, PinsHoldAgainstTheRemovalOfDirectoriesAbove) {
  const auto pins = [&] {
    std::vector<std::string> names;
    for (const auto& [key, value] : kv_.family(kFamilyCheckpoint)) {
      if (key[0] == 'p') names.push_back(key.substr(9));
    }
    return names;
  };
  for (const std::string path : {"default/a/run/s1", "default/a/run/s2", "default/a/other/s1"}) {
    ASSERT_THAT(Save(path), IsOk());
  }
  ASSERT_THAT(PutFile("default/a/run/notes"), IsOk());
  ASSERT_THAT(Pin("default/a/run/s1"), IsOk());
  ASSERT_THAT(Pin("default/a/run/s1"), IsOk());
  ASSERT_THAT(Pin("default/a/run/s2"), IsOk());
  EXPECT_THAT(pins(), ElementsAre("default", "a", "run", "s1", "s2"));
  for (const std::string path : {"default/a/run", "default/a", "default"}) {
    EXPECT_THAT(Remove(path, true), Fails(kPrecondition,
                                          "the checkpoint \"default/a/run/s1\" is pinned; unpin it "
                                          "first: cairn ckpt unpin default/a/run/s1"));
  }
  EXPECT_THAT(Remove("default/a/other", true), IsOk());
  // They follow what is renamed, a directory above as the checkpoint itself.
  ASSERT_THAT(MakeDirectory("default/b"), IsOk());
  ASSERT_THAT(Rename("default/a/run", "default/b/moved"), IsOk());
  EXPECT_THAT(Remove("default/a", true), IsOk());
  ASSERT_THAT(Rename("default/b/moved/s1", "default/b/first"), IsOk());
  EXPECT_THAT(Remove("default/b", true), Fails(kPrecondition, "unpin default/b/first"));
  ASSERT_THAT(Pin("default/b/first", false), IsOk());
  EXPECT_THAT(Remove("default/b", true), Fails(kPrecondition, "unpin default/b/moved/s2"));
  Restart();
  // A newer version of the name inherits the pin, and with it what leads there.
  ASSERT_THAT(Save("default/b/moved/s2"), IsOk());
  EXPECT_THAT(Remove("default/b", true), Fails(kPrecondition, "unpin default/b/moved/s2"));
  ASSERT_THAT(Pin("default/b/moved/s2", false), IsOk());
  EXPECT_THAT(pins(), IsEmpty());
  EXPECT_THAT(Remove("default/b", true), IsOk());
  Settle();
  EXPECT_EQ(Counters().checkpoints, 0u);
}

TEST_F(CheckpointTest, RemovalForgetsAllButTheStripesToFree) {
  ASSERT_THAT(Save(kPath), IsOk());
  ASSERT_THAT(Remove(kPath), IsOk());
  EXPECT_THAT(Show(kPath), Fails(kNotFound, "there is no \"default/run/step-7\""));
  EXPECT_THAT(Commit(kPath, 1), Fails(kNotFound, "no checkpoint"));
  EXPECT_THAT(ReclaimAll(), ElementsAre(StripeSpan{1, kDefaultGrant}));
  EXPECT_EQ(kv_.family(kFamilyInode).size(), 3u);
}

// A rank that slept through the removal of its checkpoint and the next life of the name.
TEST_F(CheckpointTest, ANameUsedAnewDoesNotTakeItsOldRanks) {
  ASSERT_THAT(Begin(kPath, {.world = 2, .rank = 1}), IsOk());
  ASSERT_THAT(Save(kPath), IsOk());
  ASSERT_THAT(Remove(kPath), IsOk());
  ASSERT_THAT(Begin(kPath, {.world = 2, .rank = 0}), IsOk());
  ASSERT_EQ(Begin(kPath, {.world = 2, .rank = 1})->attempt(), 3u);
  EXPECT_THAT(Done(kPath, 1, 1), Fails(kAborted, "superseded by attempt 3"));
  EXPECT_THAT(Done(kPath, 2, 0), Fails(kAborted, "superseded by attempt 3"));
  ASSERT_THAT(Remove("default/run", true), IsOk());
  Settle();
  EXPECT_EQ(Begin(kPath)->attempt(), 4u);
  // A job that numbers its attempts itself is not held up by others.
  EXPECT_EQ(Begin("default/run/own", {.attempt = 1})->attempt(), 1u);
  EXPECT_EQ(Begin("default/run/time", {.attempt = 1'700'000'000'000})->attempt(),
            1'700'000'000'000u);
}

TEST_F(CheckpointTest, ListsByNameInPagesAndBelow) {
  for (const std::string path :
       {"default/a", "default/run/s1", "default/run/s10", "default/run/s2", "default/z/y/x"}) {
    ASSERT_THAT(Save(path), IsOk());
  }
  ASSERT_THAT(PutFile("default/run/notes"), IsOk());
  ASSERT_THAT(Begin("default/run/s15"), IsOk());
  ASSERT_THAT(Begin("default/run/s2"), IsOk());
  ASSERT_THAT(MakeDirectory("other"), IsOk());
  ASSERT_THAT(Save("other/q"), IsOk());
  for (uint32_t limit : {0u, 1u, 2u, 3u}) {
    EXPECT_THAT(*Checkpoints("default/run", false, false, limit),
                ElementsAre("default/run/s1", "default/run/s10", "default/run/s2"));
    EXPECT_THAT(*Checkpoints("default/run", true, false, limit),
                ElementsAre("default/run/s1", "default/run/s10", "default/run/s15 (writing)",
                            "default/run/s2", "default/run/s2 (writing)"));
    EXPECT_THAT(*Checkpoints("default", false, false, limit), ElementsAre("default/a"));
    EXPECT_THAT(*Checkpoints("default", false, true, limit),
                ElementsAre("default/a", "default/run/s1", "default/run/s10", "default/run/s2",
                            "default/z/y/x"));
    EXPECT_THAT(
        *Checkpoints("", true, false, limit),
        ElementsAre("default/a", "default/run/s1", "default/run/s10", "default/run/s15 (writing)",
                    "default/run/s2", "default/run/s2 (writing)", "default/z/y/x", "other/q"));
  }
  EXPECT_THAT(Checkpoints("default/a"),
              Fails(kPrecondition, "is a checkpoint, not a directory of them"));
  wire::ListCheckpointsRequest request;
  request.set_path("default/run");
  request.set_start_after("default/other");
  EXPECT_THAT(Ask(request), Fails(kInvalid, "does not lie in"));
}

TEST_F(CheckpointTest, PagesManyCheckpointsAndShards) {
  const auto begun = Begin(kPath);
  std::vector<wire::ShardRecord> shards;
  for (uint64_t i = 0; i < 1500; ++i) {
    shards.push_back(Shard(StrCat("dir", i % 7, "/a-rather-long-name-of-a-shard-", i), 1,
                           begun->stripes().first() + i));
  }
  for (auto& shard : shards) ASSERT_THAT(Stage(0, shard), IsOk());
  ASSERT_THAT(Done(kPath, 1, 0), IsOk());
  ASSERT_THAT(Commit(kPath, 1), IsOk());
  wire::ShowCheckpointRequest request;
  request.set_path(kPath);
  std::vector<std::string> names;
  for (bool more = true; more;) {
    const auto reply = Ask(request);
    ASSERT_THAT(reply, IsOk());
    ASSERT_LT(reply->ByteSizeLong(), 60u << 10);
    for (const auto& shard : reply->shards()) names.push_back(shard.name());
    request.set_start_after_shard(names.back());
    more = reply->more();
  }
  EXPECT_EQ(names.size(), shards.size());
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
}

TEST_F(CheckpointTest, RetentionPrunesAfterEachCommit) {
  wire::SetRetentionRequest set;
  set.set_path("default/run");
  set.mutable_policy()->set_keep_last(2);
  set.mutable_policy()->set_keep_every_steps(10);
  EXPECT_THAT(Do(set), Fails(kNotFound, ""));
  ASSERT_THAT(MakeDirectory("default/run"), IsOk());
  ASSERT_THAT(Do(set), IsOk());
  wire::GetRetentionRequest get;
  get.set_path("default/run");
  EXPECT_EQ(Ask(get)->policy().keep_last(), 2u);
  for (int step = 8; step <= 14; ++step) {
    ASSERT_THAT(Save(StrCat("default/run/step-", step)), IsOk());
    if (step == 8) {
      ASSERT_THAT(Pin("default/run/step-8"), IsOk());
    }
  }
  Settle();
  EXPECT_THAT(*Checkpoints("default/run"),
              ElementsAre("default/run/step-10", "default/run/step-13", "default/run/step-14",
                          "default/run/step-8"));
  EXPECT_EQ(Counters().checkpoints, 4u);
  set.clear_policy();
  ASSERT_THAT(Do(set), IsOk());
  EXPECT_EQ(Ask(get)->policy().keep_last(), 0u);
}

TEST_F(CheckpointTest, PruneTellsWhatItRemovesAndDryRunRemovesNothing) {
  for (int step = 1; step <= 5; ++step)
    ASSERT_THAT(Save(StrCat("default/run/step-", step)), IsOk());
  wire::PruneCheckpointsRequest prune;
  prune.set_path("default/run");
  EXPECT_EQ(Do(prune)->removed_size(), 0);
  prune.mutable_policy()->set_keep_last(2);
  prune.set_dry_run(true);
  EXPECT_EQ(Do(prune)->removed_size(), 3);
  EXPECT_EQ(Checkpoints("default/run")->size(), 5u);
  prune.set_dry_run(false);
  const auto pruned = Do(prune);
  ASSERT_EQ(pruned->removed_size(), 3);
  EXPECT_EQ(pruned->removed(0).path(), "default/run/step-1");
  EXPECT_THAT(*Checkpoints("default/run"), ElementsAre("default/run/step-4", "default/run/step-5"));
  prune.set_path("default/run/step-4");
  EXPECT_THAT(Do(prune), Fails(kPrecondition, "not a directory of checkpoints"));
}

TEST_F(CheckpointTest, PruneOfVeryManyGoesOnInTheBackground) {
  const std::string run = "default/" + std::string(250, 'r');
  for (int step = 1; step <= 300; ++step) ASSERT_THAT(Save(StrCat(run, "/step-", step)), IsOk());
  wire::PruneCheckpointsRequest prune;
  prune.set_path(run);
  prune.mutable_policy()->set_keep_last(1);
  const auto pruned = Do(prune);
  EXPECT_GT(pruned->removed_size(), 50);
  EXPECT_LT(pruned->removed_size(), 299);
  EXPECT_LT(pruned->ByteSizeLong(), 60u << 10);
  Settle();
  EXPECT_EQ(Counters().checkpoints, 1u);
}

TEST_F(CheckpointTest, KeepsAttributesAndAnExplicitStep) {
  auto request = BeginRequest(kPath, {.job = "nightly"});
  request.set_step(0);
  (*request.mutable_attributes())["loss"] = "1.25";
  ASSERT_THAT(Do(request), IsOk());
  ASSERT_THAT(Done(kPath, 1, 0), IsOk());
  const auto info = Commit(kPath, 1)->info();
  EXPECT_TRUE(info.has_step());
  EXPECT_EQ(info.step(), 0u);
  EXPECT_EQ(info.job(), "nightly");
  EXPECT_EQ(info.attributes().at("loss"), "1.25");
}

}  // namespace
}  // namespace cairn
