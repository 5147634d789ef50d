// `cairn put`: local files, directories and stdin into the cluster.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/parallel.h"
#include "client/cli/remote_walk.h"
#include "client/cli/transfer.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

namespace fs = std::filesystem;

struct PutOptions {
  std::vector<std::string> paths;  // the local ones, then the one in the cluster
  bool recursive = false;
  bool parents = false;
  // A few at once hide the metadata round trips of small files; each holds its own buffers.
  size_t jobs = 4;
};

struct PutItem {
  std::string local;  // "-": stdin
  std::string remote;
  uint64_t size_bytes = 0;
  absl::StatusOr<TransferResult> result = absl::CancelledError("not started");
};

struct PutPlan {
  std::vector<PutItem> items;
  std::vector<std::string> directories;  // to make, parents first
  std::vector<Failure> failures;
};

absl::Status ErrorCodeStatus(const std::error_code& error) { return ErrnoStatus(error.value()); }

// Adds all below the local directory `root`. Symlinks to files are followed, those to directories
// are not: they could lead in circles.
void PlanDirectory(const fs::path& root, const std::string& remote_root, PutPlan* plan) {
  plan->directories.push_back(remote_root);
  std::error_code error;
  fs::recursive_directory_iterator at(root, error), end;
  for (; !error && at != end; at.increment(error)) {
    const std::string local = at->path().string();
    const std::string remote = JoinPath(remote_root, at->path().lexically_relative(root).string());
    std::error_code stat_error;
    const fs::file_status status = at->status(stat_error);
    if (fs::is_regular_file(status)) {
      plan->items.push_back({local, remote, at->file_size(stat_error)});
    } else if (fs::is_directory(status) && !at->is_symlink(stat_error)) {
      plan->directories.push_back(remote);
    } else {
      const absl::Status why = stat_error
                                   ? ErrorCodeStatus(stat_error)
                                   : absl::InvalidArgumentError(
                                         "neither a regular file nor a directory; it is left out");
      plan->failures.push_back({"cannot put", local, why});
    }
  }
  if (error)
    plan->failures.push_back({"cannot read directory", root.string(), ErrorCodeStatus(error)});
}

void PlanSource(const std::string& local, const std::string& remote, bool recursive,
                PutPlan* plan) {
  if (local == "-") {
    plan->items.push_back({local, remote, 0});
    return;
  }
  std::error_code error;
  const fs::file_status status = fs::status(local, error);
  if (status.type() == fs::file_type::not_found || error) {
    plan->failures.push_back({"cannot put", local, ErrnoStatus(error ? error.value() : ENOENT)});
  } else if (fs::is_directory(status) && !recursive) {
    plan->failures.push_back(
        {"cannot put", local, absl::InvalidArgumentError("it is a directory; add -r")});
  } else if (fs::is_directory(status)) {
    PlanDirectory(local, remote, plan);
  } else {
    // Pipes and devices have no size that means anything.
    const uint64_t size = fs::is_regular_file(status) ? fs::file_size(local, error) : 0;
    plan->items.push_back({local, remote, error ? 0 : size});
  }
}

// The name that a local path has in a directory of the cluster; "." and ".." have none of their
// own.
std::string LocalBaseName(const std::string& local) {
  std::error_code error;
  fs::path path = fs::path(local).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (path.filename() == "." || path.filename() == "..") path = fs::canonical(local, error);
  return path.filename().string();
}

absl::StatusOr<PutPlan> MakePlan(Client& client, const PutOptions& options) {
  const RemotePath target = ParseRemotePath(options.paths.back());
  const size_t sources = options.paths.size() - 1;
  bool into = target.names_directory || sources > 1;
  if (!into) {
    auto entry = client.Stat(target.path);
    if (absl::IsUnavailable(entry.status())) return entry.status();
    into = entry.ok() && entry->type == EntryType::kDirectory;
  }
  PutPlan plan;
  std::set<std::string> names;
  for (size_t i = 0; i < sources; ++i) {
    const std::string& local = options.paths[i];
    if (into && local == "-") {
      return absl::InvalidArgumentError(
          "stdin needs a file's name; write 'put - BUCKET/DIRECTORY/NAME'");
    }
    const std::string remote = into ? JoinPath(target.path, LocalBaseName(local)) : target.path;
    if (!names.insert(remote).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("two of the files would become ", remote, "; put them one by one"));
    }
    PlanSource(local, remote, options.recursive, &plan);
  }
  if (options.parents) {
    const std::string directory =
        into ? target.path : target.path.substr(0, target.path.rfind('/') + 1);
    if (!PlainPath(directory).empty()) {
      plan.directories.insert(plan.directories.begin(), PlainPath(directory));
    }
  }
  return plan;
}

absl::StatusOr<TransferResult> PutOne(Client& client, const PutItem& item, TransferHooks hooks) {
  if (item.local == "-") return Upload(client, STDIN_FILENO, 0, item.remote, hooks);
  const int fd = open(item.local.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno);
  // The kernel reads further ahead; a hint, so its failure does not matter.
  static_cast<void>(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
  auto result = Upload(client, fd, item.size_bytes, item.remote, hooks);
  close(fd);
  return result;
}

Json ItemJson(const PutItem& item) {
  Json file = {{"local", item.local}, {"path", item.remote}, {"ok", item.result.ok()}};
  if (item.result.ok()) {
    file["size_bytes"] = item.result->size_bytes;
    file["crc32c"] = CrcText(item.result->crc32c);
  } else {
    file["error"] = FailureJson({"cannot put", item.remote, item.result.status()});
  }
  return file;
}

Json FailedJson(const Failure& failure) {
  return {{"local", failure.subject}, {"ok", false}, {"error", FailureJson(failure)}};
}

// One array, in the order of the plan. As ndjson each has been printed as it was done.
void ReportJson(Context& context, const PutPlan& plan) {
  if (context.streams_json()) return;
  JsonList files(&context);
  for (const Failure& failure : plan.failures) files.Add(FailedJson(failure));
  for (const PutItem& item : plan.items) files.Add(ItemJson(item));
  files.Finish();
}

int Report(Context& context, const PutPlan& plan, absl::Duration elapsed) {
  Outcomes outcomes;
  uint64_t bytes = 0, count = 0;
  for (const Failure& failure : plan.failures) outcomes.Failed(failure.why);
  for (const PutItem& item : plan.items) {
    if (!item.result.ok()) {
      outcomes.Failed(item.result.status());
      continue;
    }
    outcomes.Succeeded();
    bytes += item.result->size_bytes;
    ++count;
  }
  if (context.json()) {
    ReportJson(context, plan);
  } else if (count > 0) {
    const std::string what = count == 1 && plan.items.size() == 1 ? Printable(plan.items[0].remote)
                                                                  : absl::StrCat(count, " files");
    context.Print(absl::StrCat("put ", what, ": ", HumanBytes(bytes), " in ",
                               HumanDuration(elapsed), " (", HumanRate(bytes, elapsed), ")\n"));
  }
  return outcomes.ExitCode();
}

int RunPut(Context& context, const PutOptions& options) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  auto plan = MakePlan(*client, options);
  if (!plan.ok()) return context.Fail({"cannot put to", options.paths.back(), plan.status()});
  for (const Failure& failure : plan->failures) {
    context.Complain(failure);
    if (context.streams_json()) context.PrintJson(FailedJson(failure));
  }
  for (const std::string& directory : plan->directories) {
    const absl::Status made = client->MakeDirectory(directory);
    if (!made.ok()) return context.Fail({"cannot make directory", directory, made});
  }
  uint64_t total = 0;
  bool known = true;
  for (const PutItem& item : plan->items) {
    total += item.size_bytes;
    known = known && item.local != "-";
  }
  const std::string label = plan->items.size() == 1
                                ? absl::StrCat("put ", BaseName(plan->items[0].remote))
                                : absl::StrCat("put ", plan->items.size(), " files");
  Progress progress(&context.console(), &context.clock(), context.options.progress, label,
                    known ? std::optional<uint64_t>(total) : std::nullopt);
  std::mutex printing;
  ForEachParallel(options.jobs, plan->items.size(), context.interrupts(), [&](size_t i) {
    PutItem& item = plan->items[i];
    item.result = PutOne(*client, item, {&progress, &context.interrupts()});
    if (!item.result.ok() && context.interrupts().signal() == 0) {
      context.Complain({"cannot put", item.remote, item.result.status()}, &progress);
    }
    if (!context.streams_json()) return;
    std::lock_guard lock(printing);
    context.PrintJson(ItemJson(item));
  });
  progress.Finish();
  if (const absl::Status stopped = context.interrupts().Check(); !stopped.ok()) {
    return context.Fail({"stopped putting to", options.paths.back(), stopped});
  }
  return Report(context, *plan, progress.elapsed());
}

}  // namespace

void AddPutCommand(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<PutOptions>();
  CLI::App* put = app->add_subcommand("put", "Copy local files into the cluster");
  put->add_option("paths", options->paths,
                  "LOCAL... PATH: local files (- is stdin), then where they go")
      ->required()
      ->expected(2, -1)
      ->type_name("LOCAL... PATH");
  put->add_flag("-r,--recursive", options->recursive, "Directories with all they hold");
  put->add_flag("-p,--parents", options->parents, "Make the missing directories of PATH");
  put->add_option("-j,--jobs", options->jobs, "Files on their way at once (4)")
      ->check(CLI::Range(1, 256));
  put->footer(R"(A file appears whole and durable, or not at all.

Examples:
  cairn put model.safetensors models/base/model.safetensors
  cairn put *.json models/base/
  cairn put -r ./dataset data/
  tar c . | cairn put - backup/home.tar)");
  put->callback([options, chosen] {
    *chosen = [options](Context& context) { return RunPut(context, *options); };
  });
}

}  // namespace cairn::cli
