// Goal: operators add, empty, remove and replace targets and even them out by command, know what it
// costs before they say yes, and get what is so in text, JSON and exit codes. Method: command lines
// against a fake Admin.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class TargetCommandTest : public CliTest {
 protected:
  TargetCommandTest() {
    cluster_.status_json = R"({"map": {"nodes": [{"id": 3}], "targets": [
      {"id": 7, "node": 3, "state": "TARGET_UP", "path": "/dev/a", "capacity_bytes": "2048",
       "used_bytes": "1024", "fragments": "12", "removing": true, "draining": true, "groups": 4,
       "moving_away": 2},
      {"id": 8, "node": 3, "state": "TARGET_UP", "path": "/dev/b", "moving_here": 1, "groups": 2},
      {"id": 9, "node": 3, "state": "TARGET_UP", "draining": true, "groups": 5},
      {"id": 10, "node": 3, "state": "TARGET_FAILED", "draining": true},
      {"id": 11, "node": 3, "state": "TARGET_UP", "groups": 2}]}})";
  }
  testing::FakeAdmin& admin_ = cluster_.admin;
};

TEST_F(TargetCommandTest, TheListSaysWhatEachIsDoing) {
  const std::string out = Run({"target", "ls"}).out;
  EXPECT_THAT(out,
              HasSubstr("up, removing      2.00 KiB  1.00 KiB   50%         12  2 leave  /dev/a"));
  EXPECT_THAT(out, HasSubstr("  1 come   /dev/b"));
  EXPECT_THAT(out, HasSubstr("  5 wait"));
  EXPECT_THAT(out, HasSubstr("failed, draining"));
  EXPECT_THAT(out, HasSubstr("  empty"));
  EXPECT_THAT(out, HasSubstr("  0  -"));
  const nlohmann::json json = Run({"target", "ls", "-o", "json"}).json();
  EXPECT_EQ(json[0]["fragments"], 12);
  EXPECT_EQ(json[0]["removing"], true);
  EXPECT_EQ(json[0]["moving_away"], 2);
  EXPECT_EQ(json[1]["moving_here"], 1);
  EXPECT_EQ(json[1]["groups"], 2);
  EXPECT_EQ(json[1]["lost"], false);
}

TEST_F(TargetCommandTest, OneIsShownAloneAndAnUnknownOneIsAnError) {
  EXPECT_EQ(Run({"target", "show", "7"}).out,
            "target     7\nnode       3\nstate      up, removing\npath       /dev/a\n"
            "space      1.00 KiB of 2.00 KiB used\nfragments  12\n"
            "groups     4, of which 2 leave; 0 come\n");
  EXPECT_EQ(Run({"target", "show", "7", "-o", "json"}).json(),
            Run({"target", "ls", "-o", "json"}).json()[0]);
  EXPECT_EQ(Run({"target", "show", "70"}).err,
            "cairn: cannot show target 70: there is none; 'cairn target ls' lists the targets\n");
  EXPECT_EQ(Run({"node", "show", "3"}).out,
            "node      3\nstate     up\nsince     -\nendpoint  -\nhost      -\nrack      -\n"
            "targets   7, 8, 9, 10, 11; 1.00 KiB of 2.00 KiB used\n");
  const nlohmann::json node = Run({"node", "show", "3", "-o", "ndjson"}).json();
  EXPECT_EQ(node["id"], 3);
  EXPECT_EQ(node["targets"].size(), 5u);
  EXPECT_EQ(Run({"node", "show", "4"}).code, 1);
}

TEST_F(TargetCommandTest, DrainAndUndrainAreAskedFor) {
  EXPECT_EQ(Run({"target", "drain", "7", "--force"}).out,
            "target 7 is being drained: what it holds moves away; see 'cairn target ls'\n");
  EXPECT_EQ(
      Run({"target", "undrain", "7", "-o", "json"}).json(),
      nlohmann::json::parse(R"({"target": 7, "action": "undrain", "force": false, "losses": []})"));
  ASSERT_EQ(admin_.target_changes.size(), 2u);
  EXPECT_EQ(admin_.target_changes[0].target, 7u);
  EXPECT_EQ(admin_.target_changes[0].action, TargetAction::kDrain);
  EXPECT_TRUE(admin_.target_changes[0].force);
  EXPECT_EQ(admin_.target_changes[1].action, TargetAction::kUndrain);
}

TEST_F(TargetCommandTest, RemovalAndReplacementNeedAYes) {
  for (const char* command : {"rm", "replace"}) {
    const RunResult refused = Run({"target", command, "7"});
    EXPECT_EQ(refused.code, 1);
    EXPECT_THAT(refused.err, HasSubstr("no terminal to ask on; add --yes"));
  }
  EXPECT_THAT(admin_.target_changes, IsEmpty());
  EXPECT_THAT(Run({"target", "rm", "7", "--yes"}).out, HasSubstr("target 7 is being removed"));
  EXPECT_THAT(Run({"target", "replace", "7", "-y"}).out, HasSubstr("give its node another"));
  ASSERT_EQ(admin_.target_changes.size(), 2u);
  EXPECT_EQ(admin_.target_changes[0].action, TargetAction::kRemove);
  EXPECT_EQ(admin_.target_changes[1].action, TargetAction::kReplace);
}

TEST_F(TargetCommandTest, TheQuestionSaysWhatIsLost) {
  err_kind_ = StreamKind::kTerminal;
  admin_.losses = {"2 placement groups of replica:1"};
  typed_ = "n\n";
  EXPECT_EQ(
      Run({"target", "rm", "7"}).err,
      "target 7 (node 3, up, /dev/a; 1.00 KiB)\n"
      "What can be read of it is moved away, the rest is made again from other fragments. Then "
      "it leaves the cluster for good.\n"
      "Lost with it: data in 2 placement groups of replica:1.\n"
      "Remove it? [y/N] cairn: did not remove target 7: the answer was not yes; nothing has "
      "changed\n");
  EXPECT_THAT(admin_.target_changes, IsEmpty()) << "what it costs was asked without doing it";
  EXPECT_THAT(Run({"node", "rm", "3"}).err, HasSubstr("Lost with it: data in 2 placement"));
  EXPECT_THAT(admin_.node_changes, IsEmpty());
  typed_ = "y\n";
  EXPECT_THAT(Run({"target", "rm", "7"}).out,
              HasSubstr("Lost with it: data in 2 placement groups of replica:1.\n"));
  EXPECT_EQ(Run({"node", "rm", "3", "-o", "json"}).json()["losses"][0],
            "2 placement groups of replica:1");
  // What would be refused is not asked about.
  cluster_.errors["target:7"] = absl::FailedPreconditionError("too little room; add a target");
  const RunResult refused = Run({"target", "rm", "7"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(refused.err, "cairn: cannot remove target 7: too little room; add a target\n");
}

TEST_F(TargetCommandTest, ATargetIsAdded) {
  EXPECT_EQ(Run({"target", "add", "--node", "3", "--path", "/dev/new", "--wipe", "-y"}).out,
            "target 7 of node 3, 1.00 GiB at /dev/new: it takes data in a few seconds; see 'cairn "
            "target ls'\n");
  ASSERT_EQ(admin_.additions.size(), 1u);
  EXPECT_EQ(admin_.additions[0].node, 3u);
  EXPECT_EQ(admin_.additions[0].target.path, "/dev/new");
  EXPECT_EQ(admin_.additions[0].target.size_bytes, 0u);
  EXPECT_TRUE(admin_.additions[0].target.wipe);
  EXPECT_EQ(Run({"target", "add", "--node", "3", "--size", "2GiB", "-o", "json"}).json(),
            nlohmann::json::parse(R"({"node": 3, "target": 7, "path": "/dev/new",
                                      "capacity_bytes": 1073741824, "existed": false})"));
  EXPECT_EQ(admin_.additions[1].target.size_bytes, uint64_t{2} << 30);
  EXPECT_FALSE(admin_.additions[1].target.wipe);
  admin_.added.existed = true;
  EXPECT_EQ(Run({"target", "add", "--node", "3", "--path", "/dev/new"}).out,
            "node 3 has it already, as target 7\n");
  cluster_.errors["add:3"] = absl::FailedPreconditionError("the device is not blank; say --wipe");
  EXPECT_EQ(Run({"target", "add", "--node", "3", "--path", "/dev/new"}).err,
            "cairn: cannot add a target to node 3: the device is not blank; say --wipe\n");
}

TEST_F(TargetCommandTest, WhatMakesNoSenseIsRefusedBeforeAnythingIsAsked) {
  const std::vector<std::vector<std::string>> wrong = {
      {"target", "rm"},
      {"target", "rm", "x", "--yes"},
      {"target", "replace", "0", "--yes"},
      {"target", "drain", "-1"},
      {"target", "add", "--path", "/dev/x"},
      {"target", "add", "--node", "3"},
      {"target", "add", "--node", "x", "--path", "/"},
      {"rebalance", "--threshold", "0"},
      {"rebalance", "--threshold", "100"},
      {"rebalance", "--stop", "--dry-run"},
      {"rebalance", "--watch", "--dry-run"}};
  for (const auto& arguments : wrong) {
    const RunResult result = Run(arguments);
    EXPECT_EQ(result.code, 1) << arguments.back();
    EXPECT_THAT(result.err, HasSubstr("cairn: bad arguments: "));
  }
  EXPECT_THAT(admin_.target_changes, IsEmpty());
  EXPECT_THAT(admin_.additions, IsEmpty());
  EXPECT_THAT(admin_.balance_calls, IsEmpty());
}

// ---- rebalance ----

BalanceInfo Uneven() {
  BalanceInfo info;
  info.targets = 4;
  info.emptiest = {8, 2, 100, 1000};
  info.median = {9, 3, 200, 1000};
  info.fullest = {7, 1, 225, 1000};
  return info;
}

TEST_F(TargetCommandTest, ADryRunSaysWhatWouldMove) {
  admin_.balance = {Uneven()};
  admin_.balance[0].moves = {{5, 0, 7, 8, 1024}};
  admin_.balance[0].moves_planned = 2;
  admin_.balance[0].bytes_planned = 2048;
  EXPECT_EQ(Run({"rebalance", "--dry-run"}).out,
            "targets    4 that take data\n"
            "fullest    22.5% of 1000 B, target 7 of node 1\n"
            "median     20.0% of 1000 B, target 9 of node 3\n"
            "emptiest   10.0% of 1000 B, target 8 of node 2\n"
            "spread     12.5%\n"
            "under way  no rebalance, 0 moves\n"
            "to move    2 members of placement groups, about 2.00 KiB\n"
            "\n"
            "GROUP  MEMBER  FROM  TO     ABOUT\n"
            "    5       0     7   8  1.00 KiB\n");
  EXPECT_THAT(admin_.balance_calls, ElementsAre("show 2"));
}

TEST_F(TargetCommandTest, ARebalanceIsStartedWatchedAndStopped) {
  EXPECT_EQ(Run({"rebalance", "--threshold", "5"}).code, 0);
  EXPECT_EQ(Run({"rebalance", "--stop"}).code, 0);
  EXPECT_THAT(admin_.balance_calls, ElementsAre("start 5", "stop"));
  admin_.balance_calls.clear();
  BalanceInfo moving = Uneven();
  moving.threshold_percent = 2;
  moving.moves_under_way = 1;
  BalanceInfo freeing = Uneven();
  freeing.threshold_percent = 2;
  freeing.waits_for_sweep = true;
  admin_.balance = {moving, freeing, Uneven()};
  const std::string out = Run({"rebalance", "--watch"}).out;
  EXPECT_THAT(out, HasSubstr("  spread 12.5%  a rebalance to 2%, 1 move\n"));
  EXPECT_THAT(out, HasSubstr("a rebalance to 2%, 0 moves; what has been moved is being freed\n"));
  EXPECT_THAT(out, HasSubstr("nothing is left to move\n"));
  EXPECT_THAT(admin_.balance_calls, ElementsAre("start 2", "show 0", "show 0", "show 0"));
}

TEST_F(TargetCommandTest, BalanceJsonHasEveryField) {
  admin_.balance = {Uneven()};
  admin_.balance[0].moves = {{5, 0, 7, 8, 1024}};
  admin_.balance[0].moves_planned = 1;
  admin_.balance[0].bytes_planned = 1024;
  EXPECT_EQ(Run({"rebalance", "-n", "-o", "json"}).json(), nlohmann::json::parse(R"({
    "targets": 4, "spread_percent": 12.5, "threshold_percent": 0, "moves_planned": 1,
    "bytes_planned": 1024, "moves_under_way": 0, "waits_for_sweep": false,
    "emptiest": {"target": 8, "node": 2, "used_bytes": 100, "capacity_bytes": 1000},
    "median": {"target": 9, "node": 3, "used_bytes": 200, "capacity_bytes": 1000},
    "fullest": {"target": 7, "node": 1, "used_bytes": 225, "capacity_bytes": 1000},
    "moves": [{"group": 5, "index": 0, "from_target": 7, "to_target": 8, "bytes": 1024}]})"));
  EXPECT_THAT(Run({"rebalance", "-n"}).out, Not(HasSubstr("nothing: ")));
  admin_.balance = {Uneven()};
  EXPECT_THAT(Run({"rebalance", "-n"}).out, HasSubstr("to move    nothing: one member less"));
  cluster_.errors["balance"] = absl::UnavailableError("gone");
  EXPECT_EQ(Run({"rebalance"}).code, 4);
}

}  // namespace
}  // namespace cairn::cli
