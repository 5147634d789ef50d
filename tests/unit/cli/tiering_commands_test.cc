// Goal: operators say by command what becomes of data in cold tiers, and are told how far it is, in
// text, JSON and exit codes. Method: command lines against a fake Tiering.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TieringCommandTest : public CliTest {
 protected:
  TieringCommandTest() { admin_.tiers["archive"] = {{"archive", "s3://cold", {}}, 1}; }
  testing::FakeAdmin& admin_ = cluster_.admin;
};

TEST_F(TieringCommandTest, APolicyIsSetWithItsRules) {
  const RunResult set =
      Run({"tier", "policy", "set", "runs/a", "--tier", "archive", "--keep-hot", "2",
           "--keep-every", "10", "--delete-after", "7d", "--high", "85", "--recall", "delayed"});
  EXPECT_EQ(set.code, 0) << set.err;
  EXPECT_THAT(set.out, HasSubstr("runs/a: copied to archive at once; the newest 2 stay hot"));
  EXPECT_THAT(set.out, HasSubstr("every step divisible by 10 kept for ever"));
  const TierPolicy& policy = admin_.policies.at("runs/a");
  EXPECT_EQ(policy.keep_hot, 2u);
  EXPECT_EQ(policy.keep_every_steps, 10u);
  EXPECT_EQ(policy.delete_after, absl::Hours(7 * 24));
  EXPECT_FALSE(policy.release_after.has_value());
  EXPECT_EQ(policy.high_percent, 85u);
  EXPECT_EQ(policy.low_percent, 75u);
  EXPECT_EQ(policy.recall, RecallMode::kDelayed);
  const nlohmann::json list = Run({"tier", "policy", "ls", "-o", "json"}).json();
  EXPECT_EQ(list[0]["policy"]["keep_hot"], 2);
  EXPECT_EQ(list[0]["policy"]["release_after_seconds"], nullptr);
  EXPECT_EQ(Run({"tier", "policy", "rm", "runs/a"}).out, "removed the tier policy of runs/a\n");
  EXPECT_EQ(Run({"tier", "policy", "rm", "runs/a"}).out, "no tier policy of runs/a\n");
  EXPECT_NE(Run({"tier", "policy", "set", "runs/a"}).code, 0) << "a tier has to be named";
}

TEST_F(TieringCommandTest, APolicyIsTestedBeforeItIsSet) {
  TierVerdict verdict;
  verdict.path = "runs/a/step-7";
  verdict.is_checkpoint = true;
  verdict.size_bytes = 5 << 20;
  verdict.now = TierStep::kDelete;
  verdict.rule = "not among the newest";
  admin_.verdicts.verdicts = {verdict};
  const RunResult dry =
      Run({"tier", "policy", "set", "runs/a", "--tier", "archive", "--delete-after", "0", "-n"});
  EXPECT_THAT(dry.out, HasSubstr("hot    5.00 MiB  delete  -        -  runs/a/step-7"));
  EXPECT_TRUE(admin_.policies.empty());
  EXPECT_THAT(admin_.tiering_calls, ElementsAre("test runs/a new"));
  const nlohmann::json json = Run({"tier", "policy", "test", "runs/a", "-o", "json"}).json();
  EXPECT_EQ(json[0]["now"], "delete");
  EXPECT_EQ(json[0]["next_at"], nullptr);
  EXPECT_EQ(admin_.tiering_calls.back(), "test runs/a");
}

TEST_F(TieringCommandTest, WhatIsAskedForIsPassedOnAndFailuresAreOnesOwn) {
  cluster_.errors["tiering:b"] = absl::FailedPreconditionError("it is pinned");
  const RunResult released = Run({"tier", "release", "a", "b", "/c/"});
  EXPECT_EQ(released.code, 2) << "some of several";
  EXPECT_EQ(released.out, "to be released: a\nto be released: c\n");
  EXPECT_THAT(released.err, HasSubstr("cannot release b: it is pinned"));
  EXPECT_EQ(Run({"tier", "push", "a", "--tier", "archive"}).code, 0);
  EXPECT_EQ(Run({"tier", "fetch", "a", "--hold", "3d"}).code, 0);
  EXPECT_EQ(Run({"tier", "cancel", "a"}).code, 0);
  EXPECT_THAT(admin_.tiering_calls, ElementsAre("release a", "release b", "release c",
                                                "push a archive", "fetch a 72h", "cancel a"));
}

TEST_F(TieringCommandTest, WaitEndsWithTheWorkOrItsFailure) {
  TierProgress under_way;
  under_way.size_bytes = 100;
  under_way.waiting = 1;
  TierProgress done = under_way;
  done.waiting = 0;
  done.copied_bytes = 100;
  admin_.tier_progress = {under_way, under_way, done};
  const RunResult waited = Run({"tier", "push", "a", "--wait"});
  EXPECT_EQ(waited.out, "done: a\n");
  TierProgress cancelled = done;
  cancelled.copied_bytes = 40;
  admin_.tier_progress = {under_way, cancelled};
  const RunResult partly = Run({"tier", "push", "a", "--wait"});
  EXPECT_EQ(partly.code, 2);
  EXPECT_EQ(partly.out, "");
  EXPECT_THAT(partly.err, HasSubstr("40 B of 100 B"));
  TierProgress failed = under_way;
  failed.failed = 1;
  failed.error = "no such bucket";
  admin_.tier_progress = {under_way, failed};
  const RunResult refused = Run({"tier", "fetch", "a", "--wait"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("no such bucket"));
}

TEST_F(TieringCommandTest, RulesAreTestedWithTheTierTheyAreAboutAndALimitOfNothingIsNone) {
  const RunResult rules = Run({"tier", "policy", "test", "runs/a", "--keep-hot", "2"});
  EXPECT_EQ(rules.code, 1);
  EXPECT_THAT(rules.err, HasSubstr("--tier"));
  const RunResult limit = Run({"tier", "limit", "archive", "0"});
  EXPECT_EQ(limit.code, 1);
  EXPECT_THAT(limit.err, HasSubstr("say none"));
}

TEST_F(TieringCommandTest, TheQueueSaysWhatHoldsItBack) {
  TierQueueEntry entry;
  entry.path = "runs/a";
  entry.step = TierStep::kRecall;
  entry.running = true;
  entry.size_bytes = 200;
  entry.done_bytes = 50;
  TierQueue queue;
  queue.entries = {entry};
  queue.waiting = 3;
  queue.holds_back = "tier archive takes nothing: paused";
  admin_.queues = {queue};
  const RunResult shown = Run({"tier", "queue"});
  EXPECT_THAT(shown.out, HasSubstr("held back  tier archive takes nothing: paused"));
  EXPECT_THAT(shown.out, HasSubstr("fetch  25%"));
  EXPECT_THAT(shown.out, HasSubstr("and 2 more"));
  const nlohmann::json json = Run({"tier", "queue", "-o", "json"}).json();
  EXPECT_EQ(json["entries"][0]["done_bytes"], 50);
  admin_.queues = {{}};
  EXPECT_EQ(Run({"tier", "queue"}).out, "nothing waits\n");
}

TEST_F(TieringCommandTest, TiersArePausedAndLimitedByTheTimeOfDay) {
  EXPECT_THAT(Run({"tier", "pause", "archive", "--archive"}).out, HasSubstr("archive    paused"));
  EXPECT_FALSE(admin_.tiers["archive"].control.recall_paused);
  EXPECT_EQ(Run({"tier", "resume", "archive"}).code, 0);
  EXPECT_FALSE(admin_.tiers["archive"].control.archive_paused);
  const RunResult limited =
      Run({"tier", "limit", "archive", "08:00-20:30=50MB", "22:00-06:00=none", "1GB"});
  EXPECT_THAT(limited.out, HasSubstr("50.0 MB/s from 08:00 to 20:30, no limit from 22:00 to "
                                     "06:00, 1.00 GB/s"));
  EXPECT_EQ(admin_.tiers["archive"].control.limits.size(), 3u);
  EXPECT_EQ(Run({"tier", "limit", "archive", "none"}).code, 0);
  EXPECT_TRUE(admin_.tiers["archive"].control.limits.empty());
  EXPECT_NE(Run({"tier", "limit", "archive", "8-20=50MB"}).code, 0);
  EXPECT_NE(Run({"tier", "limit", "archive", "08:00-25:00=50MB"}).code, 0);
}

TEST_F(TieringCommandTest, APathIsExplained) {
  TierExplanation& told = admin_.explanation;
  told.verdict.path = "runs/a";
  told.verdict.place = TierPlace::kCold;
  told.verdict.rule = "in the cold tier alone";
  told.tier = "archive";
  told.failures = 2;
  told.error = "no such bucket";
  const RunResult shown = Run({"tier", "explain", "runs/a"});
  EXPECT_THAT(shown.out, HasSubstr("cold, tier archive"));
  EXPECT_THAT(shown.out, HasSubstr("no such bucket"));
  EXPECT_EQ(Run({"tier", "explain", "runs/a", "-o", "json"}).json()["failures"], 2);
}

TEST_F(TieringCommandTest, AnImportIsWaitedForAndToldOf) {
  TierImport begun;
  begun.running = true;
  begun.cluster_id = "c-1";
  TierImport done = begun;
  done.running = false;
  done.subjects = 7;
  done.failed = 1;
  done.problems = {"runs/b: a part is missing"};
  admin_.imports = {begun, begun, done};
  const RunResult shown = Run({"tier", "import", "archive"});
  EXPECT_EQ(shown.code, 2) << "one could not be imported";
  EXPECT_THAT(shown.out, HasSubstr("imported 7 of cluster c-1"));
  EXPECT_THAT(shown.out, HasSubstr("runs/b: a part is missing"));
}

}  // namespace
}  // namespace cairn::cli
