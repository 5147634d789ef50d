// `cairn completion bash|zsh|fish`: the scripts, to be read by the shells.
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/completion.h"

namespace cairn::cli {
namespace {

void AddShell(CLI::App* completion, const CLI::App* root, const std::string& name, Shell shell,
              const std::string& examples, Command* chosen) {
  CLI::App* command = completion->add_subcommand(name, absl::StrCat("Print the script for ", name));
  command->footer(absl::StrCat("Examples:\n", examples));
  // The tree outlives the command that reads it.
  command->callback([root, shell, chosen] {
    *chosen = [root, shell](Context& context) {
      context.Print(MakeCompletion(*root, shell));
      return kExitOk;
    };
  });
}

}  // namespace

void AddCompletionCommands(CLI::App* app, Command* chosen) {
  CLI::App* completion =
      app->add_subcommand("completion", "Let a shell complete commands, paths and numbers");
  completion->require_subcommand(1);
  completion->footer(
      R"(Where cairn is installed, shells find the scripts by themselves. Paths and the numbers of nodes and
targets are asked of the cluster, which has two seconds to answer.

Examples:
  source <(cairn completion bash)
  cairn completion zsh > ~/.zfunc/_cairn
  cairn completion fish > ~/.config/fish/completions/cairn.fish)");
  AddShell(completion, app, "bash", Shell::kBash,
           "  source <(cairn completion bash)\n"
           "  cairn completion bash > ~/.local/share/bash-completion/completions/cairn",
           chosen);
  AddShell(completion, app, "zsh", Shell::kZsh,
           "  cairn completion zsh > ~/.zfunc/_cairn\n  source <(cairn completion zsh)", chosen);
  AddShell(completion, app, "fish", Shell::kFish,
           "  cairn completion fish > ~/.config/fish/completions/cairn.fish\n"
           "  cairn completion fish | source",
           chosen);
}

}  // namespace cairn::cli
