// Goal: what an examination has found reaches people, programs and scripts, and one that others
// disturb, hangs or fails is told as such. Method: command lines against a fake SDK.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

ExamineFinding SlowTarget() {
  ExamineFinding finding;
  finding.code = "TARGET_SLOW";
  finding.summary = "target 4 of node 2 is slow\x1b[2J";
  finding.endangers = "every save";
  finding.todo = "smartctl";
  finding.nodes = {2};
  finding.targets = {4};
  finding.measured = 80.5;
  finding.usual = 0.5;
  finding.unit = "ms";
  return finding;
}

ExamineFinding SilentNode() {
  ExamineFinding finding;
  finding.code = "NODE_SILENT";
  finding.is_error = true;
  finding.summary = "node 3 does not answer";
  finding.since = absl::FromUnixSeconds(980);
  finding.nodes = {3};
  return finding;
}

// Of two nodes, one of which has answered.
ExaminationStep Done(std::vector<ExamineFinding> findings) {
  ExaminationStep step;
  step.examination = 7;
  step.done = true;
  step.nodes = step.nodes_done = 2;
  step.findings = std::move(findings);
  ExaminedNode node;
  node.node = 2;
  node.software_version = "0.1";
  node.uptime = absl::Hours(2);
  node.round_trip = absl::Microseconds(150);
  node.clock_ahead = absl::Milliseconds(-1500);
  node.clock_error = absl::Microseconds(75);
  node.downs = 1;
  ExaminedTarget target;
  target.target = 4;
  target.used_bytes = 250;
  target.capacity_bytes = 1000;
  target.probe = {9, absl::Milliseconds(80), absl::Milliseconds(90), absl::Milliseconds(90)};
  node.targets = {target};
  ExaminedLink good, bad;
  good.to_node = 3;
  good.round_trip = absl::Microseconds(200);
  good.bytes_per_second = 120'000'000;
  bad.to_node = 5;
  bad.error = "no route";
  node.links = {good, bad};
  ExaminedNode silent;
  silent.node = 3;
  silent.error = "timed out";
  step.examined = {node, silent};
  return step;
}

class DoctorTest : public CliTest {
 protected:
  void Answer(std::vector<absl::StatusOr<ExaminationStep>> steps) {
    cluster_.admin.examinations = std::move(steps);
  }
};

TEST_F(DoctorTest, NothingThatStandsOutExitsZero) {
  Answer({Done({})});
  const RunResult result = Run({"doctor"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out,
            "1 of 2 nodes, 1 target and 2 links looked at in 0 us\nnothing stands out\n");
  const auto json = Run({"doctor", "-o", "json"}).json();
  EXPECT_EQ(json["status"], "ok");
  EXPECT_EQ(json["items"], nlohmann::json::array());
}

TEST_F(DoctorTest, FindingsAreToldWithWhatToDoAndErrorsExitOne) {
  Answer({Done({SilentNode(), SlowTarget()})});
  const RunResult result = Run({"doctor"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.out, HasSubstr("\nERROR NODE_SILENT since 2m: node 3 does not answer\n"
                                    "WARNING TARGET_SLOW: target 4 of node 2 is slow\\x1b[2J\n"
                                    "  endangers: every save\n"
                                    "  do: smartctl\n"));
  EXPECT_THAT(result.out, Not(HasSubstr("FROM")));
  Answer({Done({SlowTarget()})});
  EXPECT_EQ(Run({"doctor"}).code, 0);
}

TEST_F(DoctorTest, JsonHasEveryFieldOfFindingsAndWhatWasMeasured) {
  Answer({Done({SilentNode(), SlowTarget()})});
  const RunResult result = Run({"doctor", "--output", "json"});
  EXPECT_EQ(result.code, 1);
  const auto json = result.json();
  EXPECT_EQ(json["status"], "error");
  ASSERT_THAT(json["items"], SizeIs(2));
  EXPECT_EQ(json["items"][0]["since"], "1970-01-01T00:16:20.000Z");
  EXPECT_EQ(json["items"][1], nlohmann::json::parse(
                                  R"({"code": "TARGET_SLOW", "severity": "warning", "since": "",
                "summary": "target 4 of node 2 is slow\u001b[2J", "endangers": "every save",
                "todo": "smartctl", "nodes": [2], "targets": [4], "is_link": false,
                "measured": 80.5, "usual": 0.5, "unit": "ms"})"));
  ASSERT_THAT(json["nodes"], SizeIs(2));
  const auto& node = json["nodes"][0];
  EXPECT_EQ(node["clock_ahead_us"], -1'500'000);
  EXPECT_EQ(node["downs"], 1);
  EXPECT_EQ(node["targets"][0]["probe"],
            nlohmann::json::parse(
                R"({"samples": 9, "p50_us": 80000, "p99_us": 90000, "max_us": 90000})"));
  EXPECT_EQ(node["links"][1], nlohmann::json::parse(R"({"to_node": 5, "round_trip_us": 0,
                "bytes_per_second": 0, "error": "no route"})"));
  EXPECT_EQ(json["nodes"][1]["error"], "timed out");
}

TEST_F(DoctorTest, NodesAreShownWhenAskedFor) {
  Answer({Done({})});
  const std::string out = Run({"doctor", "--nodes"}).out;
  EXPECT_THAT(out, HasSubstr("NODE     RTT    CLOCK  UPTIME  DOWNS  RESTARTS  VERSION  ERROR\n"));
  EXPECT_THAT(out, HasSubstr("  -1.50 s  "));
  EXPECT_THAT(out, HasSubstr("timed out\n"));
  EXPECT_THAT(out, HasSubstr("25%"));
  EXPECT_THAT(out, HasSubstr("120 MB/s"));
  EXPECT_THAT(out, HasSubstr("no route\n"));
}

TEST_F(DoctorTest, AnExaminationIsAskedAfterUntilItIsDone) {
  ExaminationStep under_way;
  under_way.examination = 7;
  under_way.nodes = 4;
  under_way.nodes_done = 1;
  Answer({under_way, under_way, Done({})});
  const RunResult result = Run({"doctor", "--progress", "always"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(cluster_.admin.examined, ElementsAre(0, 7, 7));
  EXPECT_THAT(result.err, HasSubstr("1 of 4 nodes"));
}

TEST_F(DoctorTest, OneThatAnotherHasReplacedIsBegunAgainAFewTimes) {
  ExaminationStep under_way;
  under_way.examination = 7;
  Answer({under_way, absl::AbortedError("another"), Done({})});
  EXPECT_EQ(Run({"doctor"}).code, 0);
  EXPECT_THAT(cluster_.admin.examined, ElementsAre(0, 7, 0));
  cluster_.admin.examined.clear();
  Answer({absl::AbortedError("another")});
  const RunResult result = Run({"doctor"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("cairn: cannot examine the cluster: another"));
  EXPECT_THAT(cluster_.admin.examined, SizeIs(3));
}

TEST_F(DoctorTest, OneThatDoesNotEndIsGivenUp) {
  ExaminationStep under_way;
  under_way.examination = 7;
  Answer({under_way});
  const RunResult result = Run({"doctor"});
  EXPECT_NE(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr("does not end"));
}

TEST_F(DoctorTest, UnreachableExitsFour) {
  cluster_.errors["examine"] = absl::UnavailableError("nobody there");
  EXPECT_EQ(Run({"doctor"}).code, 4);
  cluster_.connect_status = absl::UnavailableError("127.0.0.1:1: connection refused");
  const RunResult json = Run({"doctor", "-o", "json"});
  EXPECT_EQ(json.code, 4);
  EXPECT_EQ(json.json()["error"]["code"], "UNAVAILABLE");
}

}  // namespace
}  // namespace cairn::cli
