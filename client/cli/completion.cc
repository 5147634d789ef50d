// See completion.h. The scripts themselves: completion_scripts.cc.
#include "client/cli/completion.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/help.h"

namespace cairn::cli {
namespace {

std::string PathBelowRoot(const CLI::App& command) {
  if (command.get_parent() == nullptr) return "";
  const std::string above = PathBelowRoot(*command.get_parent());
  return absl::StrCat(above, above.empty() ? "" : " ", command.get_name());
}

const CLI::App& RootOf(const CLI::App& command) {
  return command.get_parent() == nullptr ? command : RootOf(*command.get_parent());
}

std::vector<std::string> NamesOf(const std::vector<const CLI::App*>& commands) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands) names.push_back(command->get_name());
  return names;
}

CompletedOption OptionOf(const CLI::App& command, const CLI::Option& option) {
  CompletedOption completed;
  for (const std::string& name : option.get_snames())
    completed.names.push_back(absl::StrCat("-", name));
  for (const std::string& name : option.get_lnames())
    completed.names.push_back(absl::StrCat("--", name));
  completed.help = option.get_description();
  const std::string value = ValueName(option);
  completed.takes_value = !value.empty() && value[0] != '[';
  completed.value = WhatCompletes(command, option);
  return completed;
}

CompletedCommand CommandOf(const CLI::App& command) {
  CompletedCommand completed;
  completed.path = PathBelowRoot(command);
  completed.subcommands = VisibleSubcommands(command);
  for (const CLI::Option* option : VisibleOptions(command))
    completed.options.push_back(OptionOf(command, *option));
  if (command.get_parent() != nullptr) {
    const CLI::App& root = RootOf(command);
    for (const CLI::Option* option : VisibleOptions(root)) {
      const bool own = option == root.get_help_ptr() || option == root.get_version_ptr();
      if (!own) completed.options.push_back(OptionOf(root, *option));
    }
  }
  for (const CLI::Option* positional : Positionals(command)) {
    completed.positionals.push_back(WhatCompletes(command, *positional));
    completed.last_repeats = positional->get_expected_max() > 1;
  }
  return completed;
}

void AddCommands(const CLI::App& command, std::vector<CompletedCommand>* all) {
  all->push_back(CommandOf(command));
  for (const CLI::App* each : VisibleSubcommands(command)) AddCommands(*each, all);
}

}  // namespace

Completable WhatCompletes(const CLI::App& command, const CLI::Option& option) {
  std::string value = ValueName(option);
  if (absl::StartsWith(value, "[")) return {};
  if (absl::StrContains(value, "|")) return {absl::StrSplit(value, '|'), false, ""};
  if (value == "LOCAL... PATH") return {{}, true, "path"};
  value = std::string(absl::StripSuffix(value, "..."));
  if (value == "LOCAL" || value == "FILE" || value == "DIRECTORY") return {{}, true, ""};
  if (value == "COMMAND") return {NamesOf(VisibleSubcommands(RootOf(command))), false, ""};
  if (value == "DIR") return {{}, false, "directory"};
  if (value == "BUCKET") return {{}, false, "bucket"};
  const bool of_checkpoints = absl::StartsWith(PathBelowRoot(command), "ckpt");
  if (value == "PATH") return {{}, false, of_checkpoints ? "checkpoint" : "path"};
  if (value == "ID") {
    const std::string name = option.get_positional() ? option.get_name(true) : option.get_name();
    return {{}, false, absl::StrContains(name, "target") ? "target" : "node"};
  }
  return {};
}

std::vector<CompletedCommand> CompletedCommands(const CLI::App& root) {
  std::vector<CompletedCommand> all;
  AddCommands(root, &all);
  return all;
}

}  // namespace cairn::cli
