// How saves go, as metrics tell it: what commands that went through count, what those that were
// refused or repeated do not, and what a restart still knows.
#include "server/meta/save_log.h"

#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

constexpr char kPath[] = "default/run/step-7";

class SaveLogTest : public MetaTest {
 protected:
  const SaveLog& saves() const { return engine_->saves(); }
  int64_t Now() { return absl::ToUnixNanos(executor_.clock().WallNow()); }
  // Keeps the lease of the attempt alive meanwhile.
  void Pass(absl::Duration duration, uint64_t lease) {
    wire::RenewLeasesRequest request;
    request.add_leases(lease);
    for (; duration > absl::ZeroDuration(); duration -= absl::Seconds(10)) {
      executor_.RunFor(absl::Seconds(10));
      engine_->RenewLeases(request);
    }
  }
};

TEST_F(SaveLogTest, ACommitCountsItsBytesAndTheTimeSinceItsBegin) {
  const int64_t before = Now();
  const auto begun = Begin(kPath, {.world = 2, .rank = 0});
  ASSERT_THAT(begun, IsOk());
  const int64_t after = Now();
  ASSERT_THAT(Begin(kPath, {.world = 2, .rank = 1}), IsOk());
  EXPECT_EQ(saves().open(), 1u);
  EXPECT_GE(saves().oldest_begun_ns(), before);
  EXPECT_LE(saves().oldest_begun_ns(), after);
  Pass(absl::Minutes(2), begun->lease());
  ASSERT_THAT(Done(kPath, 1, 0, {Shard("a", 10 << 20, begun->stripes().first())}), IsOk());
  EXPECT_THAT(Commit(kPath, 1), Fails(kPrecondition, "missing: 1."));
  EXPECT_EQ(saves().totals().committed, 0u);
  ASSERT_THAT(Done(kPath, 1, 1), IsOk());
  ASSERT_THAT(Commit(kPath, 1), IsOk());
  const int64_t committed = Now();
  ASSERT_THAT(Commit(kPath, 1), IsOk());  // again: it is the same one
  const SaveLog::Totals& totals = saves().totals();
  EXPECT_EQ(totals.committed, 1u);
  EXPECT_EQ(totals.committed_bytes, 10u << 20);
  EXPECT_EQ(totals.aborted, 0u);
  EXPECT_LE(totals.last_commit_ns, committed);
  EXPECT_EQ(totals.durations_ns.count(), 1u);
  EXPECT_GE(totals.durations_ns.sum(), 120'000'000'000u);
  EXPECT_LE(totals.durations_ns.sum(), static_cast<uint64_t>(committed - before));
  EXPECT_EQ(saves().open(), 0u);
  EXPECT_EQ(saves().oldest_begun_ns(), 0);
}

TEST_F(SaveLogTest, AbortedSupersededAndExpiredAttemptsAreNoCommits) {
  wire::AbortCheckpointRequest abort;
  abort.set_path(kPath);
  abort.set_attempt(1);
  ASSERT_THAT(Begin(kPath), IsOk());
  ASSERT_THAT(Do(abort), IsOk());
  ASSERT_THAT(Do(abort), IsOk());
  EXPECT_EQ(saves().totals().aborted, 1u);
  ASSERT_THAT(Begin(kPath, {.attempt = 2}), IsOk());
  ASSERT_THAT(Begin(kPath, {.attempt = 3}), IsOk());
  EXPECT_EQ(saves().totals().aborted, 2u);
  EXPECT_EQ(saves().open(), 1u);
  executor_.RunFor(2 * options_.lease_ttl);
  EXPECT_EQ(saves().totals().aborted, 3u);
  EXPECT_EQ(saves().open(), 0u);
  EXPECT_EQ(saves().totals().committed, 0u);
}

TEST_F(SaveLogTest, ACommandThatFailsInItsGroupLeavesNoTrace) {
  ASSERT_THAT(Begin(kPath, {.world = 1, .rank = 1}), Fails(kInvalid, ""));
  EXPECT_EQ(saves().open(), 0u);
}

TEST_F(SaveLogTest, ARestartKnowsWhenOpenAttemptsWereBegun) {
  ASSERT_THAT(BeginFile("default/file"), IsOk());
  const auto begun = Begin(kPath);
  ASSERT_THAT(begun, IsOk());
  const int64_t begun_at = saves().oldest_begun_ns();
  Pass(absl::Seconds(30), begun->lease());
  ASSERT_THAT(Begin("default/run/step-8"), IsOk());
  Restart();
  EXPECT_EQ(saves().open(), 2u);
  EXPECT_EQ(saves().oldest_begun_ns(), begun_at);
  ASSERT_THAT(Done(kPath, 1, 0), IsOk());
  ASSERT_THAT(Commit(kPath, 1), IsOk());
  EXPECT_EQ(saves().totals().durations_ns.sum(),
            static_cast<uint64_t>(saves().totals().last_commit_ns - begun_at));
  EXPECT_EQ(saves().open(), 1u);
}

TEST_F(SaveLogTest, GroupsAreCountedWithTheirCommands) {
  Settle();
  const uint64_t groups = engine_->committer().counters().group_commands.count();
  const uint64_t commands = engine_->committer().counters().group_commands.sum();
  ASSERT_THAT(MakeDirectory("default/d"), IsOk());
  ASSERT_THAT(MakeDirectory("default/e"), IsOk());
  const GroupCommitter::Counters& counters = engine_->committer().counters();
  EXPECT_EQ(counters.group_commands.count() - groups, 2u);
  EXPECT_EQ(counters.group_commands.sum() - commands, 2u);
  EXPECT_EQ(counters.group_ns.count(), counters.group_commands.count());
  EXPECT_EQ(engine_->committer().queued(), 0u);
}

}  // namespace
}  // namespace cairn
