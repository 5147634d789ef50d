// Goal: operators get what the cluster says of its nodes, its rebuild and its storage in text, JSON
// and exit codes, and nothing that cannot be taken back happens unasked. Method: command lines
// against a fake Admin.
#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

size_t Lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

class AdminCommandTest : public CliTest {
 protected:
  testing::FakeAdmin& admin_ = cluster_.admin;
};

// ---- nodes ----

TEST_F(AdminCommandTest, NodesAreDrainedAndUsedAgain) {
  EXPECT_EQ(Run({"node", "drain", "3"}).out,
            "node 3 is being drained: what it holds moves away; see 'cairn rebuild status'\n");
  EXPECT_EQ(Run({"node", "undrain", "3"}).out, "node 3 is used again\n");
  EXPECT_EQ(Run({"node", "drain", "4", "--force", "-o", "json"}).json(),
            nlohmann::json::parse(R"({"node": 4, "action": "drain", "force": true})"));
  ASSERT_EQ(admin_.node_changes.size(), 3u);
  EXPECT_EQ(admin_.node_changes[0].node, 3u);
  EXPECT_EQ(admin_.node_changes[0].action, NodeAction::kDrain);
  EXPECT_FALSE(admin_.node_changes[0].force);
  EXPECT_EQ(admin_.node_changes[1].action, NodeAction::kUndrain);
  EXPECT_TRUE(admin_.node_changes[2].force);
}

TEST_F(AdminCommandTest, WhatIsNoNodeIsRefusedBeforeAnythingIsAsked) {
  const std::vector<std::vector<std::string>> wrong = {{"node", "drain"},
                                                       {"node", "drain", "0"},
                                                       {"node", "drain", "x"},
                                                       {"node", "drain", "-1"},
                                                       {"node", "drain", "3.5"},
                                                       {"node", "drain", "4294967296"},
                                                       {"node", "drain", "3", "4"},
                                                       {"node", "undrain", "0"},
                                                       {"node", "rm", "0", "--yes"},
                                                       {"node", "rm", "-3"},
                                                       {"node", "ok-to-stop"},
                                                       {"node", "ok-to-stop", "1", "x"},
                                                       {"node", "ok-to-stop", "0"},
                                                       {"node", "undrain", "3", "--force"}};
  for (const auto& arguments : wrong) {
    const RunResult result = Run(arguments);
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, HasSubstr("cairn: bad arguments: "));
    EXPECT_THAT(result.out, IsEmpty());
  }
  EXPECT_THAT(Run({"node", "drain", "x"}).err,
              HasSubstr("'x' is not a node: give its number in 'cairn node ls'; see 'cairn node "
                        "drain --help'"));
  EXPECT_THAT(admin_.node_changes, IsEmpty());
}

TEST_F(AdminCommandTest, ARefusedDrainSaysWhyAndWhereToLook) {
  cluster_.errors["node:9"] = absl::NotFoundError("there is no such node");
  EXPECT_EQ(Run({"node", "drain", "9"}).err,
            "cairn: cannot drain node 9: there is no such node; 'cairn node ls' lists the nodes\n");
  cluster_.errors["node:9"] = absl::FailedPreconditionError("ec:4+2 needs 6 nodes");
  const RunResult json = Run({"node", "drain", "9", "-o", "json"});
  EXPECT_EQ(json.code, 1);
  EXPECT_EQ(json.json()["error"]["code"], "FAILED_PRECONDITION");
  EXPECT_THAT(json.err, HasSubstr("ec:4+2 needs 6 nodes; see 'cairn node ls'"));
  cluster_.errors["node:9"] = absl::FailedPreconditionError("ec:4+2 needs 6 nodes; add one");
  EXPECT_EQ(Run({"node", "undrain", "9"}).err,
            "cairn: cannot undrain node 9: ec:4+2 needs 6 nodes; add one\n");
  cluster_.errors["node:9"] = absl::UnavailableError("gone");
  EXPECT_EQ(Run({"node", "drain", "9"}).code, 4);
}

TEST_F(AdminCommandTest, RemovalWithoutATerminalNeedsYes) {
  const RunResult refused = Run({"node", "rm", "3"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(refused.err,
            "cairn: did not remove node 3: it was not confirmed, and there is no terminal to ask "
            "on; add --yes to remove it for good\n");
  // The question would be seen by nobody.
  typed_ = "yes\n";
  EXPECT_EQ(Run({"node", "rm", "3"}).code, 1);
  EXPECT_THAT(admin_.node_changes, IsEmpty());

  EXPECT_EQ(Run({"node", "rm", "3", "--yes", "-o", "json"}).json()["action"], "rm");
  ASSERT_EQ(admin_.node_changes.size(), 1u);
  EXPECT_EQ(admin_.node_changes[0].action, NodeAction::kRemove);
  EXPECT_FALSE(admin_.node_changes[0].force);
  EXPECT_THAT(Run({"node", "rm", "3", "-y", "--force"}).out, HasSubstr("node 3 is being removed"));
  EXPECT_TRUE(admin_.node_changes[1].force);
}

class ConfirmationTest : public AdminCommandTest {
 protected:
  ConfirmationTest() {
    err_kind_ = StreamKind::kTerminal;
    cluster_.status_json = R"({"map": {
      "nodes": [{"id": 3, "name": "h3", "endpoint": "h3:7440"}, {"id": 4, "state": "NODE_DOWN"}],
      "targets": [{"id": 5, "node": 3, "used_bytes": "1024"}, {"id": 6, "node": 3},
                  {"id": 7, "node": 4}]}})";
  }
};

TEST_F(ConfirmationTest, OnlyAYesRemoves) {
  for (const char* answer : {"\n", "n\n", "no\n", "yess\n", "", "x\ny\n"}) {
    typed_ = answer;
    const RunResult result = Run({"node", "rm", "3"});
    EXPECT_EQ(result.code, 1) << answer;
    EXPECT_THAT(result.err, HasSubstr("cairn: did not remove node 3: the answer was not yes; "
                                      "nothing has changed\n"));
    EXPECT_THAT(result.out, IsEmpty());
  }
  EXPECT_THAT(admin_.node_changes, IsEmpty());
  for (const char* answer : {"y\n", "Yes\n", " YES \n", "y"}) {
    typed_ = answer;
    EXPECT_EQ(Run({"node", "rm", "3"}).code, 0) << answer;
  }
  EXPECT_EQ(admin_.node_changes.size(), 4u);
}

TEST_F(ConfirmationTest, TheQuestionSaysWhatIsAtStake) {
  typed_ = "y\n";
  EXPECT_EQ(Run({"node", "rm", "3"}).err,
            "node 3 (h3, h3:7440, up; 2 targets, 1.00 KiB)\n"
            "What it holds is moved away first. Then it leaves the cluster for good.\n"
            "Remove it? [y/N] ");
  EXPECT_THAT(Run({"node", "rm", "4"}).err,
              HasSubstr("node 4 (down; 1 target, 0 B)\nIt does not answer: what it holds counts as "
                        "lost, and is made again elsewhere from what is left.\n"));
}

TEST_F(ConfirmationTest, AnUnknownNodeIsNotAskedAbout) {
  typed_ = "y\n";
  const RunResult result = Run({"node", "rm", "8"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err,
            "cairn: cannot remove node 8: there is none; 'cairn node ls' lists the nodes\n");
  EXPECT_THAT(admin_.node_changes, IsEmpty());
}

TEST_F(ConfirmationTest, AStatusWithoutNodesStillAsks) {
  cluster_.status_json = R"({"map": {"targets": [{"id": 5}]}})";
  typed_ = "y\n";
  const RunResult result = Run({"node", "rm", "3"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, ::testing::StartsWith("node 3\nWhat it holds is moved away first. "));
  EXPECT_EQ(admin_.node_changes.size(), 1u);
}

TEST_F(ConfirmationTest, ASignalIsNoYes) {
  typed_ = "y\n";
  interrupts_.Raise(SIGINT);
  EXPECT_EQ(Run({"node", "rm", "3"}).code, 130);
  EXPECT_THAT(admin_.node_changes, IsEmpty());
}

TEST_F(AdminCommandTest, OkToStopSaysYesOrWhyNot) {
  const RunResult yes = Run({"node", "ok-to-stop", "3"});
  EXPECT_EQ(yes.code, 0);
  EXPECT_EQ(yes.out, "yes: without node 3 everything stays readable and writable\n");
  admin_.advice = {false, {"ec:4+2 in group 5\nlacks", "ec:4+2 takes no new data"}};
  const RunResult no = Run({"node", "ok-to-stop", "3", "4"});
  EXPECT_EQ(no.code, 1);
  EXPECT_EQ(no.err, "");
  EXPECT_EQ(no.out,
            "no: nodes 3, 4 should not be stopped at once\n"
            "  ec:4+2 in group 5\\x0alacks\n"
            "  ec:4+2 takes no new data\n");
  EXPECT_EQ(admin_.to_stop, (std::vector<uint32_t>{3, 4}));
  const RunResult json = Run({"node", "ok-to-stop", "3", "4", "-o", "json"});
  EXPECT_EQ(json.code, 1);
  EXPECT_EQ(json.json()["nodes"], nlohmann::json({3, 4}));
  EXPECT_EQ(json.json()["ok"], false);
  EXPECT_EQ(json.json()["reasons"].size(), 2u);
  cluster_.errors["stop"] = absl::UnavailableError("gone");
  EXPECT_EQ(Run({"node", "ok-to-stop", "3"}).code, 4);
}

// ---- rebuild ----

RebuildInfo AtWork(uint32_t copying) {
  RebuildInfo info;
  info.moves_copying = copying;
  info.moves_settling = 1;
  info.members_lost = 2;
  info.restored_fragments = 12;
  info.restored_bytes = 48 << 20;
  info.failed_fragments = 1;
  info.last_failure = "node 5\nis busy";
  info.bytes_per_second = 200'000'000;
  info.pass_stripes_done = 50;
  info.pass_stripes = 200;
  info.passes = 3;
  info.waiting_nodes = {5, 6};
  info.sweep_due = true;
  for (uint32_t i = 0; i < copying + 1; ++i) info.moves.push_back({100 + i, 2, 7, 8, i == 0});
  return info;
}

TEST_F(AdminCommandTest, ARebuildIsShownWithItsMoves) {
  admin_.rebuild = {AtWork(1)};
  const RunResult result = Run({"rebuild", "status"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out,
            "moves     1 copying, 1 settling\n"
            "stuck     2 members of groups with nowhere to go: add a node\n"
            "restored  12 fragments, 48.0 MiB since the metadata's node has started\n"
            "rate      200 MB/s\n"
            "pass      25% of about 200 stripes, 3 ended\n"
            "failures  1 fragment in the last pass; the last: node 5\\x0ais busy\n"
            "sweep     due: frees what moves have left, when they are through\n"
            "waiting   for nodes 5, 6\n"
            "\n"
            "GROUP  INDEX  FROM  TO  STATE\n"
            "  100      2     7   8  settling\n"
            "  101      2     7   8  copying\n");
}

TEST_F(AdminCommandTest, ManyMovesAreCutShortForPeopleOnly) {
  admin_.rebuild = {AtWork(400)};
  // As of a cluster: it tells 256 of them.
  admin_.rebuild[0].moves.resize(256);
  const std::string out = Run({"rebuild", "status"}).out;
  EXPECT_THAT(out, HasSubstr("\n  119      2     7   8  copying\nand 381 more\n"));
  EXPECT_EQ(Lines(out), 8u + 1 + 1 + 20 + 1);
  EXPECT_EQ(Run({"rebuild", "status", "-o", "json"}).json()["moves"].size(), 256u);
}

TEST_F(AdminCommandTest, ARebuildWithNothingToDoSaysSo) {
  const std::string out = Run({"rebuild", "status"}).out;
  EXPECT_THAT(out, HasSubstr("moves     0 copying, 0 settling\nstuck     none\n"));
  EXPECT_THAT(out, HasSubstr("rate      -\npass      none under way, 0 ended\nfailures  none\n"
                             "sweep     none\n"));
  EXPECT_THAT(out, Not(HasSubstr("GROUP")));
  EXPECT_EQ(Run({"rebuild", "status", "-o", "json"}).json()["idle"], true);
}

TEST_F(AdminCommandTest, TheScrubThatGoesOnByItselfIsShown) {
  EXPECT_THAT(Run({"scrub", "--status"}).out,
              HasSubstr("pass        none since the metadata's node has started\n"
                        "last ended  none yet\n"));
  ScrubInfo scrub;
  scrub.running = true;
  scrub.began_at_ns = 1'800'000'000'000'000'000;
  scrub.ended_at_ns = 1'700'000'000'000'000'000;
  scrub.stripes_done = 30;
  scrub.stripes = 120;
  scrub.verified_bytes = 5 << 20;
  scrub.findings = 4;
  scrub.repaired = 3;
  scrub.reported = 2;
  admin_.rebuild[0].scrub = scrub;
  const std::string out = Run({"scrub", "--status"}).out;
  EXPECT_THAT(out, HasSubstr(" ago, 25% of about 120 stripes\n"));
  EXPECT_THAT(out, HasSubstr("read        5.00 MiB, 30 stripes\n"
                             "found       4, of which 3 are repaired\n"
                             "reported    2 stripes by clients"));
  const auto json = Run({"scrub", "--status", "-o", "json"}).json();
  EXPECT_EQ(json["began_at"], "2027-01-15T08:00:00.000Z");
  EXPECT_EQ(json["repaired"], 3);
  EXPECT_TRUE(admin_.step_options.empty()) << "it has checked something";
}

TEST_F(AdminCommandTest, RebuildJsonHasEveryField) {
  admin_.rebuild = {AtWork(0)};
  EXPECT_EQ(Run({"rebuild", "status", "-o", "json"}).json(), nlohmann::json::parse(R"({
    "idle": false, "moves_copying": 0, "moves_settling": 1, "members_lost": 2,
    "restored_fragments": 12, "restored_bytes": 50331648, "bytes_per_second": 200000000,
    "pass_stripes_done": 50, "pass_stripes": 200, "passes": 3, "failed_fragments": 1,
    "last_failure": "node 5\nis busy", "waiting_nodes": [5, 6],
    "sweep_due": true,
    "scrub": {"running": false, "began_at": null, "ended_at": null, "stripes_done": 0, "stripes": 0,
              "verified_bytes": 0, "findings": 0, "repaired": 0, "reported": 0},
    "moves": [{"group": 100, "index": 2, "from_target": 7, "to_target": 8, "state": "settling"}]})"));
  cluster_.errors["rebuild"] = absl::DeadlineExceededError("no answer");
  EXPECT_EQ(Run({"rebuild", "status"}).code, 4);
  EXPECT_EQ(Run({"rebuild"}).code, 1);
}

TEST_F(AdminCommandTest, WatchLooksUntilNothingIsLeft) {
  admin_.rebuild = {AtWork(2), AtWork(1), RebuildInfo()};
  const MonoTime before = clock_.now;
  const RunResult result = Run({"rebuild", "status", "--watch"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(clock_.now - before, absl::Seconds(4));
  EXPECT_EQ(result.out,
            "1970-01-01T00:18:20.000Z  2 copying, 1 settling, 2 stuck; 12 fragments, 48.0 MiB, "
            "200 MB/s; pass 25%; 1 failure; waits for nodes 5, 6\n"
            "1970-01-01T00:18:20.000Z  1 copying, 1 settling, 2 stuck; 12 fragments, 48.0 MiB, "
            "200 MB/s; pass 25%; 1 failure; waits for nodes 5, 6\n"
            "1970-01-01T00:18:20.000Z  0 copying, 0 settling, 0 stuck; 0 fragments, 0 B, -; pass "
            "-; 0 failures\n"
            "nothing is left to move\n");
}

TEST_F(AdminCommandTest, WatchRedrawsOnATerminalAndGivesALineALookInJson) {
  admin_.rebuild = {AtWork(1), RebuildInfo()};
  out_kind_ = StreamKind::kTerminal;
  const std::string out = Run({"rebuild", "status", "-w"}).out;
  EXPECT_THAT(out, ::testing::StartsWith("\033[H\033[Jmoves     1 copying, 1 settling\n"));
  EXPECT_THAT(out, HasSubstr("\033[H\033[Jmoves     0 copying, 0 settling\n"));
  admin_.rebuild_looks = 0;
  const std::string json = Run({"rebuild", "status", "-w", "-o", "json"}).out;
  EXPECT_THAT(json, ::testing::StartsWith("{\"idle\":false,"));
  EXPECT_THAT(json, HasSubstr("}\n{\"idle\":true,"));
  EXPECT_EQ(Lines(json), 2u);
}

TEST_F(AdminCommandTest, WatchGivesUpOnMembersWithNowhereToGoAfterAMinute) {
  RebuildInfo stuck;
  stuck.members_lost = 1;
  admin_.rebuild = {stuck};
  const MonoTime before = clock_.now;
  const RunResult result = Run({"rebuild", "status", "--watch"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(clock_.now - before, absl::Minutes(1));
  EXPECT_EQ(result.err,
            "cairn: rebuild is stuck: 1 member of groups with nowhere to go; add a node, or see "
            "'cairn health'\n");
  // A move in between is hope.
  admin_.rebuild.assign(20, stuck);
  admin_.rebuild.push_back(AtWork(1));
  admin_.rebuild.insert(admin_.rebuild.end(), 20, stuck);
  admin_.rebuild.push_back(RebuildInfo());
  admin_.rebuild_looks = 0;
  EXPECT_EQ(Run({"rebuild", "status", "--watch"}).code, 0);
}

TEST_F(AdminCommandTest, WatchEndsWithASignalAndWithAFailure) {
  admin_.rebuild = {AtWork(1)};
  at_wait_ = [this] { cluster_.errors["rebuild"] = absl::UnavailableError("gone"); };
  EXPECT_EQ(Run({"rebuild", "status", "--watch"}).code, 4);
  cluster_.errors.clear();
  at_wait_ = [this] { interrupts_.Raise(SIGINT); };
  EXPECT_EQ(Run({"rebuild", "status", "--watch"}).code, 130);
}

// ---- fsck and scrub ----

StorageFinding Finding(StorageFault fault, uint64_t stripe, bool repaired,
                       std::string detail = "") {
  return {fault, stripe, 4, 5, 1, repaired, std::move(detail)};
}

class StorageCheckTest : public AdminCommandTest {
 protected:
  StorageCheckTest() {
    admin_.steps[0] = {100, false, 90, 540, 1 << 20, {}, {}, 299};
    admin_.steps[100] = {200, false, 100, 600, 2 << 20, {}, {}, 299};
    admin_.steps[200] = {UINT64_MAX, true, 10, 61, 0, {}, {}, 299};
  }
};

TEST_F(StorageCheckTest, ACleanStorageIsOneLineAndExitsZero) {
  const RunResult result = Run({"fsck"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.out, "fsck: nothing found, 200 stripes, 1201 fragments in 0 us\n");
  ASSERT_EQ(admin_.step_options.size(), 3u);
  for (const CheckStorageOptions& options : admin_.step_options) {
    EXPECT_FALSE(options.verify);
    EXPECT_FALSE(options.repair);
  }
}

TEST_F(StorageCheckTest, WhatMovesHaveLeftIsNoFault) {
  admin_.steps[0].leftovers = 3;
  admin_.steps[200].leftovers = 1;
  const RunResult result = Run({"fsck"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out,
            "fsck: nothing found, 200 stripes, 1201 fragments in 0 us\n"
            "4 fragments left by moves, to be freed when the rebuild is through: no fault, see "
            "'cairn rebuild status'\n");
  const Json document = Json::parse(Run({"--output", "json", "fsck"}).out);
  EXPECT_EQ(document["leftovers"], 4);
  EXPECT_EQ(document["found"], 0);
  EXPECT_EQ(document["ok"], true);
}

TEST_F(StorageCheckTest, ScrubAndVerifyReadEverything) {
  for (const auto& command : std::vector<std::vector<std::string>>{
           {"scrub", "--repair"}, {"fsck", "--verify", "--repair"}}) {
    admin_.step_options.clear();
    const RunResult result = Run(command);
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.out, absl::StrCat(command[0],
                                       ": nothing found, 200 stripes, 1201 fragments, 3.00 MiB "
                                       "verified in 0 us (-)\n"));
    ASSERT_EQ(admin_.step_options.size(), 3u);
    for (const CheckStorageOptions& options : admin_.step_options) {
      EXPECT_TRUE(options.verify);
      EXPECT_TRUE(options.repair);
    }
  }
  admin_.step_options.clear();
  Run({"scrub"});
  EXPECT_FALSE(admin_.step_options.at(0).repair);
  EXPECT_EQ(Run({"scrub", "--verify"}).code, 1);
  EXPECT_EQ(Run({"fsck", "b"}).code, 1);
}

TEST_F(StorageCheckTest, FindingsThatAreLeftExitOne) {
  admin_.steps[0].findings = {Finding(StorageFault::kFragmentMissing, 7, false),
                              Finding(StorageFault::kStripeLost, 7, false)};
  admin_.steps[200].findings = {Finding(StorageFault::kFragmentMissing, 207, false, "no\nanswer"),
                                {StorageFault::kFragmentOrphan, 290, 0, 6, 0, false, ""}};
  const RunResult result = Run({"fsck"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out,
            "fragment_missing  stripe 7  group 4  target 5  index 1\n"
            "stripe_lost  stripe 7  group 4\n"
            "fragment_missing  stripe 207  group 4  target 5  index 1  no\\x0aanswer\n"
            "fragment_orphan  stripe 290  target 6  index 0\n"
            "fsck: 4 found, 200 stripes, 1201 fragments in 0 us\n"
            "  fragment_missing: 2\n"
            "  fragment_orphan: 1\n"
            "  stripe_lost: 1\n");
}

TEST_F(StorageCheckTest, RepairedFindingsExitZeroAndOthersOne) {
  admin_.steps[0].findings = {Finding(StorageFault::kFragmentDamaged, 7, true)};
  const RunResult all = Run({"fsck", "--repair"});
  EXPECT_EQ(all.code, 0);
  EXPECT_EQ(all.out,
            "fragment_damaged  stripe 7  group 4  target 5  index 1  repaired\n"
            "fsck: 1 found, 1 repaired, 200 stripes, 1201 fragments in 0 us\n"
            "  fragment_damaged: 1, 1 repaired\n");
  admin_.steps[100].findings = {Finding(StorageFault::kFragmentWrongLength, 107, false, "busy")};
  const RunResult some = Run({"fsck", "--repair"});
  EXPECT_EQ(some.code, 1);
  EXPECT_THAT(some.out, HasSubstr("fragment_wrong_length  stripe 107  group 4  target 5  index 1  "
                                  "not repaired  busy\n"));
  EXPECT_THAT(some.out, HasSubstr("fsck: 2 found, 1 repaired, "));
}

TEST_F(StorageCheckTest, TargetsThatCouldNotBeAskedArePartial) {
  admin_.steps[0].unreachable_targets = {9, 5};
  admin_.steps[200].unreachable_targets = {5};
  const RunResult result = Run({"fsck"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.out,
              HasSubstr("could not ask targets 5, 9: what is missing there is not known\n"));
  const RunResult json = Run({"fsck", "-o", "json"});
  EXPECT_EQ(json.code, 2);
  EXPECT_EQ(json.json()["ok"], false);
  EXPECT_EQ(json.json()["unreachable_targets"], nlohmann::json({5, 9}));
  admin_.steps[0].findings = {Finding(StorageFault::kGroupUnknown, 7, false)};
  EXPECT_EQ(Run({"fsck"}).code, 1);
}

TEST_F(StorageCheckTest, JsonHasEveryFindingAndTheCounts) {
  admin_.steps[0].findings = {Finding(StorageFault::kFragmentMissing, 7, true, "d"),
                              Finding(StorageFault::kStripeLost, 8, false),
                              Finding(StorageFault::kUnknown, 9, false)};
  admin_.steps[200].findings = {{StorageFault::kFragmentOrphan, 290, 0, 6, 0, true, ""}};
  const RunResult result = Run({"scrub", "--repair", "-o", "json"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.json(), nlohmann::json::parse(R"({
    "ok": false, "done": true, "verify": true, "repair": true, "stripes": 200, "fragments": 1201,
    "verified_bytes": 3145728, "seconds": 0.0, "found": 4, "repaired": 2,
    "by_fault": {"fragment_missing": {"found": 1, "repaired": 1},
                 "stripe_lost": {"found": 1, "repaired": 0},
                 "unknown": {"found": 1, "repaired": 0},
                 "fragment_orphan": {"found": 1, "repaired": 1}},
    "leftovers": 0, "unreachable_targets": [],
    "findings": [
      {"fault": "fragment_missing", "stripe": 7, "group": 4, "target": 5, "index": 1,
       "repaired": true, "detail": "d"},
      {"fault": "stripe_lost", "stripe": 8, "group": 4, "target": null, "index": null,
       "repaired": false, "detail": ""},
      {"fault": "unknown", "stripe": 9, "group": 4, "target": 5, "index": 1, "repaired": false,
       "detail": ""},
      {"fault": "fragment_orphan", "stripe": 290, "group": null, "target": 6, "index": 0,
       "repaired": true, "detail": ""}]})"));
}

TEST_F(StorageCheckTest, ATerminalGetsAHundredLinesAndAFileGetsAll) {
  for (uint64_t stripe = 0; stripe < 70; ++stripe) {
    admin_.steps[0].findings.push_back(Finding(StorageFault::kFragmentMissing, stripe, false));
    admin_.steps[100].findings.push_back(
        Finding(StorageFault::kFragmentMissing, 100 + stripe, false));
  }
  EXPECT_EQ(Lines(Run({"fsck"}).out), 140u + 2);
  EXPECT_EQ(Run({"fsck", "-o", "json"}).json()["findings"].size(), 140u);
  out_kind_ = StreamKind::kTerminal;
  const std::string out = Run({"fsck"}).out;
  EXPECT_EQ(Lines(out), 100u + 1 + 2);
  EXPECT_THAT(out, HasSubstr("  index 1\nand 40 more\nfsck: 140 found, "));
}

TEST_F(StorageCheckTest, AFailureHalfWayTellsWhatWasFoundUntilThen) {
  admin_.steps[0].findings = {Finding(StorageFault::kFragmentMissing, 7, true)};
  cluster_.errors["check:100"] = absl::UnavailableError("gone");
  const RunResult table = Run({"fsck", "--repair"});
  EXPECT_EQ(table.code, 4);
  EXPECT_THAT(table.out, HasSubstr("fsck: stopped at stripe 100, 1 found, 1 repaired, 90 stripes"));
  EXPECT_THAT(table.err, HasSubstr("cairn: cannot check the storage: gone; "));
  const RunResult json = Run({"fsck", "--repair", "-o", "json"});
  EXPECT_EQ(json.code, 4);
  EXPECT_EQ(json.json()["error"]["code"], "UNAVAILABLE");
  EXPECT_EQ(json.json()["done"], false);
  EXPECT_EQ(json.json()["ok"], false);
  EXPECT_EQ(json.json()["findings"].size(), 1u);
  cluster_.errors["check:100"] = absl::InternalError("broken");
  EXPECT_EQ(Run({"fsck"}).code, 1);
}

TEST_F(StorageCheckTest, AStepThatGoesNowhereEndsIt) {
  admin_.steps[100].next = 100;
  const RunResult result = Run({"fsck"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("the check does not get on from stripe 100"));
  EXPECT_EQ(admin_.step_options.size(), 2u);
}

TEST_F(StorageCheckTest, ASignalEndsItBetweenTwoSteps) {
  interrupts_.Raise(SIGINT);
  const RunResult result = Run({"fsck"});
  EXPECT_EQ(result.code, 130);
  EXPECT_EQ(result.err, "cairn: interrupted\n");
  EXPECT_THAT(admin_.step_options, IsEmpty());
}

TEST_F(StorageCheckTest, TheBarSaysHowFarItIs) {
  EXPECT_THAT(Run({"fsck", "--progress", "always"}).err,
              HasSubstr("fsck   33% [==========>                   ] 100 of 300 stripes"));
  EXPECT_THAT(Run({"fsck"}).err, IsEmpty());
}

TEST_F(AdminCommandTest, UnreachableExitsFour) {
  cluster_.connect_status = absl::UnavailableError("127.0.0.1:1: connection refused");
  for (const auto& command : std::vector<std::vector<std::string>>{{"node", "drain", "3"},
                                                                   {"node", "undrain", "3"},
                                                                   {"node", "rm", "3", "--yes"},
                                                                   {"node", "ok-to-stop", "3"},
                                                                   {"rebuild", "status"},
                                                                   {"rebuild", "status", "-w"},
                                                                   {"fsck"},
                                                                   {"scrub"}}) {
    EXPECT_EQ(Run(command).code, 4);
  }
}

// ---- waiting ----

TEST(Interrupts, AWaitEndsWithItsTimeOrWithASignal) {
  Interrupts interrupts;
  EXPECT_TRUE(interrupts.Wait(absl::Milliseconds(1)).ok());
  interrupts.Raise(SIGTERM);
  EXPECT_TRUE(absl::IsCancelled(interrupts.Wait(absl::Hours(1))));
}

}  // namespace
}  // namespace cairn::cli
