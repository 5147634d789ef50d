// Goal: all commands follow one grammar, explain themselves in the same way, and a wrong word is
// answered with the right one. Method: walks the tree of commands itself, so that a new command is
// held to it, too.
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/help.h"
#include "client/cli/man_page.h"
#include "client/cli/suggest.h"
#include "gmock/gmock.h"
#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

class GrammarTest : public CliTest {
 protected:
  GrammarTest() : line_(MakeCommandLine()) {}

  // Calls `visit` with each command for people and its words.
  void ForEachCommand(const std::function<void(const CLI::App&, std::vector<std::string>)>& visit) {
    Visit(line_->app, {}, visit);
  }

  std::unique_ptr<CommandLine> line_;

 private:
  void Visit(const CLI::App& command, std::vector<std::string> words,
             const std::function<void(const CLI::App&, std::vector<std::string>)>& visit) {
    visit(command, words);
    for (const CLI::App* each : VisibleSubcommands(command)) {
      std::vector<std::string> longer = words;
      longer.push_back(each->get_name());
      Visit(*each, longer, visit);
    }
  }
};

TEST_F(GrammarTest, EveryCommandHasHelpWithExamplesOfItself) {
  size_t commands = 0;
  ForEachCommand([&](const CLI::App& command, std::vector<std::string> words) {
    ++commands;
    const std::string path = CommandPath(command);
    words.emplace_back("--help");
    const RunResult result = Run(words);
    EXPECT_EQ(result.code, 0) << path;
    const size_t examples = result.out.find("\nExamples:\n  ");
    ASSERT_NE(examples, std::string::npos) << path;
    EXPECT_THAT(result.out.substr(examples), HasSubstr(path)) << path;
    EXPECT_THAT(command.get_description(), Not(IsEmpty())) << path;
  });
  EXPECT_GT(commands, 50u);
}

TEST_F(GrammarTest, DescriptionsAndOptionsHaveOneForm) {
  ForEachCommand([](const CLI::App& command, const std::vector<std::string>& words) {
    const std::string path = CommandPath(command);
    EXPECT_THAT(command.get_name(), MatchesRegex("[a-z-]+")) << path;
    if (!words.empty()) {
      EXPECT_THAT(command.get_description(), MatchesRegex("[A-Z].*[^.]")) << path;
    }
    for (const CLI::Option* option : VisibleOptions(command)) {
      EXPECT_THAT(option->get_description(), MatchesRegex("[A-Z].*[^.]")) << path;
      EXPECT_FALSE(option->get_lnames().empty()) << path << " " << option->get_name();
    }
    for (const CLI::Option* positional : Positionals(command))
      EXPECT_THAT(ValueName(*positional), MatchesRegex("[A-Z. ]+")) << path;
  });
}

TEST_F(GrammarTest, VerbsAreTheSameForEveryNoun) {
  // One word a meaning: no "list" beside "ls", no "delete" beside "rm".
  const std::vector<std::string> known = {
      "add",     "bash",   "cancel",    "check",  "ckpt",   "create", "drain", "explain",
      "fetch",   "fish",   "import",    "latest", "limit",  "ls",     "meta",  "ok-to-stop",
      "path",    "pause",  "pin",       "policy", "prune",  "push",   "queue", "release",
      "replace", "resume", "retention", "rm",     "set",    "show",   "start", "status",
      "stop",    "test",   "undrain",   "unpin",  "verify", "zsh"};
  ForEachCommand([&known](const CLI::App& command, const std::vector<std::string>& words) {
    if (words.size() >= 2) {
      EXPECT_THAT(known, ::testing::Contains(words.back())) << CommandPath(command);
    }
    // A noun within a noun is rare: "tier policy".
    EXPECT_LE(words.size(), words.size() > 1 && words[1] == "policy" ? 3u : 2u);
  });
}

TEST_F(GrammarTest, WhatShowsAStateCanBeWatchedAndWhatRemovesHasYesAndDryRun) {
  ForEachCommand([](const CLI::App& command, const std::vector<std::string>& words) {
    if (words.empty()) return;
    const std::string path = CommandPath(command);
    const auto has = [&command](const char* name) {
      return command.get_option_no_throw(name) != nullptr;
    };
    const bool state =
        words.back() == "status" || words.back() == "health" ||
        (words.back() == "ls" && words.size() == 2 && words[0] != "bucket" && words[0] != "tier");
    if (state) {
      EXPECT_TRUE(has("--watch")) << path;
    }
    // A policy is as easily set again.
    const bool removes = (words.back() == "rm" && words.size() <= 2) || words.back() == "prune" ||
                         words.back() == "replace";
    if (removes) {
      EXPECT_TRUE(has("--yes") && has("--dry-run")) << path;
    }
    if (words.back() == "drain" || words.back() == "rebalance") {
      EXPECT_TRUE(has("--dry-run")) << path;
    }
  });
}

TEST_F(GrammarTest, AWrongWordIsAnsweredWithTheNearest) {
  EXPECT_EQ(Run({"stauts"}).err,
            "cairn: bad arguments: unknown command 'stauts'; did you mean 'status'? See 'cairn "
            "--help'\n");
  EXPECT_THAT(Run({"node", "list"}).err, HasSubstr("unknown command 'list'; did you mean 'ls'? See "
                                                   "'cairn node --help'"));
  EXPECT_THAT(Run({"ckpt", "delete", "b/x"}).err, HasSubstr("did you mean 'rm'?"));
  EXPECT_THAT(Run({"bucket", "info"}).err, HasSubstr("did you mean 'show'?"));
  EXPECT_THAT(Run({"checkpoint", "ls"}).err, HasSubstr("did you mean 'ckpt'?"));
  EXPECT_THAT(Run({"xyzzy"}).err, HasSubstr("unknown command 'xyzzy'; see 'cairn --help'"));
  EXPECT_THAT(
      Run({"ls", "--otput=json"}).err,
      HasSubstr("unknown option '--otput'; did you mean '--output'? See 'cairn ls --help'"));
  EXPECT_THAT(Run({"ls", "--recursiv"}).err, HasSubstr("did you mean '--recursive'?"));
  EXPECT_THAT(Run({"ls", "-Z"}).err, HasSubstr("unknown option '-Z'; see 'cairn ls --help'"));
  EXPECT_THAT(Run({"target"}).err,
              HasSubstr("what to do is missing: ls, show, add, drain, undrain, rm, replace; see"));
}

TEST(Nearest, KnowsSlipsBeginningsAndOtherNames) {
  const std::vector<std::string> words = {"status", "stat", "rm", "ls", "retention", "rebalance"};
  EXPECT_EQ(Nearest("statsu", words), "status");
  EXPECT_EQ(Nearest("ret", words), "retention");
  EXPECT_EQ(Nearest("rebalnce", words), "rebalance");
  EXPECT_EQ(Nearest("remove", words), "rm");
  EXPECT_EQ(Nearest("sl", words), "ls");
  EXPECT_EQ(Nearest("xy", words), "");
  EXPECT_EQ(Nearest("", words), "");
  EXPECT_EQ(Nearest("ls", {}), "");
}

TEST_F(GrammarTest, VersionIsTheSameAsAnOptionAndAsACommand) {
  EXPECT_EQ(Run({"--version"}).code, 0);
  EXPECT_THAT(Run({"--version"}).out, MatchesRegex("cairn [0-9.]+\n"));
  EXPECT_EQ(Run({"version"}).out, Run({"--version"}).out);
  EXPECT_EQ(Run({"--version", "-o", "json"}).json(), Run({"version", "-o", "json"}).json());
  EXPECT_EQ(Run({"version", "-o", "json"}).json()["name"], "cairn");
}

TEST_F(GrammarTest, ExitCodesAreOneListInHelpAndManual) {
  const std::string help = Run({"--help"}).out;
  const std::string manual = Run({"man"}).out;
  for (const ExitCode& exit : kExitCodes) {
    EXPECT_THAT(help, HasSubstr(exit.meaning));
    EXPECT_THAT(manual, HasSubstr(absl::StrCat(".TP\n", exit.code, "\n")));
  }
  EXPECT_EQ(kExitCodes[0].code, 0);
  EXPECT_EQ(kExitCodes[3].code, 4);
}

// ---- manual ----

TEST_F(GrammarTest, EveryCommandHasAPageWithAllSections) {
  std::vector<std::string> names;
  for (const ManPage& page : MakeManPages(line_->app)) {
    names.push_back(page.name);
    for (const char* section : {"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS",
                                "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"}) {
      EXPECT_THAT(page.text, HasSubstr(absl::StrCat("\n.SH ", section, "\n"))) << page.name;
    }
    EXPECT_THAT(page.text, Not(HasSubstr("\n\n.SH"))) << page.name;
    for (const char c : page.text) EXPECT_LT(static_cast<unsigned char>(c), 0x7f) << page.name;
  }
  EXPECT_THAT(names, ::testing::IsSupersetOf({"cairn", "cairn-ckpt", "cairn-ckpt-verify",
                                              "cairn-node-ok-to-stop", "cairn-config-show"}));
  EXPECT_THAT(names, Not(::testing::Contains("cairn-bench-rank")));
}

TEST_F(GrammarTest, APageSaysWhatTheHelpSays) {
  const std::string page = Run({"man", "ckpt", "ls"}).out;
  EXPECT_THAT(page, HasSubstr(".TH CAIRN-CKPT-LS 1 "));
  EXPECT_THAT(page, HasSubstr("cairn\\-ckpt\\-ls \\- List checkpoints\n"));
  EXPECT_THAT(page, HasSubstr("\\fBcairn ckpt ls\\fR [\\fIOPTIONS\\fR] [\\fIDIR\\fR]\n"));
  EXPECT_THAT(page, HasSubstr(".TP\n\\fB\\-a\\fR, \\fB\\-\\-all\\fR\nThose being written too\n"));
  EXPECT_THAT(page, HasSubstr("\\fB\\-\\-watch\\fR[=\\fITIME\\fR]\n"));
  EXPECT_THAT(page, HasSubstr("\\fBcairn\\-ckpt\\fR(1)"));
  const RunResult unknown = Run({"man", "ckpt", "lst"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_EQ(unknown.err,
            "cairn: no manual of cairn ckpt lst: there is no such command; did you mean 'ls'?\n");
}

TEST_F(GrammarTest, AllPagesAreWrittenIntoADirectory) {
  EXPECT_EQ(Run({"man", "--directory", LocalPath("man1")}).code, 0);
  EXPECT_EQ(ReadLocal("man1/cairn-ckpt-ls.1"), Run({"man", "ckpt", "ls"}).out);
  EXPECT_EQ(LocalNames().size(), MakeManPages(line_->app).size());
  WriteLocal("file", "");
  EXPECT_EQ(Run({"man", "--directory", LocalPath("file/below")}).code, 1);
}

}  // namespace
}  // namespace cairn::cli
