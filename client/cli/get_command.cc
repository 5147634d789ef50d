// `cairn get` and `cairn cat`: files, directories and checkpoints out of the cluster.
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/copy_files.h"
#include "client/cli/remote_walk.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

namespace fs = std::filesystem;

struct GetOptions {
  std::string path;
  std::string local = ".";
  bool recursive = false;
  size_t jobs = 4;
};

// The file must still be what the listing said: a checkpoint that was replaced meanwhile would come
// out mixed.
absl::Status CheckUnchanged(const File& file, const FileCopy& expected) {
  if (file.size_bytes() == expected.size_bytes && file.crc32c() == expected.crc32c)
    return absl::OkStatus();
  return absl::AbortedError("it was replaced while it was copied; get it again");
}

absl::StatusOr<TransferResult> GetOne(Client& client, const FileCopy& item, Interrupts* interrupts,
                                      TransferHooks hooks) {
  ASSIGN_OR_RETURN(File file, client.OpenFile(item.remote));
  RETURN_IF_ERROR(CheckUnchanged(file, item));
  ASSIGN_OR_RETURN(LocalFile local, LocalFile::Create(item.local, interrupts));
  ASSIGN_OR_RETURN(const TransferResult result, Download(file, local.fd(), hooks));
  RETURN_IF_ERROR(local.Commit());
  return result;
}

// Plans all below `root`, making the local directories on the way.
absl::Status PlanTree(Context& context, Client& client, const std::string& root,
                      const fs::path& local_root, CopyPlan* plan) {
  std::error_code error;
  fs::create_directories(local_root, error);
  if (error) return ErrnoStatus(error.value());
  auto visit = [&](const RemoteEntry& found) {
    const std::string& path = found.path;
    const std::string relative = root.empty() ? path : path.substr(root.size() + 1);
    const fs::path local = local_root / relative;
    if (!IsSafeName(found.entry.name)) {
      plan->failures.push_back(
          {"cannot get", path, absl::InvalidArgumentError("no local file can have this name")});
    } else if (IsContainer(found.entry.type)) {
      std::error_code made;
      fs::create_directories(local, made);
      if (made)
        plan->failures.push_back({"cannot make", local.string(), ErrnoStatus(made.value())});
    } else if (found.entry.type == EntryType::kFile) {
      plan->items.push_back({local.string(), path, found.entry.size_bytes, found.entry.crc32c});
    } else {
      plan->failures.push_back(
          {"cannot get", path, absl::InvalidArgumentError("it is a symlink; it is left out")});
    }
  };
  return WalkRemote(client, root, context.interrupts(), visit,
                    [&](const std::string& path, absl::Status why) {
                      plan->failures.push_back({"cannot list", path, std::move(why)});
                    });
}

absl::StatusOr<CopyPlan> MakePlan(Context& context, Client& client, const GetOptions& options) {
  CopyPlan plan;
  const std::string path = PlainPath(options.path);
  Entry entry;
  entry.type = EntryType::kDirectory;
  if (!path.empty()) {
    ASSIGN_OR_RETURN(entry, client.Stat(path));
  }
  std::error_code ignored;
  const bool into = fs::is_directory(options.local, ignored) || options.local.ends_with('/');
  const fs::path local = into ? fs::path(options.local) / BaseName(path) : fs::path(options.local);
  if (!IsContainer(entry.type)) {
    plan.items.push_back({local.string(), path, entry.size_bytes, entry.crc32c});
    return plan;
  }
  if (!options.recursive) {
    return absl::InvalidArgumentError(
        absl::StrCat("it is a ", entry.type == EntryType::kCheckpoint ? "checkpoint" : "directory",
                     "; add -r to get all it holds"));
  }
  RETURN_IF_ERROR(PlanTree(context, client, path, local, &plan));
  return plan;
}

int RunGet(Context& context, const GetOptions& options) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  auto plan = MakePlan(context, *client, options);
  if (!plan.ok()) return context.Fail({"cannot get", options.path, plan.status()});
  const CopyWords words = {"get", "got", "stopped getting", options.path, /*to_local=*/true};
  TellLeftOut(context, words, *plan);
  uint64_t total = 0;
  for (const FileCopy& item : plan->items) total += item.size_bytes;
  return CopyFiles(context, words, &*plan, options.jobs, total,
                   [&](const FileCopy& item, TransferHooks hooks) {
                     return GetOne(*client, item, &context.interrupts(), hooks);
                   });
}

// Content goes to stdout as it is, whatever --output says; errors are told on stderr alone.
int RunCat(Context& context, const std::vector<std::string>& paths, const std::string& label) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Outcomes outcomes;
  for (const std::string& typed : paths) {
    const std::string path = PlainPath(typed);
    auto file = client->OpenFile(path);
    absl::Status status = file.status();
    if (file.ok()) {
      // A bar on the terminal that shows the content would run through it.
      const ProgressMode mode =
          context.console().out_is_terminal() ? ProgressMode::kNever : context.options.progress;
      Progress progress(&context.console(), &context.clock(), mode,
                        absl::StrCat(label, " ", BaseName(path)), file->size_bytes());
      status =
          Download(*file, context.console().out_fd(), {&progress, &context.interrupts()}).status();
    }
    if (context.interrupts().signal() != 0) return context.Fail({"stopped at", path, status});
    if (absl::IsCancelled(status)) return kExitClosedPipe;
    if (status.ok()) {
      outcomes.Succeeded();
    } else {
      outcomes.Failed(status);
      context.Complain({"cannot read", path, status});
    }
  }
  return outcomes.ExitCode();
}

void AddCat(CLI::App* app, Command* chosen) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* cat = app->add_subcommand("cat", "Write the content of files to stdout");
  cat->add_option("path", *paths, "Files")->required()->type_name("PATH...");
  cat->footer(R"(Examples:
  cairn cat models/run7/config.json
  cairn cat backup/home.tar | tar x)");
  cat->callback([paths, chosen] {
    *chosen = [paths](Context& context) { return RunCat(context, *paths, "cat"); };
  });
}

}  // namespace

void AddGetCommands(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<GetOptions>();
  CLI::App* get = app->add_subcommand("get", "Copy files out of the cluster");
  get->add_option("path", options->path, "What to get")->required()->type_name("PATH");
  get->add_option("local", options->local,
                  "Where it goes: a file, a directory, or - for stdout (default: here)")
      ->type_name("LOCAL");
  get->add_flag("-r,--recursive", options->recursive, "Directories and checkpoints");
  get->add_option("-j,--jobs", options->jobs, "Files on their way at once (4)")
      ->check(CLI::Range(1, 256));
  get->footer(
      R"(Every byte is checked against its checksums. A local file appears whole or not at all.

Examples:
  cairn get models/run7/step-1000/rank0.safetensors .
  cairn get -r models/run7/step-1000 ./step-1000
  cairn get backup/home.tar - | tar x)");
  get->callback([options, chosen] {
    *chosen = [options](Context& context) {
      if (options->local == "-") return RunCat(context, {options->path}, "get");
      return RunGet(context, *options);
    };
  });
  AddCat(app, chosen);
}

}  // namespace cairn::cli
