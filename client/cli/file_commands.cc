// `cairn ls`, `stat`, `rm`, `mv` and `mkdir`: the namespace.
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/json_shapes.h"
#include "client/cli/remote_walk.h"
#include "client/cli/removal.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

struct ListOptions {
  std::string path;
  bool details = false;
  bool recursive = false;
};

// Gives each entry to `visit`; below directories as they are read.
absl::Status VisitEntries(Context& context, Client& client, const ListOptions& options,
                          Outcomes* outcomes,
                          const std::function<void(const RemoteEntry&)>& visit) {
  const std::string path = PlainPath(options.path);
  if (!path.empty()) {
    ASSIGN_OR_RETURN(const Entry entry, client.Stat(path));
    if (!IsContainer(entry.type)) {
      visit({path, entry});
      return absl::OkStatus();
    }
  }
  if (!options.recursive) {
    ASSIGN_OR_RETURN(const std::vector<Entry> entries, client.List(path));
    for (const Entry& entry : entries) visit({JoinPath(path, entry.name), entry});
    return absl::OkStatus();
  }
  return WalkRemote(client, path, context.interrupts(), visit,
                    [&](const std::string& directory, absl::Status why) {
                      outcomes->Failed(why);
                      context.Complain({"cannot list", directory, std::move(why)});
                    });
}

// Directories end in "/" as in `ls -p`: one sees what can be entered.
std::string DisplayName(const RemoteEntry& found, const ListOptions& options) {
  const std::string name = options.recursive ? found.path : BaseName(found.path);
  return IsContainer(found.entry.type) ? name + "/" : name;
}

std::vector<Cell> EntryRow(const RemoteEntry& found, const ListOptions& options) {
  const Entry& entry = found.entry;
  const bool no_size = IsContainer(entry.type) && entry.size_bytes == 0;
  return {EntryTypeName(entry.type), no_size ? "-" : HumanBytes(entry.size_bytes),
          entry.type == EntryType::kFile ? CrcText(entry.crc32c) : "-", UtcTime(entry.modified),
          DisplayName(found, options)};
}

int RunList(Context& context, const ListOptions& options) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Outcomes outcomes;
  JsonList list(&context);
  Table table({{"TYPE"}, {"SIZE", Align::kRight}, {"CRC32C"}, {"MODIFIED"}, {"NAME"}});
  std::string lines;
  const absl::Status listed =
      VisitEntries(context, *client, options, &outcomes, [&](const RemoteEntry& found) {
        if (context.json()) {
          list.Add(EntryJson(found.entry, found.path));
        } else if (options.details) {
          table.AddRow(EntryRow(found, options));
        } else {
          absl::StrAppend(&lines, Printable(DisplayName(found, options)), "\n");
        }
      });
  if (!listed.ok()) return context.Fail({"cannot list", options.path, listed});
  outcomes.Succeeded();
  list.Finish();
  if (!context.json()) context.Print(options.details ? table.Render(context.style()) : lines);
  return outcomes.ExitCode();
}

int RunStat(Context& context, const std::string& typed) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string path = PlainPath(typed);
  auto entry = client->Stat(path);
  if (!entry.ok()) return context.Fail({"cannot stat", path, entry.status()});
  if (context.json()) {
    context.PrintJson(EntryJson(*entry, path));
    return kExitOk;
  }
  std::vector<std::pair<std::string, std::string>> lines = {
      {"path", path},
      {"type", EntryTypeName(entry->type)},
      {"size", absl::StrCat(HumanBytes(entry->size_bytes), " (", entry->size_bytes, " bytes)")},
      {"modified", absl::StrCat(UtcTime(entry->modified), " (",
                                HumanAge(entry->modified, context.clock().WallNow()), ")")},
      {"mode", absl::StrFormat("%04o", entry->mode & 07777)},
      {"inode", absl::StrCat(entry->inode)}};
  if (entry->type == EntryType::kFile) lines.emplace_back("crc32c", CrcText(entry->crc32c));
  context.Print(RenderProperties(lines, context.style()));
  return kExitOk;
}

absl::StatusOr<Contents> LookAtRemoval(Client& client, const std::string& path, bool recursive) {
  ASSIGN_OR_RETURN(const Entry entry, client.Stat(path));
  if (entry.type == EntryType::kDirectory && !recursive) {
    ASSIGN_OR_RETURN(const std::vector<Entry> entries, client.List(path));
    if (!entries.empty())
      return absl::FailedPreconditionError("it is not empty; -r removes it with all it holds");
  }
  return ContentsOf(client, path, entry);
}

int RunRemove(Context& context, const RemovalArguments& arguments, bool recursive) {
  Removal removal;
  removal.error = "cannot remove";
  removal.look = [recursive](Client& client, const std::string& path) {
    return LookAtRemoval(client, path, recursive);
  };
  removal.remove = [recursive](Client& client, const std::string& path) {
    return client.Remove(path,
                         recursive ? Client::RemoveMode::kRecursive : Client::RemoveMode::kOne);
  };
  return RunRemoval(context, arguments, removal);
}

struct MoveArguments {
  std::string from;  // both as typed
  std::string to;
  Consent consent;
};

struct Move {
  std::string from;
  std::string to;
  bool replaces = false;  // a file that is there
};

absl::StatusOr<Move> PlanMove(Client& client, const MoveArguments& arguments) {
  Move move;
  move.from = PlainPath(arguments.from);
  const RemotePath target = ParseRemotePath(arguments.to);
  move.to = target.path;
  absl::StatusOr<Entry> entry = absl::NotFoundError("not asked for");
  if (!target.names_directory) entry = client.Stat(move.to);
  if (target.names_directory || (entry.ok() && entry->type == EntryType::kDirectory)) {
    move.to = JoinPath(move.to, BaseName(move.from));
    entry = client.Stat(move.to);
  }
  // What else may be in the way is for the service to say.
  move.replaces = entry.ok() && entry->type == EntryType::kFile && move.to != move.from;
  if (arguments.consent.dry_run) RETURN_IF_ERROR(client.Stat(move.from).status());
  return move;
}

void ReportMove(Context& context, const Move& move, const Consent& consent) {
  if (context.json()) {
    Json json = {{"from", move.from}, {"to", move.to}, {"ok", true}, {"replaced", move.replaces}};
    if (consent.dry_run) json["dry_run"] = true;
    context.PrintJson(json);
    return;
  }
  context.Print(absl::StrCat(
      consent.dry_run ? "would move " : "moved ", Printable(move.from), " to ", Printable(move.to),
      consent.dry_run && move.replaces ? ", replacing the file there" : "", "\n"));
}

int RunMove(Context& context, const MoveArguments& arguments) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const auto move = PlanMove(*client, arguments);
  if (!move.ok()) return context.Fail({"cannot move", PlainPath(arguments.from), move.status()});
  const Consent& consent = arguments.consent;
  if (move->replaces && !consent.dry_run) {
    const Deed deed = {"replace", Printable(move->to)};
    std::optional<int> refused = RefuseUnasked(context, consent, deed);
    if (!refused.has_value()) {
      refused = Ask(context, consent, deed,
                    absl::StrCat("There is a file ", Printable(move->to), ". Replace it?"));
    }
    if (refused.has_value()) return *refused;
  }
  if (!consent.dry_run) {
    const absl::Status moved = client->Rename(move->from, move->to);
    if (!moved.ok()) return context.Fail({"cannot move", move->from, moved});
  }
  ReportMove(context, *move, consent);
  return kExitOk;
}

void AddList(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* ls = app->add_subcommand("ls", "List a directory, a checkpoint or the buckets");
  ls->add_option("path", options->path, "Default: the buckets")->type_name("PATH");
  ls->add_flag("-l,--long", options->details, "Type, size, checksum and time of each");
  ls->add_flag("-r,--recursive", options->recursive, "All below, by their whole paths");
  ls->footer(R"(Examples:
  cairn ls
  cairn ls -l models/run7
  cairn ls -r models --output ndjson)");
  ls->callback([options, chosen] {
    *chosen = [options](Context& context) { return RunList(context, *options); };
  });
}

void AddStat(CLI::App* app, Command* chosen) {
  auto path = std::make_shared<std::string>();
  CLI::App* stat = app->add_subcommand("stat", "Show what a path is");
  stat->add_option("path", *path, "File, directory or checkpoint")->required()->type_name("PATH");
  stat->footer("Examples:\n  cairn stat models/run7/config.json");
  stat->callback(
      [path, chosen] { *chosen = [path](Context& context) { return RunStat(context, *path); }; });
}

void AddRemove(CLI::App* app, Command* chosen) {
  auto arguments = std::make_shared<RemovalArguments>();
  auto recursive = std::make_shared<bool>(false);
  CLI::App* rm = app->add_subcommand("rm", "Remove files, empty directories or checkpoints");
  rm->add_option("path", arguments->paths, "What to remove")->required()->type_name("PATH...");
  rm->add_flag("-r,--recursive", *recursive, "Directories with all they hold");
  AddRemovalOptions(rm, arguments.get());
  rm->footer(R"(Asks before, on a terminal. What is removed cannot be brought back.

Examples:
  cairn rm models/old.safetensors
  cairn rm -r models/experiments --dry-run
  cairn rm -r models/experiments --yes)");
  rm->callback([arguments, recursive, chosen] {
    *chosen = [arguments, recursive](Context& context) {
      return RunRemove(context, *arguments, *recursive);
    };
  });
}

void AddMove(CLI::App* app, Command* chosen) {
  auto arguments = std::make_shared<MoveArguments>();
  CLI::App* mv = app->add_subcommand("mv", "Rename a file, a directory or a checkpoint");
  mv->add_option("from", arguments->from, "What to move")->required()->type_name("PATH");
  mv->add_option("to", arguments->to, "Its new path, or a directory to move it into")
      ->required()
      ->type_name("PATH");
  AddYesOption(mv, &arguments->consent);
  AddDryRunOption(mv, &arguments->consent);
  mv->footer(R"(Atomic. Asks before it replaces a file that is there.

Examples:
  cairn mv models/run7/step-1000 models/keep/
  cairn mv models/a.bin models/b.bin --yes)");
  mv->callback([arguments, chosen] {
    *chosen = [arguments](Context& context) { return RunMove(context, *arguments); };
  });
}

void AddMakeDirectory(CLI::App* app, Command* chosen) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* mkdir = app->add_subcommand("mkdir", "Make directories (one component: a bucket)");
  mkdir->add_option("path", *paths, "Directories; missing parents are made too")
      ->required()
      ->type_name("PATH...");
  mkdir->footer("Examples:\n  cairn mkdir models\n  cairn mkdir models/run7/logs");
  mkdir->callback([paths, chosen] {
    *chosen = [paths](Context& context) {
      return ForEachPath(
          context, *paths, "cannot make", "made",
          [](Client& client, const std::string& path) { return client.MakeDirectory(path); });
    };
  });
}

}  // namespace

int ForEachPath(Context& context, const std::vector<std::string>& paths, const std::string& what,
                const std::string& done,
                const std::function<absl::Status(Client&, const std::string&)>& work) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Outcomes outcomes;
  JsonList results(&context);
  for (const std::string& typed : paths) {
    if (const absl::Status stopped = context.interrupts().Check(); !stopped.ok()) {
      return context.Fail({what, typed, stopped});
    }
    const std::string path = PlainPath(typed);
    const absl::Status status = work(*client, path);
    Json result = {{"path", path}, {"ok", status.ok()}};
    if (status.ok()) {
      outcomes.Succeeded();
      if (!context.json()) context.Print(absl::StrCat(done, " ", Printable(path), "\n"));
    } else {
      outcomes.Failed(status);
      context.Complain({what, path, status});
      result["error"] = FailureJson({what, path, status});
    }
    results.Add(std::move(result));
  }
  results.Finish();
  return outcomes.ExitCode();
}

void AddFileCommands(CLI::App* app, Command* chosen) {
  AddList(app, chosen);
  AddStat(app, chosen);
  AddRemove(app, chosen);
  AddMove(app, chosen);
  AddMakeDirectory(app, chosen);
}

}  // namespace cairn::cli
