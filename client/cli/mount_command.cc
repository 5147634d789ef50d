// `cairn mount` and `cairn umount`: the cluster's files as a directory of this machine. Mounting
// itself is client/fuse, by way of Context::mounter.
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/background.h"
#include "client/cli/format.h"
#include "client/cli/mount_arguments.h"

namespace cairn::cli {
namespace {

constexpr char kMountHelp[] =
    R"(SOURCE is HOST:PORT[,HOST:PORT...][:/BUCKET/PATH], or :/BUCKET/PATH of the cluster that the settings name; without a
path, all buckets. Programs see files as on a local disk; what one machine has written, another sees once the file is closed,
synced or unlocked there and opened here. Files are durable after fsync(2), or close(2) and a moment.

Comes back once the mount answers, and leaves it in the background; its messages are appended to --log-file [root:
/var/log/cairn/mount-DIRECTORY.log, others: ~/.local/state/cairn/]. With --foreground it stays, and unmounts at Ctrl-C and
SIGTERM, when all that was written is durable. --timeout says how long a system call waits for the cluster before it
fails with EIO.

Who is not root needs fusermount3 (package fuse3), and 'user_allow_other' in /etc/fuse.conf for --allow-other.

In /etc/fstab, with mount.fuse.cairn of tools/deploy installed:
  10.0.0.5:7440,10.0.0.6:7440:/models  /mnt/models  fuse.cairn  _netdev,noatime  0 0

Examples:
  cairn mount 10.0.0.5:7440:/models /mnt/models
  cairn mount :/ /mnt/cairn --read-only
  cairn mount 10.0.0.5:7440:/models/run7 ~/run7 --foreground --metrics 127.0.0.1:9745
  cairn mount 10.0.0.5:7440 /mnt/cairn -o ro,noatime,threads=64
  cairn umount /mnt/models)";

constexpr char kUmountHelp[] =
    R"(What was written and closed is in the cluster by then; what is still being written is handed over before the mount's
process ends.

Examples:
  cairn umount /mnt/models
  cairn umount --lazy /mnt/models      # gone at once, served until nobody uses it
  cairn umount --force /mnt/models     # whoever uses it sees errors)";

constexpr char kNoMounter[] =
    "this cairn was built without FUSE; install libfuse3-dev and build it with -DCAIRN_FUSE=ON";

std::string What(const MountArguments& arguments) {
  return absl::StrCat(arguments.source, " at ", arguments.mount_point);
}

// Whoever runs in the background has another working directory.
std::string Absolute(const std::string& path) {
  if (path.empty()) return path;
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(path, error).lexically_normal();
  if (error) return path;
  if (!absolute.has_filename() && absolute.has_relative_path()) absolute = absolute.parent_path();
  return absolute.string();
}

// Of the log, by default in a directory of ours.
absl::Status PrepareLog(Context& context, MountArguments* arguments) {
  arguments->log_file = Absolute(arguments->log_file);
  if (!arguments->log_file.empty() || arguments->foreground) return absl::OkStatus();
  arguments->log_file =
      DefaultMountLog(arguments->mount_point, geteuid() == 0, context.environment);
  if (arguments->log_file.empty()) return absl::OkStatus();
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(arguments->log_file).parent_path(),
                                      error);
  if (!error) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("cannot make the directory of ",
                                                  arguments->log_file, ": ", error.message(),
                                                  "; name a file with --log-file"));
}

absl::Status WithMountHint(const absl::Status& status) {
  if (!absl::IsNotFound(status) || absl::StrContains(status.message(), "; ")) return status;
  return absl::NotFoundError(absl::StrCat(
      status.message(), "; 'cairn ls' lists what there is, 'cairn mkdir' makes a directory"));
}

// Until it is unmounted, or a signal comes.
int Serve(Context& context, const MountArguments& arguments, int ready_fd) {
  const Mounting mounting = geteuid() == 0 ? Mounting::kByRoot : Mounting::kByUser;
  auto options = MakeMountOptions(arguments, mounting, context.MakeClientOptions());
  if (!options.ok()) return context.Fail({"cannot mount", What(arguments), options.status()});
  MountEvents events;
  events.on_ready = [&context, &arguments, ready_fd] {
    // Handing over what was written may take long, and has to end.
    context.interrupts().EndInOrder();
    if (ready_fd >= 0) ReportReady(ready_fd, arguments.log_file);
  };
  events.stop_requested = [&context] { return context.interrupts().signal() != 0; };
  const absl::Status served = context.mounter.run(*options, events);
  if (served.ok()) return kExitOk;
  return context.Fail({"cannot mount", What(arguments), WithMountHint(served)});
}

// Set where this is the background; else below zero.
int ReadyFd(const Context& context) {
  int fd = -1;
  return absl::SimpleAtoi(context.environment(kReadyVariable).value_or(""), &fd) ? fd : -1;
}

int RunMount(Context& context, MountArguments arguments) {
  if (!context.mounter.run) {
    return context.Fail({"cannot mount", What(arguments), absl::UnimplementedError(kNoMounter)});
  }
  arguments.mount_point = Absolute(arguments.mount_point);
  if (const auto source = ParseMountSource(arguments.source); !source.ok())
    return context.Fail({"cannot mount", What(arguments), source.status()});
  if (const absl::Status ready = PrepareLog(context, &arguments); !ready.ok())
    return context.Fail({"cannot mount", What(arguments), ready});
  const int ready_fd = ReadyFd(context);
  if (arguments.foreground || ready_fd >= 0) return Serve(context, arguments, ready_fd);
  const auto code = StartInBackground(context.arguments, context.interrupts());
  if (!code.ok()) return context.Fail({"cannot mount", What(arguments), code.status()});
  if (*code == kExitOk && context.json()) {
    context.PrintJson({{"source", arguments.source},
                       {"mount_point", arguments.mount_point},
                       {"log_file", arguments.log_file}});
  }
  return *code;
}

void AddMount(CLI::App* app, Command* chosen) {
  CLI::App* mount = app->add_subcommand("mount", "Mount a bucket or directory on this machine");
  auto arguments = std::make_shared<MountArguments>();
  mount->add_option("source", arguments->source, "Nodes and path")->type_name("SOURCE")->required();
  mount->add_option("directory", arguments->mount_point, "Where")
      ->type_name("DIRECTORY")
      ->required();
  mount->add_flag("-f,--foreground", arguments->foreground, "Stay, and unmount at the end");
  mount->add_flag("--read-only", arguments->read_only, "Let nobody change anything");
  auto share = [arguments](Sharing sharing) {
    return [arguments, sharing](int64_t) { arguments->sharing = sharing; };
  };
  mount->add_flag("--allow-other", std::function<void(int64_t)>(share(Sharing::kAll)),
                  "Let other users look, too, as the modes say [if root mounts]");
  mount->add_flag("--only-me", std::function<void(int64_t)>(share(Sharing::kOnlyMe)),
                  "Let nobody else look, not even root");
  mount->add_option("--threads", arguments->threads, "System calls served at once [32]")
      ->check(CLI::Range(1, 1024));
  AddBytesOption(mount, "--dirty-bytes", &arguments->dirty_bytes,
                 "Bytes written and not on their way yet, of all files; more wait [256MiB]");
  AddBytesOption(mount, "--readahead", &arguments->readahead_bytes,
                 "Read ahead of who reads a file from front to back; 0: not at all [32MiB]");
  AddDurationOption(
      mount, "--attr-timeout", &arguments->attribute_timeout,
      "How long names and attributes are kept of which the service does not tell when they change; "
      "0: none are kept [1s]");
  mount->add_option("--log-file", arguments->log_file, "Append messages to it [stderr with -f]")
      ->type_name("FILE");
  mount->add_option("--metrics", arguments->metrics_address, "Tell Prometheus there")
      ->type_name("HOST:PORT");
  mount->add_option("--fsname", arguments->shown_source, "What df(1) shows [cairn#SOURCE]")
      ->type_name("NAME");
  mount
      ->add_option_function<std::vector<std::string>>(
          "-o,--options",
          [arguments](const std::vector<std::string>& lists) {
            for (const std::string& list : lists) {
              const absl::Status applied = ApplyMountOptions(list, arguments.get());
              if (!applied.ok()) throw CLI::ValidationError("-o", std::string(applied.message()));
            }
          },
          "As mount(8) takes them: ro,noatime,threads=8")
      ->type_name("LIST")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  mount->footer(kMountHelp);
  mount->callback([arguments, chosen] {
    *chosen = [arguments](Context& context) { return RunMount(context, *arguments); };
  });
}

int RunUmount(Context& context, const std::string& mount_point, UnmountMode mode) {
  const absl::Status done = context.mounter.unmount
                                ? context.mounter.unmount(Absolute(mount_point), mode)
                                : absl::UnimplementedError(kNoMounter);
  if (done.ok()) return kExitOk;
  return context.Fail({"cannot unmount", mount_point, done});
}

void AddUmount(CLI::App* app, Command* chosen) {
  CLI::App* umount = app->add_subcommand("umount", "Take away what 'cairn mount' has mounted");
  auto mount_point = std::make_shared<std::string>();
  auto mode = std::make_shared<UnmountMode>(UnmountMode::kClean);
  umount->add_option("directory", *mount_point, "Where it is mounted")
      ->type_name("DIRECTORY")
      ->required();
  const auto choose = [mode](UnmountMode wanted) {
    return std::function<void(int64_t)>([mode, wanted](int64_t) { *mode = wanted; });
  };
  CLI::Option* lazy = umount->add_flag("-l,--lazy", choose(UnmountMode::kLazy),
                                       "Now, though it is in use: those who use it may go on");
  umount
      ->add_flag("--force", choose(UnmountMode::kForce),
                 "Now, though it is in use: those who use it see errors")
      ->excludes(lazy);
  umount->footer(kUmountHelp);
  umount->callback([mount_point, mode, chosen] {
    *chosen = [mount_point, mode](Context& context) {
      return RunUmount(context, *mount_point, *mode);
    };
  });
}

}  // namespace

void AddMountCommands(CLI::App* app, Command* chosen) {
  AddMount(app, chosen);
  AddUmount(app, chosen);
}

}  // namespace cairn::cli
