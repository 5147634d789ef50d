// Goal: nothing that cannot be taken back happens unasked, and a dry run says what would happen and
// changes nothing. Method: command lines against the fake SDK, with a person at the terminal or
// without.
#include <csignal>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class ConsentTest : public CliTest {
 protected:
  ConsentTest() {
    cluster_.AddFile("b/x", "12345");
    cluster_.AddFile("b/d/y", "1");
    cluster_.AddFile("b/d/z", "23");
    cluster_.directories["b/d"] = EntryType::kDirectory;
    cluster_.directories["b/empty"] = EntryType::kDirectory;
    cluster_.AddCheckpoint("b/step-1", 2, "data");
    cluster_.AddCheckpoint("b/step-2", 2, "data");
    cluster_.status_json = R"({"map": {"nodes": [{"id": 3}], "targets": [{"id": 7, "node": 3}]}})";
  }
  void Answer(const std::string& text) {
    err_kind_ = StreamKind::kTerminal;
    typed_ = text;
  }
  size_t Stored() const { return cluster_.files.size() + cluster_.checkpoints.size(); }
  bool Untouched() const {
    return Stored() == 9 && cluster_.directories.size() == 5 &&
           cluster_.admin.node_changes.empty() && cluster_.admin.target_changes.empty() &&
           cluster_.admin.additions.empty() && cluster_.retention.empty();
  }
};

TEST_F(ConsentTest, WithoutATerminalWhatDestroysNeedsYes) {
  const std::vector<std::vector<std::string>> commands = {
      {"mv", "b/d/y", "b/x"},
      {"rm", "b/x"},
      {"rm", "-r", "b/d"},
      {"ckpt", "rm", "b/step-1"},
      {"ckpt", "prune", "b", "--keep-last", "1"},
      {"node", "rm", "3"},
      {"target", "rm", "7"},
      {"target", "replace", "7"},
      {"target", "add", "--node", "3", "--path", "/dev/x", "--wipe"}};
  for (const auto& command : commands) {
    const RunResult result = Run(command);
    EXPECT_EQ(result.code, 1) << command[0] << " " << command[1];
    EXPECT_THAT(result.err, StartsWith("cairn: did not ")) << command[0];
    EXPECT_THAT(result.err, HasSubstr("no terminal to ask on; add --yes to ")) << command[0];
    EXPECT_THAT(result.out, IsEmpty()) << command[0];
  }
  EXPECT_TRUE(Untouched());
  for (std::vector<std::string> command : commands) {
    command.emplace_back("--yes");
    EXPECT_EQ(Run(command).code, 0) << command[0] << " " << command[1];
  }
}

TEST_F(ConsentTest, ADryRunSaysWhatWouldBeAndChangesNothing) {
  EXPECT_EQ(Run({"rm", "b/x", "-n"}).out, "would remove b/x: 1 file, 5 B\n");
  EXPECT_EQ(Run({"rm", "-r", "b/d", "b/x", "-n"}).out,
            "would remove b/d: 2 files, 3 B\nwould remove b/x: 1 file, 5 B\n");
  EXPECT_EQ(Run({"rm", "b/empty", "-n"}).out, "would remove b/empty: 0 files, 0 B\n");
  EXPECT_EQ(Run({"ckpt", "rm", "b/step-1", "--dry-run"}).out,
            "would remove b/step-1: 2 files, 8 B\n");
  EXPECT_EQ(Run({"mv", "b/x", "b/d", "-n"}).out, "would move b/x to b/d/x\n");
  EXPECT_EQ(Run({"mv", "b/x", "b/d/y", "-n"}).out,
            "would move b/x to b/d/y, replacing the file there\n");
  EXPECT_EQ(Run({"node", "drain", "3", "-n"}).out, "would drain node 3\n");
  cluster_.admin.losses = {"2 placement groups of replica:1"};
  EXPECT_EQ(Run({"node", "rm", "3", "-n"}).out,
            "would remove node 3\nLost with it: data in 2 placement groups of replica:1.\n");
  EXPECT_THAT(Run({"target", "replace", "7", "-n"}).out,
              StartsWith("would replace target 7\nLost"));
  EXPECT_THAT(Run({"target", "drain", "7", "-n"}).out, StartsWith("would drain target 7\n"));
  EXPECT_EQ(Run({"target", "add", "--node", "3", "--path", "/dev/x", "--wipe", "-n"}).out,
            "would add a target to node 3 at /dev/x; whatever is on it is lost\n");
  EXPECT_EQ(Run({"target", "add", "--node", "4", "--size", "1GiB", "-n"}).code, 1);
  EXPECT_THAT(Run({"ckpt", "prune", "b", "--keep-last", "1", "-n"}).out,
              HasSubstr("would remove 1 checkpoint, 8 B\n"));
  EXPECT_EQ(Run({"ckpt", "retention", "b", "--keep-last", "1", "-n"}).out,
            "would be: b keeps the newest 1, the newest and pinned ones\n"
            "removed after the next commit, of what is there: 1\n  b/step-1\n");
  EXPECT_TRUE(Untouched());
}

TEST_F(ConsentTest, ADryRunSaysSoInJson) {
  const auto removed = Run({"rm", "-r", "b/d", "b/none", "-n", "-o", "json"});
  EXPECT_EQ(removed.code, 2);
  EXPECT_EQ(removed.json()[0], nlohmann::json::parse(R"({"path": "b/d", "ok": true, "dry_run": true,
                                  "files": 2, "size_bytes": 3, "complete": true})"));
  EXPECT_EQ(removed.json()[1]["error"]["code"], "NOT_FOUND");
  EXPECT_EQ(Run({"mv", "b/x", "b/d/y", "-n", "-o", "json"}).json()["replaced"], true);
  EXPECT_EQ(Run({"node", "drain", "3", "-n", "-o", "json"}).json()["dry_run"], true);
  EXPECT_EQ(Run({"target", "rm", "7", "-n", "-o", "json"}).json()["dry_run"], true);
  EXPECT_EQ(Run({"target", "add", "--node", "3", "--size", "1KiB", "-n", "-o", "json"}).json(),
            nlohmann::json::parse(R"({"node": 3, "path": "", "size_bytes": 1024, "wipe": false,
                                      "dry_run": true})"));
  EXPECT_EQ(Run({"ckpt", "retention", "b", "--keep-last", "1", "-n", "-o", "json"}).json(),
            nlohmann::json::parse(R"({"path": "b", "keep_last": 1, "keep_every_steps": 0,
              "keep_newer_than_seconds": 0, "dry_run": true, "would_remove": ["b/step-1"]})"));
  EXPECT_TRUE(Untouched());
}

TEST_F(ConsentTest, ADryRunTellsWhatWouldBeRefused) {
  EXPECT_THAT(Run({"rm", "b/d", "-n"}).err,
              HasSubstr("cannot remove b/d: it is not empty; -r removes it with all it holds"));
  cluster_.checkpoints["b/step-1"].pinned = true;
  EXPECT_THAT(Run({"ckpt", "rm", "b/step-1", "-n"}).err, HasSubstr("it is pinned; "));
  cluster_.errors["node:3"] = absl::FailedPreconditionError("too few nodes; add one");
  EXPECT_EQ(Run({"node", "drain", "3", "-n"}).code, 1);
  EXPECT_EQ(Run({"mv", "b/none", "b/y", "-n"}).code, 1);
}

TEST_F(ConsentTest, TheQuestionSaysWhatWouldGoAndOnlyYesRemoves) {
  Answer("n\n");
  EXPECT_EQ(
      Run({"rm", "-r", "b/d"}).err,
      "b/d: 2 files, 3 B\nRemove it? [y/N] cairn: did not remove b/d: the answer was not yes; "
      "nothing has changed\n");
  EXPECT_THAT(Run({"rm", "-r", "b/d", "b/none"}).err,
              StartsWith("b/d: 2 files, 3 B\nb/none: no such file or directory\nRemove them? "));
  EXPECT_THAT(Run({"ckpt", "rm", "b/step-1"}).err,
              StartsWith("b/step-1: 2 files, 8 B\nRemove it?"));
  EXPECT_THAT(Run({"ckpt", "prune", "b", "--keep-last", "1"}).err,
              HasSubstr("b/step-1\nRemove 1 checkpoint, 8 B? [y/N] cairn: did not prune b: "));
  EXPECT_THAT(Run({"mv", "b/d/y", "b/x"}).err,
              StartsWith("There is a file b/x. Replace it? [y/N] "));
  EXPECT_THAT(Run({"target", "add", "--node", "3", "--path", "/dev/x", "--wipe"}).err,
              StartsWith("This adds a target to node 3 at /dev/x; whatever is on it is lost.\n"
                         "Wipe it? [y/N] "));
  EXPECT_TRUE(Untouched());
  Answer("y\n");
  EXPECT_EQ(Run({"rm", "-r", "b/d"}).out, "removed b/d\n");
  EXPECT_EQ(Run({"ckpt", "rm", "b/step-1"}).code, 0);
  EXPECT_EQ(Run({"ckpt", "prune", "b", "--keep-last", "1"}).out, "removed 0 checkpoints, 0 B\n");
}

TEST_F(ConsentTest, NothingIsAskedWhereNothingIsLost) {
  EXPECT_EQ(Run({"mv", "b/x", "b/new"}).code, 0);
  EXPECT_EQ(Run({"node", "drain", "3"}).code, 0);
  EXPECT_EQ(Run({"target", "add", "--node", "3", "--path", "/dev/x"}).code, 0);
}

TEST_F(ConsentTest, ASignalAtTheQuestionRemovesNothing) {
  Answer("y\n");
  interrupts_.Raise(SIGINT);
  EXPECT_EQ(Run({"rm", "b/x"}).code, 130);
  EXPECT_TRUE(Untouched());
}

}  // namespace
}  // namespace cairn::cli
