// Goal: each setting has the value that arguments, environment and file say in this order, wrong
// ones are told with their place, and `config show` tells the truth about all of it. Method: whole
// command lines with an environment and a file of their own.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "client/cli/config_file.h"
#include "client/cli/settings.h"
#include "gmock/gmock.h"
#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SettingsTest : public CliTest {
 protected:
  void WriteConfig(const std::string& text) {
    WriteLocal(".config/cairn/config.toml", text);
    SetMode(0600);
  }
  void SetMode(mode_t mode) { ASSERT_EQ(chmod(ConfigFile().c_str(), mode), 0); }
  std::string ConfigFile() const { return LocalPath(".config/cairn/config.toml"); }

  // What `config show` says of one setting.
  nlohmann::json Shown(const std::string& name, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"config", "show", "-o", "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const nlohmann::json document = Run(arguments).json();
    for (const auto& setting : document["settings"]) {
      if (setting["name"] == name) return setting;
    }
    ADD_FAILURE() << "no setting " << name;
    return {};
  }

  // The error that a file makes of any command.
  std::string ErrorOf(const std::string& text) {
    WriteConfig(text);
    const RunResult result = Run({"ls"});
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.out, IsEmpty());
    return result.err;
  }
};

TEST_F(SettingsTest, WithoutAnythingTheDefaultsApply) {
  EXPECT_EQ(Run({"ls"}).code, 0);
  EXPECT_EQ(cluster_.last_options.endpoint, "127.0.0.1:7440");
  EXPECT_EQ(cluster_.last_options.timeout, absl::Seconds(60));
  EXPECT_EQ(Shown("timeout")["origin"], "default");
  EXPECT_EQ(Shown("timeout")["where"], nullptr);
}

TEST_F(SettingsTest, AFileIsReadFromTheHome) {
  WriteConfig("endpoint = [\"a:1\", \"b:2\"]\ntimeout = 5\noutput = \"ndjson\"\n");
  EXPECT_EQ(Run({"ls"}).out.substr(0, 11), "{\"path\":\"b\"");
  EXPECT_EQ(cluster_.last_options.endpoint, "a:1,b:2");
  EXPECT_EQ(cluster_.last_options.timeout, absl::Seconds(5));
}

TEST_F(SettingsTest, ArgumentsGoBeforeTheEnvironmentAndThatBeforeTheFile) {
  WriteConfig("\nendpoint = \"file:1\"");
  EXPECT_EQ(Run({"ls"}).code, 0);
  EXPECT_EQ(cluster_.last_options.endpoint, "file:1");
  EXPECT_EQ(Shown("endpoint")["where"], ConfigFile() + ":2");
  environment_["CAIRN_ENDPOINT"] = "environment:1";
  EXPECT_EQ(Run({"ls"}).code, 0);
  EXPECT_EQ(cluster_.last_options.endpoint, "environment:1");
  EXPECT_EQ(Shown("endpoint")["where"], "CAIRN_ENDPOINT");
  EXPECT_EQ(Run({"-e", "arguments:1", "ls"}).code, 0);
  EXPECT_EQ(cluster_.last_options.endpoint, "arguments:1");
  EXPECT_EQ(Shown("endpoint", {"-e", "arguments:1"})["origin"], "arguments");
  // An empty variable is none.
  environment_["CAIRN_ENDPOINT"] = "";
  EXPECT_EQ(Shown("endpoint")["origin"], "file");
}

TEST_F(SettingsTest, TheFileIsWhereArgumentsEnvironmentAndXdgSay) {
  WriteLocal("xdg/cairn/config.toml", "timeout = \"1s\"");
  WriteLocal("named.toml", "timeout = \"2s\"");
  WriteLocal("argument.toml", "timeout = \"3s\"");
  environment_["XDG_CONFIG_HOME"] = LocalPath("xdg");
  EXPECT_EQ(Shown("timeout")["value"], "1s");
  environment_["CAIRN_CONFIG"] = LocalPath("named.toml");
  EXPECT_EQ(Shown("timeout")["value"], "2s");
  EXPECT_EQ(Shown("timeout", {"--config", LocalPath("argument.toml")})["value"], "3s");
  EXPECT_EQ(Run({"config", "path"}).out, LocalPath("named.toml") + "\n");
  environment_.erase("CAIRN_CONFIG");
  environment_["XDG_CONFIG_HOME"] = "relative";
  EXPECT_EQ(Run({"config", "path"}).out, ConfigFile() + "\n");
  environment_.clear();
  const RunResult homeless = Run({"config", "path"});
  EXPECT_EQ(homeless.code, 1);
  EXPECT_THAT(homeless.err, HasSubstr("name a file with --config"));
}

TEST_F(SettingsTest, ANamedFileMustExistAndAnotherNeedNot) {
  EXPECT_EQ(Run({"ls"}).code, 0);
  const RunResult named = Run({"ls", "--config", LocalPath("none.toml")});
  EXPECT_EQ(named.code, 1);
  EXPECT_THAT(named.err, HasSubstr("cairn: bad configuration: cannot read "));
  EXPECT_THAT(named.err, HasSubstr("none.toml: No such file or directory; "));
  environment_["CAIRN_CONFIG"] = LocalPath("none.toml");
  EXPECT_EQ(Run({"ls"}).code, 1);
}

TEST_F(SettingsTest, WrongFilesAreToldWithLineKeyAndWhatIsExpected) {
  EXPECT_THAT(ErrorOf("\n\noutptu = \"json\""),
              HasSubstr(ConfigFile() + ":3: unknown setting \"outptu\"; did you mean \"output\"?"));
  EXPECT_THAT(ErrorOf("xyz = 1"), HasSubstr("\"xyz\"; there are endpoint, output, timeout, "));
  EXPECT_THAT(ErrorOf("[section]\noutput = \"json\""),
              HasSubstr(":1: unknown setting \"section\""));
  EXPECT_THAT(ErrorOf("output = 1"), HasSubstr(":1: \"output\" must be a string in quotes; "));
  EXPECT_THAT(ErrorOf("timeout = 1.5"),
              HasSubstr("\"timeout\" must be a string in quotes like \"60s\", or a whole number"));
  EXPECT_THAT(ErrorOf("timeout = -1"), HasSubstr("\"timeout\" must be "));
  EXPECT_THAT(ErrorOf("endpoint = []"), HasSubstr("\"endpoint\" must be a string in quotes, or"));
  EXPECT_THAT(ErrorOf("endpoint = [1]"), HasSubstr("\"endpoint\" must be "));
  EXPECT_THAT(ErrorOf("output = \"xml\""),
              HasSubstr(":1: \"output\": 'xml' is none of table, json, ndjson; "));
  EXPECT_THAT(ErrorOf("endpoint = \"host\""), HasSubstr("'host' names no nodes; write HOST:PORT"));
  EXPECT_THAT(ErrorOf("output = "), HasSubstr(ConfigFile() + ":1: "));
  EXPECT_THAT(ErrorOf("output = "), HasSubstr("; it has to be TOML"));
  EXPECT_THAT(ErrorOf("output = \"json\"\noutput = \"json\""), HasSubstr(ConfigFile() + ":2: "));
}

TEST_F(SettingsTest, WrongVariablesAreToldByName) {
  environment_["CAIRN_TIMEOUT"] = "soon";
  const RunResult result = Run({"ls", "-o", "json"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err,
              HasSubstr("bad configuration: CAIRN_TIMEOUT: 'soon' is not a duration; "));
  EXPECT_EQ(result.json()["error"]["code"], "INVALID_ARGUMENT");
}

TEST_F(SettingsTest, AFileThatOthersCanWriteIsRefusedWhereItSaysWhereDataGoes) {
  WriteConfig("output = \"table\"\nendpoint = \"a:1\"\n");
  for (const mode_t mode : {0602, 0620, 0666}) {
    SetMode(mode);
    const RunResult result = Run({"ls"});
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, HasSubstr(ConfigFile() + ":2: others can write this file, and by "
                                                     "\"endpoint\" they could send your data"));
    EXPECT_THAT(result.err, HasSubstr("; run 'chmod go-w "));
  }
  SetMode(0644);
  EXPECT_EQ(Run({"ls"}).code, 0);
  WriteLocal(".config/cairn/config.toml", "output = \"table\"");
  SetMode(0666);
  EXPECT_EQ(Run({"ls"}).code, 0);
}

TEST_F(SettingsTest, WhatTheProgramIsNeedsNoConfiguration) {
  WriteConfig("nonsense");
  EXPECT_EQ(Run({"version"}).code, 0);
  EXPECT_EQ(Run({"--help"}).code, 0);
  EXPECT_EQ(Run({"man"}).code, 0);
  EXPECT_EQ(Run({"completion", "bash"}).code, 0);
  EXPECT_EQ(Run({"config", "show"}).code, 1);
}

TEST_F(SettingsTest, ShowIsATableForPeople) {
  environment_ = {{"HOME", LocalPath("")}};
  environment_["CAIRN_OUTPUT"] = "table";
  const std::string out = Run({"config", "show", "--color", "never"}).out;
  EXPECT_THAT(out, HasSubstr("SETTING   VALUE           FROM         WHERE\n"
                             "endpoint  127.0.0.1:7440  default      -\n"
                             "output    table           environment  CAIRN_OUTPUT\n"));
  EXPECT_THAT(out, HasSubstr("color     never           arguments    --color\n"));
  EXPECT_THAT(out, HasSubstr("config.toml (there is none)\n"));
}

// ---- colors ----

class ColorTest : public SettingsTest {
 protected:
  ColorTest() {
    environment_.erase("NO_COLOR");
    out_kind_ = StreamKind::kTerminal;
  }
  bool HasColors(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"config", "show"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Run(arguments).out.find("\033[") != std::string::npos;
  }
};

TEST_F(ColorTest, ATerminalHasColorsAndAFileHasNone) {
  EXPECT_TRUE(HasColors());
  EXPECT_FALSE(HasColors({"--color", "never"}));
  out_kind_ = StreamKind::kOther;
  EXPECT_FALSE(HasColors());
  EXPECT_TRUE(HasColors({"--color", "always"}));
  EXPECT_FALSE(HasColors({"--color", "auto"}));
}

TEST_F(ColorTest, NoColorTurnsThemOffUnlessAnOptionAsksForThem) {
  environment_["NO_COLOR"] = "0";
  EXPECT_FALSE(HasColors());
  EXPECT_TRUE(HasColors({"--color", "always"}));
  WriteConfig("color = \"always\"");
  EXPECT_FALSE(HasColors());
  EXPECT_EQ(Shown("color")["where"], "NO_COLOR");
  environment_["CAIRN_COLOR"] = "always";
  EXPECT_TRUE(HasColors());
  environment_ = {{"HOME", LocalPath("")}, {"TERM", "xterm"}, {"NO_COLOR", ""}};
  EXPECT_TRUE(HasColors()) << "an empty one counts as none";
}

TEST_F(ColorTest, ForceTurnsThemOnAnywhereAndADumbTerminalHasNone) {
  environment_["TERM"] = "dumb";
  EXPECT_FALSE(HasColors());
  environment_.erase("TERM");
  EXPECT_FALSE(HasColors());
  environment_["CLICOLOR_FORCE"] = "0";
  EXPECT_FALSE(HasColors());
  environment_["CLICOLOR_FORCE"] = "1";
  EXPECT_TRUE(HasColors());
  environment_["NO_COLOR"] = "1";
  EXPECT_FALSE(HasColors());
}

TEST_F(ColorTest, StatesHaveTheColorOfWhatTheyMean) {
  cluster_.status_json = R"({"map": {"nodes": [{"id": 1}, {"id": 2, "state": "NODE_DOWN"},
                                               {"id": 3, "draining": true}]},
    "health": [{"code": "NODE_DOWN", "severity": "HEALTH_ERROR", "summary": "s"},
               {"code": "NODE_DRAINING", "severity": "HEALTH_WARNING", "summary": "t"}]})";
  const std::string nodes = Run({"node", "ls"}).out;
  EXPECT_THAT(nodes, HasSubstr("   1  \033[32mup\033[0m            -"));
  EXPECT_THAT(nodes, HasSubstr("   2  \033[31mdown\033[0m          -"));
  EXPECT_THAT(nodes, HasSubstr("   3  \033[33mup, draining\033[0m  -"));
  const std::string health = Run({"health"}).out;
  EXPECT_THAT(health, HasSubstr("\033[31mERROR\033[0m NODE_DOWN: s\n"));
  EXPECT_THAT(health, HasSubstr("\033[33mWARNING\033[0m NODE_DRAINING: t\n"));
}

}  // namespace
}  // namespace cairn::cli
