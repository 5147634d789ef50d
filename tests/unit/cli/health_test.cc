// Goal: what the cluster says is wrong reaches people, programs and scripts: text, JSON, exit code.
// Method: command lines against a fake SDK whose status has the items.

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;

// The clock of the fixture says 1100 s.
constexpr char kError[] =
    R"({"code": "NODE_DOWN", "severity": "HEALTH_ERROR", "summary": "node 3 (h, 10.0.0.3:7440) is down",
    "endangers": "what is on it", "todo": "start it", "since_ns": "980000000000", "nodes": [3],
    "targets": []})";
constexpr char kWarning[] =
    R"({"code": "TARGET_NEARFULL", "severity": "HEALTH_WARNING", "summary": "1 target\n\u001b[2J",
    "endangers": "room", "todo": "prune", "sinceNs": "0", "targets": [4, 5]})";

class HealthCommandTest : public CliTest {
 protected:
  void SetHealth(const std::string& items) {
    cluster_.status_json = absl::StrCat(R"({"cluster_id": "c1", "health": [)", items, "]}");
  }
};

TEST_F(HealthCommandTest, AHealthyClusterIsOneLineAndExitsZero) {
  for (const char* status : {R"({"health": []})", "{}"}) {
    cluster_.status_json = status;
    const RunResult table = Run({"health"});
    EXPECT_EQ(table.code, 0);
    EXPECT_EQ(table.out, "HEALTH OK\n");
    const RunResult json = Run({"health", "-o", "json"});
    EXPECT_EQ(json.code, 0);
    EXPECT_EQ(json.json(), nlohmann::json::parse(R"({"status": "ok", "items": []})"));
    EXPECT_THAT(Run({"status"}).out, HasSubstr("\nhealth    ok\n"));
  }
}

TEST_F(HealthCommandTest, ErrorsExitOneAndSayWhatToDo) {
  SetHealth(absl::StrCat(kError, ",", kWarning));
  const RunResult table = Run({"health"});
  EXPECT_EQ(table.code, 1);
  EXPECT_EQ(table.err, "");
  EXPECT_EQ(table.out,
            "ERROR NODE_DOWN since 2m: node 3 (h, 10.0.0.3:7440) is down\n"
            "  endangers: what is on it\n"
            "  do: start it\n"
            "WARNING TARGET_NEARFULL: 1 target\\x0a\\x1b[2J\n"
            "  endangers: room\n"
            "  do: prune\n");
}

TEST_F(HealthCommandTest, WarningsAloneExitZero) {
  SetHealth(kWarning);
  EXPECT_EQ(Run({"health"}).code, 0);
  const RunResult json = Run({"health", "-o", "json"});
  EXPECT_EQ(json.code, 0);
  EXPECT_EQ(json.json()["status"], "warning");
}

TEST_F(HealthCommandTest, JsonHasEveryFieldOfEveryItem) {
  SetHealth(absl::StrCat(kError, ",", kWarning));
  const RunResult result = Run({"health", "--output", "json"});
  EXPECT_EQ(result.code, 1);
  const auto json = result.json();
  EXPECT_EQ(json["status"], "error");
  ASSERT_EQ(json["items"].size(), 2u);
  EXPECT_EQ(json["items"][0],
            nlohmann::json::parse(
                R"({"code": "NODE_DOWN", "severity": "error", "since": "1970-01-01T00:16:20.000Z",
                "summary": "node 3 (h, 10.0.0.3:7440) is down", "endangers": "what is on it",
                "todo": "start it", "nodes": [3], "targets": []})"));
  EXPECT_EQ(json["items"][1]["since"], "");
  EXPECT_EQ(json["items"][1]["nodes"], nlohmann::json::array());
  EXPECT_EQ(json["items"][1]["targets"], nlohmann::json({4, 5}));
  EXPECT_EQ(Run({"status", "-o", "json"}).json()["health"], json);
}

TEST_F(HealthCommandTest, ASeverityOfALaterReleaseIsAnError) {
  SetHealth(R"({"code": "WORSE", "severity": 3, "summary": "s"})");
  const RunResult result = Run({"health"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out, "ERROR WORSE: s\n");
}

TEST_F(HealthCommandTest, StatusCountsThemInALine) {
  SetHealth(absl::StrCat(kError, ",", kError, ",", kWarning));
  EXPECT_THAT(Run({"status"}).out, HasSubstr("\nhealth    2 errors, 1 warning: cairn health\n"));
  SetHealth(kWarning);
  EXPECT_THAT(Run({"status"}).out, HasSubstr("\nhealth    1 warning: cairn health\n"));
  SetHealth(kError);
  EXPECT_THAT(Run({"status"}).out, HasSubstr("\nhealth    1 error: cairn health\n"));
  EXPECT_EQ(Run({"status"}).code, 0);
}

TEST_F(HealthCommandTest, UnreachableExitsFour) {
  cluster_.connect_status = absl::UnavailableError("127.0.0.1:1: connection refused");
  for (const auto& command :
       std::vector<std::vector<std::string>>{{"health"}, {"node", "ls"}, {"target", "ls"}}) {
    EXPECT_EQ(Run(command).code, 4);
  }
  const RunResult json = Run({"health", "-o", "json"});
  EXPECT_EQ(json.code, 4);
  EXPECT_EQ(json.json()["error"]["code"], "UNAVAILABLE");
}

TEST_F(HealthCommandTest, AStrangersAnswerIsAnError) {
  cluster_.status_json = "<html>";
  EXPECT_EQ(Run({"health"}).code, 1);
  cluster_.status_json = R"({"health": [1, {"nodes": "x", "since_ns": {}}]})";
  EXPECT_EQ(Run({"health"}).out, "ERROR : \n");
}

TEST_F(HealthCommandTest, NodesAndTargetsAreListed) {
  cluster_.status_json = R"({"map": {
    "nodes": [{"id": 1, "endpoint": "a:1", "name": "one", "rack": "r"},
              {"id": 2, "state": "NODE_DOWN", "state_since_ns": "980000000000"}],
    "targets": [{"id": 4, "node": 2, "state": "TARGET_UP", "capacity_bytes": "1000",
                 "used_bytes": "250", "path": "/d/t0", "draining": false}]}})";
  EXPECT_EQ(Run({"node", "ls"}).out,
            "NODE  STATE  SINCE                     ENDPOINT  HOST  RACK\n"
            "   1  up     -                         a:1       one   r\n"
            "   2  down   1970-01-01T00:16:20.000Z  -         -     -\n");
  EXPECT_EQ(Run({"target", "ls"}).out,
            "TARGET  NODE  STATE    SIZE   USED  USE%  FRAGMENTS  MOVES  PATH\n"
            "     4     2  up     1000 B  250 B   25%          0  -      /d/t0\n");
  const auto status = Run({"status", "-o", "json"}).json();
  EXPECT_EQ(Run({"node", "ls", "-o", "json"}).json(), status["nodes"]);
  EXPECT_EQ(Run({"target", "ls", "-o", "json"}).json(), status["targets"]);
  EXPECT_THAT(Run({"status"}).out, HasSubstr(Run({"node", "ls"}).out));
  EXPECT_THAT(Run({"status"}).out, HasSubstr(Run({"target", "ls"}).out));
  EXPECT_EQ(Run({"node"}).code, 1);
}

TEST_F(HealthCommandTest, NodesThatAreToBeEmptySaySoBesideTheirState) {
  cluster_.status_json = R"({"map": {
    "nodes": [{"id": 1, "draining": false, "removing": false},
              {"id": 2, "draining": true, "removing": false},
              {"id": 3, "state": "NODE_DOWN", "draining": true, "removing": true},
              {"id": 4, "removing": true}],
    "targets": [{"id": 5, "node": 1, "state": "TARGET_UP", "draining": true}]}})";
  EXPECT_EQ(Run({"node", "ls"}).out,
            "NODE  STATE           SINCE  ENDPOINT  HOST  RACK\n"
            "   1  up              -      -         -     -\n"
            "   2  up, draining    -      -         -     -\n"
            "   3  down, removing  -      -         -     -\n"
            "   4  up, removing    -      -         -     -\n");
  EXPECT_THAT(Run({"target", "ls"}).out, HasSubstr("\n     5     1  up, draining  "));
  const auto nodes = Run({"node", "ls", "-o", "json"}).json();
  EXPECT_EQ(nodes[0]["draining"], false);
  EXPECT_EQ(nodes[1]["draining"], true);
  EXPECT_EQ(nodes[1]["state"], "up");
  EXPECT_EQ(nodes[2]["removing"], true);
  EXPECT_EQ(Run({"target", "ls", "-o", "json"}).json()[0]["draining"], true);
}

}  // namespace
}  // namespace cairn::cli
