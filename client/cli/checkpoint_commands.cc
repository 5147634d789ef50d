// `cairn ckpt ls`, `show`, `latest`, `pin`, `unpin` and `rm`. The commands with more to them have
// files of their own: verify_command.cc, retention_commands.cc.
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/arguments.h"
#include "client/cli/checkpoint_table.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/json_shapes.h"
#include "client/cli/removal.h"
#include "client/cli/watch.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

struct ListOptions {
  std::string directory;
  bool all = false;
  bool recursive = false;
  WatchOptions watch;
};

std::string StateName(const CheckpointInfo& info) {
  return info.committed ? "committed" : "writing";
}

Look LookAtList(Context& context, const ListOptions& options) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return {code};
  Client::ListCheckpointsOptions list;
  const std::string directory = PlainPath(options.directory);
  list.include_writing = options.all;
  // The buckets themselves hold no checkpoints' names: without a directory, look everywhere.
  list.recursive = options.recursive || directory.empty();
  auto checkpoints = client->ListCheckpoints(directory, list);
  if (!checkpoints.ok()) {
    return {context.Fail({"cannot list checkpoints in", directory, checkpoints.status()})};
  }
  if (context.json()) {
    JsonList list_json(&context);
    for (const CheckpointInfo& info : *checkpoints) list_json.Add(CheckpointJson(info));
    list_json.Finish();
  } else if (checkpoints->empty()) {
    // An answer, not a failure: stdout stays empty for scripts.
    context.console().WriteError(
        options.all ? "no checkpoints\n"
                    : "no committed checkpoints; --all shows those being written\n");
  } else {
    context.Print(RenderCheckpoints(*checkpoints, context.clock().WallNow(), context.style()));
  }
  return {kExitOk};
}

std::string RenderDetails(const CheckpointInfo& info, absl::Time now, TextStyle style) {
  std::vector<std::pair<std::string, std::string>> lines = {
      {"path", info.path},
      {"state", StateName(info) + (info.pinned ? ", pinned" : "")},
      {"step", info.step.has_value() ? absl::StrCat(*info.step) : "-"},
      {"attempt", absl::StrCat(info.attempt)},
      {"ranks", absl::StrCat(info.ranks_done, " of ", info.world_size, " done")},
      {"shards", absl::StrCat(info.shard_count)},
      {"size", absl::StrCat(HumanBytes(info.size_bytes), " (", info.size_bytes, " bytes)")},
      {"begun", absl::StrCat(UtcTime(info.begun), " (", HumanAge(info.begun, now), ")")}};
  if (info.committed) {
    const absl::Duration took = info.committed_at - info.begun;
    lines.emplace_back("committed", absl::StrCat(UtcTime(info.committed_at), " (",
                                                 HumanAge(info.committed_at, now), ", after ",
                                                 HumanDuration(took), ")"));
  }
  if (!info.missing_ranks.empty()) {
    const bool more = info.world_size - info.ranks_done > info.missing_ranks.size();
    lines.emplace_back(
        "waiting for",
        absl::StrCat("ranks ", absl::StrJoin(info.missing_ranks, ", "), more ? ", ..." : ""));
  }
  if (!info.job.empty()) lines.emplace_back("job", info.job);
  for (const auto& [key, value] : info.attributes) lines.emplace_back(key, value);
  return RenderProperties(lines, style);
}

int RunShow(Context& context, const std::string& typed) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string path = PlainPath(typed);
  std::vector<ShardInfo> shards;
  auto info = client->ShowCheckpoint(path, &shards);
  if (!info.ok()) return context.Fail({"cannot show checkpoint", path, info.status()});
  if (context.json()) {
    Json json = CheckpointJson(*info);
    json["shards"] = Json::array();
    for (const ShardInfo& shard : shards) json["shards"].push_back(ShardJson(shard));
    context.PrintJson(json);
    return kExitOk;
  }
  context.Print(RenderDetails(*info, context.clock().WallNow(), context.style()));
  if (shards.empty()) return kExitOk;
  Table table({{"RANK", Align::kRight}, {"SIZE", Align::kRight}, {"CRC32C"}, {"SHARD"}});
  for (const ShardInfo& shard : shards) {
    table.AddRow({absl::StrCat(shard.rank), HumanBytes(shard.size_bytes), CrcText(shard.crc32c),
                  shard.name});
  }
  context.Print("\n" + table.Render(context.style()));
  return kExitOk;
}

int RunLatest(Context& context, const std::string& typed) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string directory = PlainPath(typed);
  auto info = client->LatestCheckpoint(directory);
  if (!info.ok()) return context.Fail({"cannot find a checkpoint in", directory, info.status()});
  // The path alone: made for $(cairn ckpt latest DIR).
  if (context.json()) {
    context.PrintJson(CheckpointJson(*info));
  } else {
    context.Print(Printable(info->path) + "\n");
  }
  return kExitOk;
}

absl::StatusOr<Contents> LookAtCheckpoint(Client& client, const std::string& path) {
  ASSIGN_OR_RETURN(const CheckpointInfo info, client.ShowCheckpoint(path));
  if (info.pinned) {
    return absl::FailedPreconditionError("it is pinned; 'cairn ckpt unpin' it first");
  }
  if (!info.committed) {
    return absl::FailedPreconditionError(
        "it is being written; stop the job, and the service drops the attempt by itself");
  }
  return Contents{info.shard_count, info.size_bytes};
}

absl::Status RemoveCheckpoint(Client& client, const std::string& path) {
  RETURN_IF_ERROR(LookAtCheckpoint(client, path).status());
  return client.Remove(path, Client::RemoveMode::kRecursive);
}

void AddRemove(CLI::App* ckpt, Command* chosen) {
  auto arguments = std::make_shared<RemovalArguments>();
  CLI::App* rm = ckpt->add_subcommand("rm", "Remove checkpoints (not pinned ones)");
  rm->add_option("path", arguments->paths, "Checkpoints")->required()->type_name("PATH...");
  AddRemovalOptions(rm, arguments.get());
  rm->footer(R"(Asks before, on a terminal. What is removed cannot be brought back.

Examples:
  cairn ckpt rm models/run7/step-1000
  cairn ckpt rm models/run7/step-1000 --dry-run
  cairn ckpt rm models/run7/step-1000 models/run7/step-2000 --yes)");
  rm->callback([arguments, chosen] {
    *chosen = [arguments](Context& context) {
      return RunRemoval(context, *arguments,
                        {"cannot remove checkpoint", LookAtCheckpoint, RemoveCheckpoint});
    };
  });
}

// A command on one or more checkpoints.
void AddEach(CLI::App* ckpt, const std::string& name, const std::string& description,
             const std::string& footer, const std::string& what, const std::string& done,
             std::function<absl::Status(Client&, const std::string&)> work, Command* chosen) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* command = ckpt->add_subcommand(name, description);
  command->add_option("path", *paths, "Checkpoints")->required()->type_name("PATH...");
  command->footer(footer);
  command->callback([=] {
    *chosen = [=](Context& context) { return ForEachPath(context, *paths, what, done, work); };
  });
}

// A command on one path.
void AddOne(CLI::App* ckpt, const std::string& name, const std::string& description,
            const std::string& type, const std::string& footer,
            int (*run)(Context&, const std::string&), Command* chosen) {
  auto path = std::make_shared<std::string>();
  CLI::App* command = ckpt->add_subcommand(name, description);
  command->add_option("path", *path, type == "DIR" ? "Directory of checkpoints" : "Checkpoint")
      ->required()
      ->type_name(type);
  command->footer(footer);
  command->callback([=] { *chosen = [=](Context& context) { return run(context, *path); }; });
}

void AddList(CLI::App* ckpt, Command* chosen) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* ls = ckpt->add_subcommand("ls", "List checkpoints");
  ls->add_option("dir", options->directory, "Directory (default: all buckets)")->type_name("DIR");
  ls->add_flag("-a,--all", options->all, "Those being written too");
  ls->add_flag("-r,--recursive", options->recursive, "In directories below, too");
  AddWatchOption(ls, &options->watch);
  ls->footer(R"(Examples:
  cairn ckpt ls
  cairn ckpt ls models/run7 --all --watch
  cairn ckpt ls models -r --output json)");
  ls->callback([options, chosen] {
    *chosen = [options](Context& context) {
      return RunLooks(context, options->watch,
                      [&context, &options] { return LookAtList(context, *options); });
    };
  });
}

}  // namespace

std::string RenderCheckpoints(const std::vector<CheckpointInfo>& checkpoints, absl::Time now,
                              TextStyle style) {
  Table table({{"STEP", Align::kRight},
               {"STATE"},
               {"RANKS", Align::kRight},
               {"SHARDS", Align::kRight},
               {"SIZE", Align::kRight},
               {"AGE", Align::kRight},
               {"PIN"},
               {"PATH"}});
  for (const CheckpointInfo& info : checkpoints) {
    table.AddRow({info.step.has_value() ? absl::StrCat(*info.step) : "-", StateName(info),
                  info.committed ? absl::StrCat(info.world_size)
                                 : absl::StrCat(info.ranks_done, "/", info.world_size),
                  absl::StrCat(info.shard_count), HumanBytes(info.size_bytes),
                  HumanAge(info.committed ? info.committed_at : info.begun, now),
                  info.pinned ? "pin" : "", info.path});
  }
  return table.Render(style);
}

void AddCheckpointCommands(CLI::App* app, Command* chosen) {
  CLI::App* ckpt = app->add_subcommand("ckpt", "Checkpoints: list, show, verify, keep, remove");
  ckpt->require_subcommand(1);
  ckpt->footer(R"x(Examples:
  cairn ckpt ls models/run7
  cairn ckpt verify "$(cairn ckpt latest models/run7)")x");
  AddList(ckpt, chosen);
  AddOne(ckpt, "show", "Show a checkpoint and its shards", "PATH",
         "Examples:\n  cairn ckpt show models/run7/step-1000", RunShow, chosen);
  AddVerifyCommand(ckpt, chosen);
  AddOne(ckpt, "latest", "Print the newest committed checkpoint of a directory", "DIR",
         "Examples:\n  cairn ckpt latest models/run7\n"
         "  cairn get -r \"$(cairn ckpt latest models/run7)\" ./resume",
         RunLatest, chosen);
  AddEach(
      ckpt, "pin", "Keep checkpoints whatever the retention rules say",
      "Examples:\n  cairn ckpt pin models/run7/step-1000", "cannot pin", "pinned",
      [](Client& client, const std::string& path) { return client.PinCheckpoint(path); }, chosen);
  AddEach(
      ckpt, "unpin", "Let the retention rules decide again",
      "Examples:\n  cairn ckpt unpin models/run7/step-1000", "cannot unpin", "unpinned",
      [](Client& client, const std::string& path) { return client.UnpinCheckpoint(path); }, chosen);
  AddRemove(ckpt, chosen);
  AddRetentionCommands(ckpt, chosen);
}

}  // namespace cairn::cli
