// Goal: shells complete commands, options, words, paths and numbers, and somebody who types never
// sees an error. Method: `cairn __complete` against the fake SDK; the scripts by the shells
// themselves where they are installed (tests/e2e/cli has them against a cluster).
#include <string>
#include <vector>

#include "client/cli/completion.h"
#include "client/cli/help.h"
#include "gmock/gmock.h"
#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;

class CompletionTest : public CliTest {
 protected:
  CompletionTest() {
    cluster_.AddFile("b/run/log", "1");
    cluster_.directories["b/run"] = EntryType::kDirectory;
    cluster_.directories["b/rest"] = EntryType::kDirectory;
    cluster_.AddCheckpoint("b/run/step-1", 1, "data");
    cluster_.status_json = R"({"map": {
      "nodes": [{"id": 1, "name": "h1"}, {"id": 12, "name": "h2", "state": "NODE_DOWN"}],
      "targets": [{"id": 7, "node": 1, "state": "TARGET_UP", "path": "/dev/a"}]}})";
  }
  std::string Complete(std::vector<std::string> words) {
    words.insert(words.begin(), "__complete");
    const RunResult result = Run(std::move(words));
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.err, "");
    return result.out;
  }
};

TEST_F(CompletionTest, PathsAreCompletedOneNameAtATime) {
  EXPECT_EQ(Complete({"path", ""}), "b/\t\n");
  EXPECT_EQ(Complete({"path", "b/r"}), "b/rest/\t\nb/run/\t\n");
  EXPECT_EQ(Complete({"path", "b/run/"}), "b/run/log\t\nb/run/step-1/\t\n");
  EXPECT_EQ(Complete({"path", "b/run/step-1/r"}), "b/run/step-1/rank0.bin\t\n");
  EXPECT_EQ(Complete({"path", "x/y"}), "");
}

TEST_F(CompletionTest, OnlyWhatACommandTakesIsOffered) {
  EXPECT_EQ(Complete({"directory", "b/run/"}), "");
  EXPECT_EQ(Complete({"directory", "b/ru"}), "b/run/\t\n");
  EXPECT_EQ(Complete({"checkpoint", "b/run/"}), "b/run/step-1\t\n");
  EXPECT_EQ(Complete({"bucket", ""}), "b\t\n");
  EXPECT_EQ(Complete({"bucket", "b/"}), "");
  EXPECT_EQ(Complete({"something", "b"}), "");
  EXPECT_EQ(Complete({"path"}), "");
  EXPECT_EQ(Complete({}), "");
}

TEST_F(CompletionTest, TheSpellingOfAPathIsKept) {
  EXPECT_EQ(Complete({"path", "cairn://b/ru"}), "cairn://b/run/\t\n");
  EXPECT_EQ(Complete({"path", "cairn://"}), "cairn://b/\t\n");
  EXPECT_EQ(Complete({"path", "/b/ru"}), "/b/run/\t\n");
}

TEST_F(CompletionTest, NumbersComeWithWhatTheyMean) {
  EXPECT_EQ(Complete({"node", ""}), "1\th1, up\n12\th2, down\n");
  EXPECT_EQ(Complete({"node", "12"}), "12\th2, down\n");
  EXPECT_EQ(Complete({"target", ""}), "7\tnode 1, up, /dev/a\n");
}

TEST_F(CompletionTest, NamesThatATerminalWouldObeyAreLeftOut) {
  cluster_.AddFile("b/rest/\033[2J", "1");
  cluster_.AddFile("b/rest/a\nb", "1");
  EXPECT_EQ(Complete({"path", "b/rest/"}), "");
}

TEST_F(CompletionTest, TheClusterOfTheLineIsAskedAndNotForLong) {
  Complete({"path", "b", "-e", "h:1", "ls"});
  EXPECT_EQ(cluster_.last_options.endpoint, "h:1");
  EXPECT_EQ(cluster_.last_options.timeout, absl::Seconds(2));
  EXPECT_LE(cluster_.last_options.connect_timeout, absl::Seconds(2));
  Complete({"path", "b", "--endpoint=h:2", "ls"});
  EXPECT_EQ(cluster_.last_options.endpoint, "h:2");
  WriteLocal("c.toml", "endpoint = \"h:3\"");
  Complete({"path", "b", "--config", LocalPath("c.toml"), "ls"});
  EXPECT_EQ(cluster_.last_options.endpoint, "h:3");
}

TEST_F(CompletionTest, NothingIsEverAnError) {
  EXPECT_EQ(Complete({"path", "b", "--config", LocalPath("none.toml")}), "");
  EXPECT_EQ(Complete({"path", "b", "-e", "nonsense"}), "");
  cluster_.errors["list:b"] = absl::InternalError("broken");
  EXPECT_EQ(Complete({"path", "b/"}), "");
  cluster_.status_json = "<html>";
  EXPECT_EQ(Complete({"node", ""}), "");
  cluster_.connect_status = absl::UnavailableError("gone");
  EXPECT_EQ(Complete({"path", "b"}), "");
}

// ---- what the scripts are made of ----

const CompletedCommand* Find(const std::vector<CompletedCommand>& all, const std::string& path) {
  for (const CompletedCommand& command : all) {
    if (command.path == path) return &command;
  }
  return nullptr;
}

TEST(CompletedCommands, KnowWhatStandsWhere) {
  const auto line = MakeCommandLine();
  const auto all = CompletedCommands(line->app);
  const auto positional = [&all](const std::string& path, size_t index) {
    const CompletedCommand* command = Find(all, path);
    EXPECT_NE(command, nullptr) << path;
    return command == nullptr ? Completable{} : command->positionals.at(index);
  };
  EXPECT_EQ(positional("ls", 0).query, "path");
  EXPECT_EQ(positional("get", 0).query, "path");
  EXPECT_TRUE(positional("get", 1).local_files);
  EXPECT_TRUE(positional("put", 0).local_files);
  EXPECT_EQ(positional("put", 0).query, "path");
  EXPECT_TRUE(Find(all, "put")->last_repeats);
  EXPECT_EQ(positional("ckpt ls", 0).query, "directory");
  EXPECT_EQ(positional("ckpt rm", 0).query, "checkpoint");
  EXPECT_EQ(positional("bucket show", 0).query, "bucket");
  EXPECT_EQ(positional("node ok-to-stop", 0).query, "node");
  EXPECT_EQ(positional("target replace", 0).query, "target");
  EXPECT_EQ(Find(all, "bench rank"), nullptr);
}

TEST(CompletedCommands, EveryValueOfAFewWordsIsOffered) {
  const auto line = MakeCommandLine();
  const auto all = CompletedCommands(line->app);
  size_t outputs = 0;
  for (const CompletedCommand& command : all) {
    for (const CompletedOption& option : command.options) {
      if (option.names.back() == "--output") {
        ++outputs;
        EXPECT_THAT(option.value.words, ::testing::ElementsAre("table", "json", "ndjson"));
      }
      if (option.names.back() == "--watch") {
        EXPECT_FALSE(option.takes_value) << command.path;
      }
      if (option.names.back() == "--spread") {
        EXPECT_THAT(option.value.words, ::testing::ElementsAre("nodes", "targets"));
      }
    }
  }
  EXPECT_EQ(outputs, all.size());
}

TEST_F(CompletionTest, ScriptsArePrintedForThreeShells) {
  EXPECT_THAT(Run({"completion", "bash"}).out, HasSubstr("complete -F _cairn cairn\n"));
  EXPECT_THAT(Run({"completion", "zsh"}).out, ::testing::StartsWith("#compdef cairn\n"));
  EXPECT_THAT(Run({"completion", "fish"}).out, HasSubstr("complete -c cairn -f\n"));
  EXPECT_EQ(Run({"completion", "csh"}).code, 1);
}

}  // namespace
}  // namespace cairn::cli
