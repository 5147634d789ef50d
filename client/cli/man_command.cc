// `cairn man`: the manual pages, one to read or all into a directory.
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/help.h"
#include "client/cli/man_page.h"
#include "client/cli/suggest.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

struct ManArguments {
  std::vector<std::string> words;
  std::string directory;
};

absl::StatusOr<const CLI::App*> FindCommand(const CLI::App& root,
                                            const std::vector<std::string>& words) {
  const CLI::App* at = &root;
  for (const std::string& word : words) {
    const CLI::App* next = nullptr;
    std::vector<std::string> names;
    for (const CLI::App* each : VisibleSubcommands(*at)) {
      names.push_back(each->get_name());
      if (each->check_name(word)) next = each;
    }
    if (next == nullptr) {
      const std::string nearest = Nearest(word, names);
      return absl::NotFoundError(absl::StrCat(
          "there is no such command; ", nearest.empty()
                                            ? absl::StrCat("see '", CommandPath(*at), " --help'")
                                            : absl::StrCat("did you mean '", nearest, "'?")));
    }
    at = next;
  }
  return at;
}

absl::Status WriteAll(const CLI::App& root, const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return ErrnoStatus(error.value());
  for (const ManPage& page : MakeManPages(root)) {
    const std::string path = JoinPath(directory, absl::StrCat(page.name, ".1"));
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << page.text;
    file.close();
    if (!file) return absl::UnknownError(absl::StrCat(path, " cannot be written; check the disk"));
  }
  return absl::OkStatus();
}

int RunMan(Context& context, const CLI::App& root, const ManArguments& arguments) {
  if (!arguments.directory.empty()) {
    const absl::Status written = WriteAll(root, arguments.directory);
    if (written.ok()) return kExitOk;
    return context.Fail({"cannot write the manual into", arguments.directory, written});
  }
  const auto command = FindCommand(root, arguments.words);
  if (!command.ok()) {
    std::string words;
    for (const std::string& word : arguments.words) absl::StrAppend(&words, " ", word);
    return context.Fail({"no manual of", absl::StrCat("cairn", words), command.status()});
  }
  context.Print(MakeManPage(**command).text);
  return kExitOk;
}

}  // namespace

void AddManCommand(CLI::App* app, Command* chosen) {
  auto arguments = std::make_shared<ManArguments>();
  CLI::App* man = app->add_subcommand("man", "Print the manual page of a command");
  man->add_option("command", arguments->words, "Its words (default: the manual as a whole)")
      ->type_name("COMMAND...");
  man->add_option("--directory", arguments->directory, "Write all pages into this directory")
      ->type_name("DIRECTORY");
  man->footer(R"(The pages are for man(1), which finds them by itself where cairn is installed.

Examples:
  cairn man ckpt verify | man -l -
  cairn man --directory ./man1)");
  // The tree outlives the command that reads it.
  man->callback([app, arguments, chosen] {
    *chosen = [app, arguments](Context& context) { return RunMan(context, *app, *arguments); };
  });
}

}  // namespace cairn::cli
