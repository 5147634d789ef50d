// `cairn ls`, `stat`, `rm`, `mv` and `mkdir`: the namespace.
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/json_shapes.h"
#include "client/cli/remote_walk.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

struct ListOptions {
  std::string path;
  bool details = false;
  bool recursive = false;
};

absl::StatusOr<std::vector<RemoteEntry>> CollectEntries(Context& context, Client& client,
                                                        const ListOptions& options,
                                                        Outcomes* outcomes) {
  std::vector<RemoteEntry> found;
  const std::string path = PlainPath(options.path);
  if (!path.empty()) {
    ASSIGN_OR_RETURN(Entry entry, client.Stat(path));
    if (!IsContainer(entry.type)) return std::vector<RemoteEntry>{{path, std::move(entry)}};
  }
  if (!options.recursive) {
    ASSIGN_OR_RETURN(std::vector<Entry> entries, client.List(path));
    for (Entry& entry : entries) found.push_back({JoinPath(path, entry.name), std::move(entry)});
    return found;
  }
  RETURN_IF_ERROR(WalkRemote(
      client, path, context.interrupts(), [&](const RemoteEntry& entry) { found.push_back(entry); },
      [&](const std::string& directory, absl::Status why) {
        outcomes->Failed(why);
        context.Complain({"cannot list", directory, std::move(why)});
      }));
  return found;
}

// Directories end in "/" as in `ls -p`: one sees what can be entered.
std::string DisplayName(const RemoteEntry& found, const ListOptions& options) {
  const std::string name = options.recursive ? found.path : BaseName(found.path);
  return IsContainer(found.entry.type) ? name + "/" : name;
}

int RunList(Context& context, const ListOptions& options) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Outcomes outcomes;
  auto found = CollectEntries(context, *client, options, &outcomes);
  if (!found.ok()) return context.Fail({"cannot list", options.path, found.status()});
  outcomes.Succeeded();
  if (context.json()) {
    Json entries = Json::array();
    for (const RemoteEntry& each : *found) entries.push_back(EntryJson(each.entry, each.path));
    context.PrintJson(entries);
  } else if (!options.details) {
    std::string lines;
    for (const RemoteEntry& each : *found) {
      absl::StrAppend(&lines, Printable(DisplayName(each, options)), "\n");
    }
    context.Print(lines);
  } else {
    Table table({{"TYPE"}, {"SIZE", Align::kRight}, {"CRC32C"}, {"MODIFIED"}, {"NAME"}});
    for (const RemoteEntry& each : *found) {
      const bool file = each.entry.type == EntryType::kFile;
      table.AddRow({EntryTypeName(each.entry.type),
                    IsContainer(each.entry.type) && each.entry.size_bytes == 0
                        ? "-"
                        : HumanBytes(each.entry.size_bytes),
                    file ? CrcText(each.entry.crc32c) : "-", UtcTime(each.entry.modified),
                    DisplayName(each, options)});
    }
    context.Print(table.Render(context.style()));
  }
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

int RunRemove(Context& context, const std::vector<std::string>& paths, bool recursive) {
  return ForEachPath(context, paths, "cannot remove", "removed",
                     [recursive](Client& client, const std::string& path) {
                       return client.Remove(path, recursive ? Client::RemoveMode::kRecursive
                                                            : Client::RemoveMode::kOne);
                     });
}

int RunMove(Context& context, const std::string& typed_from, const std::string& typed_to) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string from = PlainPath(typed_from);
  const RemotePath target = ParseRemotePath(typed_to);
  std::string to = target.path;
  bool into = target.names_directory;
  if (!into) {
    auto entry = client->Stat(to);
    into = entry.ok() && entry->type == EntryType::kDirectory;
  }
  if (into) to = JoinPath(to, BaseName(from));
  const absl::Status status = client->Rename(from, to);
  if (!status.ok()) return context.Fail({"cannot move", from, status});
  if (context.json()) {
    context.PrintJson({{"from", from}, {"to", to}, {"ok", true}});
  } else {
    context.Print(absl::StrCat("moved ", Printable(from), " to ", Printable(to), "\n"));
  }
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
  cairn ls -r models --output json)");
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
  auto paths = std::make_shared<std::vector<std::string>>();
  auto recursive = std::make_shared<bool>(false);
  CLI::App* rm = app->add_subcommand("rm", "Remove files, empty directories or checkpoints");
  rm->add_option("path", *paths, "What to remove")->required()->type_name("PATH...");
  rm->add_flag("-r,--recursive", *recursive, "Directories with all they hold");
  rm->footer(R"(Examples:
  cairn rm models/old.safetensors
  cairn rm -r models/experiments)");
  rm->callback([paths, recursive, chosen] {
    *chosen = [paths, recursive](Context& context) {
      return RunRemove(context, *paths, *recursive);
    };
  });
}

void AddMove(CLI::App* app, Command* chosen) {
  auto paths = std::make_shared<std::pair<std::string, std::string>>();
  CLI::App* mv = app->add_subcommand("mv", "Rename a file, a directory or a checkpoint");
  mv->add_option("from", paths->first, "What to move")->required()->type_name("FROM");
  mv->add_option("to", paths->second, "Its new path, or a directory to move it into")
      ->required()
      ->type_name("TO");
  mv->footer(R"(Atomic; replaces a file that is there.

Examples:
  cairn mv models/run7/step-1000 models/keep/
  cairn mv models/a.bin models/b.bin)");
  mv->callback([paths, chosen] {
    *chosen = [paths](Context& context) { return RunMove(context, paths->first, paths->second); };
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
  Json results = Json::array();
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
    results.push_back(std::move(result));
  }
  if (context.json()) context.PrintJson(results);
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
