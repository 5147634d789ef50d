// `cairn put`: local files, directories and stdin into the cluster.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
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

struct PutOptions {
  std::vector<std::string> paths;  // the local ones, then the one in the cluster
  bool recursive = false;
  bool parents = false;
  // A few at once hide the metadata round trips of small files; each holds its own buffers.
  size_t jobs = 4;
};

struct PutPlan : CopyPlan {
  std::vector<std::string> directories;  // to make, parents first
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

absl::StatusOr<TransferResult> PutOne(Client& client, const FileCopy& item, TransferHooks hooks) {
  if (item.local == "-") return Upload(client, STDIN_FILENO, 0, item.remote, hooks);
  const int fd = open(item.local.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno);
  // The kernel reads further ahead; a hint, so its failure does not matter.
  static_cast<void>(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
  auto result = Upload(client, fd, item.size_bytes, item.remote, hooks);
  close(fd);
  return result;
}

int RunPut(Context& context, const PutOptions& options) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  auto plan = MakePlan(*client, options);
  if (!plan.ok()) return context.Fail({"cannot put to", options.paths.back(), plan.status()});
  const CopyWords words = {"put", "put", "stopped putting to", options.paths.back(),
                           /*to_local=*/false};
  TellLeftOut(context, words, *plan);
  for (const std::string& directory : plan->directories) {
    const absl::Status made = client->MakeDirectory(directory);
    if (!made.ok()) return context.Fail({"cannot make directory", directory, made});
  }
  uint64_t total = 0;
  bool known = true;
  for (const FileCopy& item : plan->items) {
    total += item.size_bytes;
    known = known && item.local != "-";
  }
  return CopyFiles(
      context, words, &*plan, options.jobs, known ? std::optional(total) : std::nullopt,
      [client](const FileCopy& item, TransferHooks hooks) { return PutOne(*client, item, hooks); });
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
