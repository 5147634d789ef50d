// What the command groups share in reading their arguments, and the command line as a whole. One
// Add...Commands() a group; each command's options live in its own file, and a callback stores what
// to run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/time/time.h"
#include "client/cli/context.h"
#include "client/cli/settings.h"

namespace cairn::cli {

// A path in the cluster as people type it: "cairn://bucket/x", "/bucket/x" and "bucket/x/" all mean
// "bucket/x".
struct RemotePath {
  std::string path;
  bool names_directory = false;  // it ended in "/"
};
RemotePath ParseRemotePath(std::string_view text);
// Turns typed paths into plain ones.
std::string PlainPath(std::string_view text);

// The last component; empty for "".
std::string BaseName(std::string_view path);
// "a/b" from "a" and "b"; "b" from "" and "b".
std::string JoinPath(std::string_view directory, std::string_view name);

// Options whose values have a unit. Bad ones are reported as the argument parser reports all
// others.
CLI::Option* AddBytesOption(CLI::App* app, const std::string& name, uint64_t* value,
                            const std::string& help);
CLI::Option* AddDurationOption(CLI::App* app, const std::string& name, absl::Duration* value,
                               const std::string& help);

// One of a few words, which name it in the help, too.
template <class T>
CLI::Option* AddChoiceOption(CLI::App* app, const std::string& name, T* value,
                             const std::vector<std::pair<std::string, T>>& choices,
                             const std::string& help) {
  std::string words, type;
  for (const auto& [word, meaning] : choices) {
    words += (words.empty() ? "" : ", ") + word;
    type += (type.empty() ? "" : "|") + word;
  }
  auto choose = [name, value, choices, words](const std::string& text) {
    for (const auto& [word, meaning] : choices) {
      if (text != word) continue;
      *value = meaning;
      return;
    }
    throw CLI::ValidationError(name, std::string(BadChoice(text, words).message()));
  };
  return app->add_option_function<std::string>(name, choose, help)->type_name(type);
}

// Runs `work` on each typed path and reports each: "<done> PATH" or the failure; an array with
// --output json. Returns the exit code.
int ForEachPath(Context& context, const std::vector<std::string>& paths, const std::string& what,
                const std::string& done,
                const std::function<absl::Status(Client&, const std::string&)>& work);

void AddClusterCommands(CLI::App* app, Command* chosen);
void AddHealthCommand(CLI::App* app, Command* chosen);
void AddDfCommand(CLI::App* app, Command* chosen);
void AddDoctorCommand(CLI::App* app, Command* chosen);
void AddNodeCommands(CLI::App* node, Command* chosen);
void AddTargetCommands(CLI::App* target, Command* chosen);
void AddTopCommand(CLI::App* app, Command* chosen);
void AddTierCommands(CLI::App* app, Command* chosen);
void AddTierPolicyCommands(CLI::App* tier, Command* chosen);
void AddTierMoveCommands(CLI::App* tier, Command* chosen);
void AddRebalanceCommand(CLI::App* app, Command* chosen);
void AddRebuildCommands(CLI::App* app, Command* chosen);
void AddStorageCheckCommands(CLI::App* app, Command* chosen);
void AddPutCommand(CLI::App* app, Command* chosen);
void AddGetCommands(CLI::App* app, Command* chosen);
void AddFileCommands(CLI::App* app, Command* chosen);
void AddMountCommands(CLI::App* app, Command* chosen);
void AddCheckpointCommands(CLI::App* app, Command* chosen);
void AddVerifyCommand(CLI::App* checkpoint, Command* chosen);
void AddRetentionCommands(CLI::App* checkpoint, Command* chosen);
void AddBucketCommands(CLI::App* app, Command* chosen);
void AddBenchCommands(CLI::App* app, Command* chosen);
void AddConfigCommands(CLI::App* app, Command* chosen);
void AddVersionCommand(CLI::App* app, Command* chosen);
void AddManCommand(CLI::App* app, Command* chosen);
void AddCompletionCommands(CLI::App* app, Command* chosen);

// `cairn version`, and --version.
int PrintVersion(Context& context);

// The tree of commands, and what parsing it leaves.
struct CommandLine {
  CLI::App app{"Look after the checkpoints and files of a Cairn cluster.", "cairn"};
  SettingArguments settings;
  Command chosen;
};
std::unique_ptr<CommandLine> MakeCommandLine();

// Parses `arguments` (without the program's name), runs the command and returns the exit code.
int RunCommandLine(std::vector<std::string> arguments, Context& context);

}  // namespace cairn::cli
