// Goal: programs get JSON documents whole or line by line, people get looks that follow each other,
// and both end as they should. Method: whole command lines against the fake SDK; waits move a
// clock.
#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class OutputTest : public CliTest {
 protected:
  OutputTest() {
    cluster_.status_json = R"({"map": {
      "nodes": [{"id": 1, "name": "h1"}, {"id": 2, "name": "h2"}],
      "targets": [{"id": 3, "node": 1, "state": "TARGET_UP"}]}})";
    cluster_.buckets = {{"b", {"b", "replica:1"}}, {"c", {"c", "ec:4+2"}}};
    cluster_.directories["c"] = EntryType::kDirectory;
    cluster_.AddFile("b/d/x", "1");
    cluster_.directories["b/d"] = EntryType::kDirectory;
    cluster_.AddCheckpoint("b/step-1", 2, "data");
    cluster_.admin.steps[0] = {UINT64_MAX, true, 10, 61, 0, {}, {}, 299};
  }

  // One document a line, each whole.
  static std::vector<nlohmann::json> Documents(const std::string& out) {
    std::vector<nlohmann::json> documents;
    for (const std::string& line : std::vector<std::string>(absl::StrSplit(out, '\n'))) {
      if (!line.empty()) documents.push_back(nlohmann::json::parse(line));
    }
    return documents;
  }
};

// ---- ndjson ----

TEST_F(OutputTest, ListsAreOneElementALineAsNdjson) {
  const std::vector<std::vector<std::string>> lists = {
      {"ls"},           {"ls", "-r", "b"}, {"ls", "b/d/x"}, {"node", "ls"},
      {"target", "ls"}, {"bucket", "ls"},  {"ckpt", "ls"},  {"mkdir", "b/m", "b/n"}};
  for (std::vector<std::string> arguments : lists) {
    arguments.insert(arguments.end(), {"-o", "ndjson"});
    const auto lines = Documents(Run(arguments).out);
    arguments.back() = "json";
    const auto array = Run(arguments).json();
    ASSERT_TRUE(array.is_array()) << arguments[0];
    EXPECT_EQ(nlohmann::json(lines), array) << arguments[0];
    EXPECT_FALSE(lines.empty()) << arguments[0];
  }
}

TEST_F(OutputTest, SingleDocumentsAreOneLineAsNdjson) {
  const std::vector<std::vector<std::string>> singles = {{"status"},
                                                         {"health"},
                                                         {"doctor"},
                                                         {"stat", "b/d/x"},
                                                         {"bucket", "show", "b"},
                                                         {"ckpt", "show", "b/step-1"},
                                                         {"ckpt", "latest", "b"},
                                                         {"ckpt", "retention", "b"},
                                                         {"ckpt", "verify", "b/step-1"},
                                                         {"node", "ok-to-stop", "1"},
                                                         {"rebuild", "status"},
                                                         {"rebalance", "status"},
                                                         {"scrub", "status"},
                                                         {"fsck"},
                                                         {"config", "show"},
                                                         {"version"}};
  cluster_.admin.examinations = {ExaminationStep{}};
  cluster_.admin.examinations[0]->done = true;
  for (std::vector<std::string> arguments : singles) {
    arguments.insert(arguments.end(), {"-o", "ndjson"});
    const RunResult result = Run(arguments);
    EXPECT_EQ(result.code, 0) << arguments[0] << " " << result.err;
    ASSERT_THAT(Documents(result.out), SizeIs(1)) << arguments[0];
    EXPECT_TRUE(Documents(result.out)[0].is_object()) << arguments[0];
  }
}

TEST_F(OutputTest, FindingsAreLinesAndTheLastHasTheCounts) {
  cluster_.admin.steps[0].findings = {{StorageFault::kFragmentMissing, 7, 4, 5, 1, false, ""},
                                      {StorageFault::kStripeLost, 8, 4, 5, 1, false, ""}};
  const auto lines = Documents(Run({"fsck", "-o", "ndjson"}).out);
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_EQ(lines[0]["fault"], "fragment_missing");
  EXPECT_EQ(lines[1]["stripe"], 8);
  EXPECT_EQ(lines[2]["found"], 2);
  EXPECT_FALSE(lines[2].contains("findings"));
}

TEST_F(OutputTest, AFailureHalfWayIsTheLastLine) {
  WriteLocal("x", "1");
  const auto put =
      Documents(Run({"put", LocalPath("x"), LocalPath("none"), "b/", "-o", "ndjson"}).out);
  ASSERT_THAT(put, SizeIs(2));
  EXPECT_EQ(put[0]["ok"], false);
  EXPECT_EQ(put[1]["path"], "b/x");
  WriteLocal("out/there", "");
  const auto got = Documents(Run({"get", "-r", "b", LocalPath("out"), "-o", "ndjson"}).out);
  const auto all = Run({"get", "-r", "b", LocalPath("out"), "-o", "json"}).json();
  ASSERT_THAT(got, SizeIs(all.size()));
  for (const auto& each : got) EXPECT_THAT(all, ::testing::Contains(each));
  cluster_.connect_status = absl::UnavailableError("gone");
  const RunResult unreachable = Run({"ls", "-o", "ndjson"});
  EXPECT_EQ(unreachable.code, 4);
  ASSERT_THAT(Documents(unreachable.out), SizeIs(1));
  EXPECT_EQ(Documents(unreachable.out)[0]["error"]["code"], "UNAVAILABLE");
}

TEST_F(OutputTest, BadArgumentsAreToldInTheFormatThatIsAskedFor) {
  EXPECT_EQ(Run({"ls", "--frob", "-o", "json"}).json()["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(Run({"-o", "ndjson", "frob"}).json()["error"]["what"], "bad arguments");
}

// ---- watch ----

TEST_F(OutputTest, WatchLooksAgainUntilASignalAndExits130) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"status"},
                                             {"health"},
                                             {"node", "ls"},
                                             {"target", "ls"},
                                             {"ckpt", "ls"},
                                             {"scrub", "status"}}) {
    int waits = 0;
    at_wait_ = [&] {
      if (++waits == 3) interrupts_.Raise(SIGINT);
    };
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), {"--watch=5", "-o", "ndjson"});
    const MonoTime before = clock_.now;
    const RunResult result = RunFresh(arguments);
    EXPECT_EQ(result.code, 130) << command[0];
    EXPECT_EQ(result.err, "cairn: interrupted\n");
    EXPECT_THAT(Documents(result.out), SizeIs(3)) << command[0];
    EXPECT_EQ(clock_.now - before, absl::Seconds(15));
  }
}

TEST_F(OutputTest, AWatchedListIsOneLineALookInBothFormsOfJson) {
  for (const char* format : {"json", "ndjson"}) {
    at_wait_ = [this] { interrupts_.Raise(SIGINT); };
    const auto looks = Documents(RunFresh({"node", "ls", "-w", "-o", format}).out);
    ASSERT_THAT(looks, SizeIs(1));
    EXPECT_EQ(looks[0].size(), 2u);
  }
}

TEST_F(OutputTest, WatchedBlocksHaveTheTimeAndAnEmptyLineBetween) {
  int waits = 0;
  at_wait_ = [&] {
    if (++waits == 2) interrupts_.Raise(SIGTERM);
  };
  const RunResult result = Run({"health", "--watch"});
  EXPECT_EQ(result.code, 143);
  EXPECT_EQ(result.out,
            "1970-01-01T00:18:20.000Z\nHEALTH OK\n\n1970-01-01T00:18:20.000Z\nHEALTH OK\n\n");
}

TEST_F(OutputTest, ATerminalIsDrawnAnewAndSaysHowToEndIt) {
  out_kind_ = err_kind_ = StreamKind::kTerminal;
  int waits = 0;
  at_wait_ = [&] {
    if (++waits == 2) interrupts_.Raise(SIGINT);
  };
  const std::string look =
      "\033[H\033[JHEALTH OK\n\n1970-01-01T00:18:20.000Z, again every 10.0 s; Ctrl-C ends it\n";
  EXPECT_EQ(Run({"health", "--watch=10s"}).out, look + look);
}

TEST_F(OutputTest, NotesOfALookAreDrawnWithItAndADumbTerminalGetsBlocks) {
  out_kind_ = err_kind_ = StreamKind::kTerminal;
  at_wait_ = [this] { interrupts_.Raise(SIGINT); };
  const RunResult drawn = RunFresh({"ckpt", "ls", "c", "--watch"});
  EXPECT_THAT(drawn.out, StartsWith("\033[H\033[Jno committed checkpoints; "));
  EXPECT_EQ(drawn.err, "cairn: interrupted\n");
  environment_["TERM"] = "dumb";
  const RunResult dumb = RunFresh({"health", "--watch"});
  EXPECT_THAT(dumb.out, Not(HasSubstr("\033")));
  EXPECT_THAT(dumb.out, StartsWith("1970-"));
}

TEST_F(OutputTest, AFailedLookEndsTheWatchBelowTheLastGoodOne) {
  out_kind_ = err_kind_ = StreamKind::kTerminal;
  at_wait_ = [this] { cluster_.status_json = "<html>"; };
  const RunResult result = Run({"status", "-w"});
  EXPECT_EQ(result.code, 1);
  const size_t drawn = result.out.find("\033[H\033[J");
  EXPECT_EQ(result.out.find("\033[H\033[J", drawn + 1), std::string::npos);
  EXPECT_THAT(result.out, HasSubstr("cairn: cannot read the status"));
}

TEST_F(OutputTest, HealthThatIsWatchedGoesOnOverErrors) {
  cluster_.status_json = R"({"health": [{"code": "X", "severity": "HEALTH_ERROR"}]})";
  int waits = 0;
  at_wait_ = [&] {
    if (++waits == 2) interrupts_.Raise(SIGINT);
  };
  const RunResult result = Run({"health", "-w", "-o", "ndjson"});
  EXPECT_EQ(result.code, 130);
  EXPECT_THAT(Documents(result.out), SizeIs(2));
}

TEST_F(OutputTest, IntervalsThatMakeNoSenseAreRefused) {
  for (const char* wrong : {"--watch=0", "--watch=soon", "--watch=50ms", "--watch=-1"}) {
    const RunResult result = Run({"health", wrong});
    EXPECT_EQ(result.code, 1) << wrong;
    EXPECT_THAT(result.err, HasSubstr("bad arguments: --watch: ")) << wrong;
  }
  // What follows without "=" is an argument.
  at_wait_ = [this] { interrupts_.Raise(SIGINT); };
  EXPECT_EQ(RunFresh({"ckpt", "ls", "--watch", "b"}).code, 130);
}

// ---- rebalance, in verbs ----

TEST_F(OutputTest, ARebalanceHasVerbsAndTheOldSpellingsStay) {
  EXPECT_EQ(Run({"rebalance", "start", "--threshold", "5"}).code, 0);
  EXPECT_EQ(Run({"rebalance", "start", "-n"}).code, 0);
  EXPECT_EQ(Run({"rebalance", "stop"}).code, 0);
  EXPECT_EQ(Run({"rebalance", "status"}).code, 0);
  EXPECT_EQ(Run({"rebalance", "--stop"}).code, 0);
  EXPECT_EQ(Run({"rebalance", "--threshold", "5"}).code, 0);
  EXPECT_THAT(cluster_.admin.balance_calls,
              ElementsAre("start 5", "show 2", "stop", "show 0", "stop", "start 5"));
  EXPECT_EQ(Run({"scrub", "--status"}).out, Run({"scrub", "status"}).out);
  EXPECT_THAT(cluster_.admin.step_options, IsEmpty());
}

TEST_F(OutputTest, AWatchedRebalanceEndsWhenNothingIsLeft) {
  BalanceInfo moving;
  moving.threshold_percent = 2;
  moving.moves_under_way = 1;
  cluster_.admin.balance = {moving, moving, BalanceInfo()};
  const RunResult result = Run({"rebalance", "start", "-w", "-o", "json"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(Documents(result.out), SizeIs(4));
  cluster_.admin.balance_looks = 0;
  EXPECT_THAT(Run({"rebalance", "status", "-w"}).out, HasSubstr("nothing is left to move\n"));
}

}  // namespace
}  // namespace cairn::cli
