// See removal.h.
#include "client/cli/removal.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/remote_walk.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

// To say what is at stake, not to count it: a second of listing or so.
constexpr uint64_t kFilesCounted = 10'000;
constexpr size_t kPathsAskedAbout = 20;

std::string Describe(const Contents& contents) {
  return absl::StrCat(contents.complete ? "" : "more than ", contents.files,
                      contents.files == 1 ? " file, " : " files, ",
                      HumanBytes(contents.size_bytes));
}

std::string SubjectOf(const RemovalArguments& arguments) {
  if (arguments.paths.size() == 1) return Printable(PlainPath(arguments.paths[0]));
  return absl::StrCat(arguments.paths.size(), " paths");
}

std::string Question(Client& client, const RemovalArguments& arguments, const Removal& removal) {
  std::string text;
  for (size_t i = 0; i < arguments.paths.size() && i < kPathsAskedAbout; ++i) {
    const std::string path = PlainPath(arguments.paths[i]);
    const auto contents = removal.look(client, path);
    absl::StrAppend(
        &text, Printable(path), ": ",
        contents.ok() ? Describe(*contents) : Printable(std::string(contents.status().message())),
        "\n");
  }
  if (arguments.paths.size() > kPathsAskedAbout)
    absl::StrAppend(&text, "and ", arguments.paths.size() - kPathsAskedAbout, " more\n");
  return absl::StrCat(text, arguments.paths.size() == 1 ? "Remove it?" : "Remove them?");
}

int DryRun(Context& context, Client& client, const RemovalArguments& arguments,
           const Removal& removal) {
  Outcomes outcomes;
  JsonList results(&context);
  for (const std::string& typed : arguments.paths) {
    const std::string path = PlainPath(typed);
    const auto contents = removal.look(client, path);
    Json result = {{"path", path}, {"ok", contents.ok()}, {"dry_run", true}};
    if (contents.ok()) {
      outcomes.Succeeded();
      result["files"] = contents->files;
      result["size_bytes"] = contents->size_bytes;
      result["complete"] = contents->complete;
      if (!context.json()) {
        context.Print(
            absl::StrCat("would remove ", Printable(path), ": ", Describe(*contents), "\n"));
      }
    } else {
      outcomes.Failed(contents.status());
      context.Complain({removal.error, path, contents.status()});
      result["error"] = FailureJson({removal.error, path, contents.status()});
    }
    results.Add(std::move(result));
  }
  results.Finish();
  return outcomes.ExitCode();
}

}  // namespace

void AddRemovalOptions(CLI::App* command, RemovalArguments* arguments) {
  AddYesOption(command, &arguments->consent);
  AddDryRunOption(command, &arguments->consent);
}

int RunRemoval(Context& context, const RemovalArguments& arguments, const Removal& removal) {
  const Consent& consent = arguments.consent;
  const Deed deed = {"remove", SubjectOf(arguments)};
  if (!consent.dry_run) {
    const std::optional<int> refused = RefuseUnasked(context, consent, deed);
    if (refused.has_value()) return *refused;
  }
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  if (consent.dry_run) return DryRun(context, *client, arguments, removal);
  if (!consent.yes) {
    const std::optional<int> refused =
        Ask(context, consent, deed, Question(*client, arguments, removal));
    if (refused.has_value()) return *refused;
  }
  return ForEachPath(context, arguments.paths, removal.error, "removed", removal.remove);
}

absl::StatusOr<Contents> ContentsOf(Client& client, const std::string& path, const Entry& entry) {
  if (!IsContainer(entry.type)) return Contents{1, entry.size_bytes};
  Contents contents;
  std::vector<std::string> directories = {path};
  while (!directories.empty()) {
    const std::string directory = std::move(directories.back());
    directories.pop_back();
    ASSIGN_OR_RETURN(const std::vector<Entry> entries, client.List(directory));
    for (const Entry& each : entries) {
      if (IsContainer(each.type)) {
        directories.push_back(JoinPath(directory, each.name));
      } else {
        ++contents.files;
        contents.size_bytes += each.size_bytes;
      }
    }
    contents.complete = directories.empty() || contents.files < kFilesCounted;
    if (!contents.complete) break;
  }
  return contents;
}

}  // namespace cairn::cli
