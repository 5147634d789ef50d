// Plain files through the engine: extents that are checked, replacement, leases, reclaim of what
// was not used.
#include "server/meta/extents.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FileTest : public MetaTest {};

TEST_F(FileTest, IsVisibleOnlyOnceCommitted) {
  const auto begun = BeginFile("default/dir/f");
  ASSERT_THAT(begun, IsOk());
  EXPECT_EQ(begun->stripes().count(), kDefaultGrant);
  EXPECT_EQ(begun->lease_ttl_ms(), 60'000u);
  EXPECT_THAT(Stat("default/dir/f"), Fails(kNotFound, ""));
  ASSERT_THAT(
      CommitFile("default/dir/f", begun->lease(), {RunOf(0, 10 << 20, begun->stripes().first())}),
      IsOk());
  const auto stat = Stat("default/dir/f");
  EXPECT_EQ(stat->entry().size_bytes(), 10u << 20);
  ASSERT_EQ(stat->extents_size(), 1);
  EXPECT_EQ(stat->extents(0).first_stripe(), begun->stripes().first());
  EXPECT_EQ(stat->extents(0).stripe_count(), 3u);
  EXPECT_FALSE(stat->more_extents());
}

TEST_F(FileTest, MayBeEmpty) {
  ASSERT_THAT(PutFile("default/f", 0), IsOk());
  EXPECT_EQ(Stat("default/f")->entry().size_bytes(), 0u);
  EXPECT_EQ(Stat("default/f")->extents_size(), 0);
}

TEST_F(FileTest, ReplacesWholeAndFreesTheOld) {
  ASSERT_THAT(PutFile("default/f", 10 << 20), IsOk());
  const auto before = Stat("default/f");
  ASSERT_THAT(PutFile("default/f", 100), IsOk());
  const auto after = Stat("default/f");
  EXPECT_EQ(after->entry().size_bytes(), 100u);
  EXPECT_NE(after->entry().version(), before->entry().version());
  Settle();
  EXPECT_EQ(Counters().files, 1u);
  // Both grants but the one stripe that is in use.
  const uint64_t kept = after->extents(0).first_stripe();
  EXPECT_THAT(ReclaimAll(),
              ElementsAre(StripeSpan{1, kept - 1}, StripeSpan{kept + 1, 2 * kDefaultGrant - kept}));
}

TEST_F(FileTest, CreateOnlyRefusesToReplace) {
  ASSERT_THAT(PutFile("default/f"), IsOk());
  const auto begun = BeginFile("default/f");
  EXPECT_THAT(CommitFile("default/f", begun->lease(), {}, 0, true), Fails(kExists, "exists"));
}

TEST_F(FileTest, CommittingTwiceIsHarmless) {
  const auto begun = BeginFile("default/f");
  const std::vector<wire::ExtentRun> runs = {RunOf(0, 100, begun->stripes().first())};
  ASSERT_THAT(CommitFile("default/f", begun->lease(), runs), IsOk());
  EXPECT_THAT(CommitFile("default/f", begun->lease(), runs), IsOk());
  ASSERT_THAT(Remove("default/f"), IsOk());
  EXPECT_THAT(CommitFile("default/f", begun->lease(), runs),
              Fails(kAborted, "has ended; write it again"));
}

TEST_F(FileTest, TakesLongExtentListsInPieces) {
  const auto begun = BeginFile("default/f");
  const uint64_t first = begun->stripes().first();
  wire::CommitFileRequest request;
  request.set_path("default/f");
  request.set_lease(begun->lease());
  constexpr int kRuns = 3000;
  for (int i = 0; i < kRuns; ++i) {
    // Every run ends in a short stripe.
    *request.add_extents() = RunOf(uint64_t(i) * 100, 100, first + uint64_t(i) * 2);
    if (i % 500 == 499 && i != kRuns - 1) {
      request.set_more_extents_follow(true);
      ASSERT_THAT(Do(request), IsOk());
      EXPECT_THAT(Stat("default/f"), Fails(kNotFound, ""));
      request.clear_extents();
    }
  }
  request.set_more_extents_follow(false);
  request.set_size_bytes(kRuns * 100);
  ASSERT_THAT(Do(request), IsOk());
  const auto stat = Stat("default/f");
  EXPECT_TRUE(stat->more_extents());
  EXPECT_EQ(stat->extents_size(), 0);
  wire::GetExtentsRequest page;
  page.set_inode(stat->entry().inode());
  page.set_version(stat->entry().version());
  int runs = 0, pages = 0;
  for (bool more = true; more; ++pages) {
    const auto reply = Ask(page);
    ASSERT_THAT(reply, IsOk());
    ASSERT_LT(reply->ByteSizeLong(), 60u << 10);
    for (const auto& run : reply->extents()) EXPECT_EQ(run.offset_bytes(), uint64_t(runs++) * 100);
    page.set_offset_bytes(uint64_t(runs) * 100);
    more = reply->more();
  }
  EXPECT_EQ(runs, kRuns);
  EXPECT_GT(pages, 1);
}

TEST_F(FileTest, FindsTheExtentsOfARange) {
  const auto begun = BeginFile("default/f");
  const uint64_t first = begun->stripes().first();
  ASSERT_THAT(
      CommitFile("default/f", begun->lease(),
                 {RunOf(0, 100, first), RunOf(100, 100, first + 5), RunOf(200, 50, first + 9)}),
      IsOk());
  const uint64_t inode = Stat("default/f")->entry().inode();
  const auto offsets = [&](uint64_t offset, uint64_t length) {
    wire::GetExtentsRequest request;
    request.set_inode(inode);
    request.set_offset_bytes(offset);
    request.set_length_bytes(length);
    const auto reply = Ask(request);
    std::vector<uint64_t> result;
    if (reply.ok())
      for (const auto& run : reply->extents()) result.push_back(run.offset_bytes());
    return result;
  };
  EXPECT_THAT(offsets(0, 1), ElementsAre(0));
  EXPECT_THAT(offsets(99, 2), ElementsAre(0, 100));
  EXPECT_THAT(offsets(100, 100), ElementsAre(100));
  EXPECT_THAT(offsets(150, 0), ElementsAre(100, 200));
  EXPECT_THAT(offsets(249, 1), ElementsAre(200));
  EXPECT_THAT(offsets(250, 0), IsEmpty());
  wire::GetExtentsRequest request;
  request.set_inode(inode);
  request.set_offset_bytes(240);
  request.set_length_bytes(11);
  EXPECT_THAT(Ask(request), Fails(absl::StatusCode::kOutOfRange, "beyond the end"));
  request.set_length_bytes(1);
  request.set_version(12345);
  EXPECT_THAT(Ask(request), Fails(kNotFound, "replaced or removed"));
}

TEST_F(FileTest, RefusesExtentsThatAreWrong) {
  const auto begun = BeginFile("default/f");
  const uint64_t first = begun->stripes().first(), lease = begun->lease();
  const auto commit = [&](std::vector<wire::ExtentRun> runs) {
    return CommitFile("default/f", lease, std::move(runs));
  };
  const auto changed = [&](auto change) {
    wire::ExtentRun run = RunOf(0, 10 << 20, first);
    change(run);
    return run;
  };
  EXPECT_THAT(commit({RunOf(1, 10, first)}), Fails(kInvalid, "starts at byte 1 where 0 is next"));
  EXPECT_THAT(commit({RunOf(0, 10, first), RunOf(11, 10, first + 1)}),
              Fails(kInvalid, "starts at byte 11 where 10"));
  EXPECT_THAT(commit({RunOf(0, 0, first)}), Fails(kInvalid, "is empty"));
  EXPECT_THAT(commit({changed([](auto& r) { r.set_stripe_count(2); })}),
              Fails(kInvalid, "has 2 stripes"));
  EXPECT_THAT(commit({changed([](auto& r) { r.set_stripe_bytes(0); })}),
              Fails(kInvalid, "stripes of 0 bytes"));
  EXPECT_THAT(commit({changed([](auto& r) { r.set_stripe_bytes(1000); })}),
              Fails(kInvalid, "not a multiple"));
  EXPECT_THAT(commit({changed([](auto& r) { r.set_stripe_bytes(128 << 20); })}),
              Fails(kInvalid, "up to"));
  EXPECT_THAT(commit({changed([](auto& r) { r.clear_groups(); })}),
              Fails(kInvalid, "0 placement groups"));
  EXPECT_THAT(commit({changed([](auto& r) { r.set_length_bytes(UINT64_MAX); })}),
              Fails(kInvalid, ""));
  EXPECT_THAT(commit({RunOf(0, 10, first - 1)}), Fails(kInvalid, "were not granted"));
  EXPECT_THAT(commit({RunOf(0, 10 << 20, first + kDefaultGrant - 2)}),
              Fails(kInvalid, "were not granted"));
  EXPECT_THAT(commit({RunOf(0, 10, UINT64_MAX)}), Fails(kInvalid, "were not granted"));
  EXPECT_THAT(commit({RunOf(0, 5 << 20, first), RunOf(5 << 20, 10, first + 1)}),
              Fails(kInvalid, "used already"));
  EXPECT_THAT(commit({RunOf(0, 10, first + 1), RunOf(10, 5 << 20, first)}),
              Fails(kInvalid, "used already"));
  EXPECT_THAT(CommitFile("default/f", lease, {RunOf(0, 10, first)}, 11),
              Fails(kInvalid, "its extents have 10"));
  EXPECT_THAT(CommitFile("default/other", lease, {}), Fails(kInvalid, "is not for writing"));
  // None of it left a trace: the same stripes can be used now.
  EXPECT_THAT(kv_.family(kFamilyExtent), IsEmpty());
  EXPECT_THAT(commit({RunOf(0, 10 << 20, first)}), IsOk());
}

TEST_F(FileTest, AbortAndExpiryGiveEverythingBack) {
  const auto aborted = BeginFile("default/a");
  const auto expired = BeginFile("default/e");
  wire::CommitFileRequest piece;
  piece.set_path("default/e");
  piece.set_lease(expired->lease());
  *piece.add_extents() = RunOf(0, 10 << 20, expired->stripes().first());
  piece.set_more_extents_follow(true);
  ASSERT_THAT(Do(piece), IsOk());
  wire::AbortFileRequest abort;
  abort.set_lease(aborted->lease());
  EXPECT_THAT(Do(abort), IsOk());
  EXPECT_THAT(Do(abort), IsOk());
  EXPECT_THAT(CommitFile("default/a", aborted->lease(), {}), Fails(kAborted, "has ended"));
  executor_.RunFor(options_.lease_ttl + absl::Seconds(10));
  EXPECT_THAT(CommitFile("default/e", expired->lease(), {}), Fails(kAborted, "has ended"));
  EXPECT_THAT(*List("default"), IsEmpty());
  EXPECT_THAT(ReclaimAll(), ElementsAre(StripeSpan{1, 2 * kDefaultGrant}));
  EXPECT_THAT(kv_.family(kFamilyLease), IsEmpty());
  EXPECT_THAT(kv_.family(kFamilyStripeRun), IsEmpty());
  EXPECT_THAT(kv_.family(kFamilyPendingFree), IsEmpty());
  EXPECT_EQ(Counters().pending_free_bytes, 0u);
}

TEST_F(FileTest, ParentsThatVanishedMeanwhileAreMadeAgain) {
  const auto begun = BeginFile("default/dir/f");
  ASSERT_THAT(Remove("default/dir"), IsOk());
  EXPECT_THAT(CommitFile("default/dir/f", begun->lease(), {}), IsOk());
  EXPECT_THAT(Stat("default/dir/f"), IsOk());
}

TEST_F(FileTest, RemovedBytesStayForAGrace) {
  ASSERT_THAT(PutFile("default/f"), IsOk());
  ReclaimAll();
  ASSERT_THAT(Remove("default/f"), IsOk());
  Settle();
  EXPECT_EQ(Counters().pending_free_bytes, 100u);
  EXPECT_THAT(NextReclaim(), IsEmpty());
  executor_.RunFor(options_.reclaim_grace - absl::Seconds(1));
  EXPECT_THAT(NextReclaim(), IsEmpty());
  // A new process does not know since when; it waits for a whole grace again.
  Restart();
  EXPECT_THAT(NextReclaim(), IsEmpty());
  executor_.RunFor(absl::Seconds(2));
  EXPECT_THAT(NextReclaim(), IsEmpty());
  executor_.clock().StepWall(absl::Hours(1000));
  EXPECT_THAT(NextReclaim(), IsEmpty());
  executor_.RunFor(options_.reclaim_grace);
  EXPECT_EQ(NextReclaim().size(), 1u);
}

TEST_F(FileTest, ReclaimGoesOnInSmallStepsAndAfterARestart) {
  const auto begun = BeginFile("default/f");
  std::vector<wire::ExtentRun> runs;
  for (uint64_t i = 0; i < 100; ++i)
    runs.push_back(RunOf(i * 10, 10, begun->stripes().first() + i * 3));
  ASSERT_THAT(CommitFile("default/f", begun->lease(), runs), IsOk());
  NextReclaim();
  executor_.RunFor(options_.reclaim_grace);
  // Not reported done: comes again.
  const auto first = NextReclaim(7);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_LE(first[0].stripes.size(), 8u);
  EXPECT_EQ(NextReclaim(7)[0].stripes, first[0].stripes);
  ASSERT_THAT(executor_.Run(engine_->ReclaimDone(first)), IsOk());
  EXPECT_GT(NextReclaim(7)[0].stripes[0].first, first[0].stripes.back().first);
  Restart();
  const std::vector<StripeSpan> freed = ReclaimAll(7);
  uint64_t count = 0;
  for (const StripeSpan& span : freed) count += span.count;
  for (const StripeSpan& span : first[0].stripes) count += span.count;
  EXPECT_EQ(count, kDefaultGrant - 100);
  EXPECT_THAT(kv_.family(kFamilyPendingFree), IsEmpty());
}

}  // namespace
}  // namespace cairn
