// See mount.h: one mount from its beginning to its end. What happens in between, to each system
// call: bridge.h.
#include "client/fuse/mount.h"

#include <malloc.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/notification.h"
#include "client/fuse/bridge.h"
#include "client/fuse/mount_metrics.h"
#include "client/fuse/mount_point.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/telemetry/log.h"

namespace cairn {
namespace {

// How often it is asked whether to stop.
constexpr absl::Duration kLook = absl::Milliseconds(100);
// For those who still use a mount that is gone from the tree to come to an end.
constexpr absl::Duration kPatience = absl::Seconds(3);
// Does nothing, but wakes the thread that it is sent to.
constexpr int kWakeSignal = SIGUSR1;

// ---- what libfuse has to say ----

std::mutex library_mutex;
std::string* library_words = nullptr;  // the last line of an error; guarded by the mutex

void HearLibrary(fuse_log_level level, const char* format, va_list arguments) {
  char line[512];
  std::vsnprintf(line, sizeof(line), format, arguments);
  std::string text(line);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (level <= FUSE_LOG_ERR) {
    CAIRN_LOG_ERROR("{}", text);
    std::lock_guard lock(library_mutex);
    if (library_words != nullptr) *library_words = text;
  } else {
    CAIRN_LOG_INFO("{}", text);
  }
}

// Keeps it while it lives, for who has to explain a failure.
class LibraryWords {
 public:
  LibraryWords() {
    std::lock_guard lock(library_mutex);
    library_words = &text_;
  }
  ~LibraryWords() {
    std::lock_guard lock(library_mutex);
    library_words = nullptr;
  }
  LibraryWords(const LibraryWords&) = delete;
  LibraryWords& operator=(const LibraryWords&) = delete;

  std::string text() const {
    std::lock_guard lock(library_mutex);
    return text_;
  }

 private:
  std::string text_;
};

// ---- the session ----

struct SessionDeleter {
  void operator()(fuse_session* session) const { fuse_session_destroy(session); }
};
using Session = std::unique_ptr<fuse_session, SessionDeleter>;

std::vector<std::string> LibraryArguments(const MountOptions& options) {
  std::vector<std::string> list = options.kernel_options;
  // The kernel checks the modes, as of any file system.
  list.emplace_back("default_permissions");
  if (options.allow_other) list.emplace_back("allow_other");
  list.emplace_back(options.read_only ? "ro" : "rw");
  list.emplace_back("subtype=cairn");
  const std::string source = absl::StrReplaceAll(options.source, {{"\\", "\\\\"}, {",", "\\,"}});
  list.push_back(absl::StrCat("fsname=", source));
  return {"cairn", "-o", absl::StrJoin(list, ",")};
}

absl::StatusOr<Session> NewSession(const MountOptions& options, Bridge* bridge) {
  const LibraryWords words;
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  for (const std::string& each : LibraryArguments(options))
    fuse_opt_add_arg(&arguments, each.c_str());
  const fuse_lowlevel_ops calls = Bridge::Calls();
  Session session(fuse_session_new(&arguments, &calls, sizeof(calls), bridge));
  fuse_opt_free_args(&arguments);
  if (session != nullptr) return session;
  return absl::InvalidArgumentError(absl::StrCat(
      "libfuse does not take these options: ", words.text(), "; leave out what it names"));
}

absl::Status MountSession(fuse_session* session, const MountOptions& options) {
  const LibraryWords words;
  if (fuse_session_mount(session, options.mount_point.c_str()) == 0) return absl::OkStatus();
  std::string why = words.text().empty() ? "fusermount3 refused, see above" : words.text();
  if (geteuid() != 0 && options.allow_other) {
    absl::StrAppend(&why, "; --allow-other needs 'user_allow_other' in /etc/fuse.conf");
  } else if (geteuid() != 0) {
    absl::StrAppend(&why,
                    "; it has to be your own directory, and fusermount3 (package fuse3) has "
                    "to be there; or run this as root");
  } else {
    absl::StrAppend(&why,
                    "; mounting needs the capability SYS_ADMIN: in a container, --cap-add "
                    "SYS_ADMIN --device /dev/fuse");
  }
  return absl::PermissionDeniedError(why);
}

// Serves the session on threads of its own until it ends.
class Service {
 public:
  Service(fuse_session* session, const MountOptions& options)
      : session_(session), mount_point_(options.mount_point) {
    // For Wake(): without SA_RESTART, so that what waits is interrupted.
    struct sigaction nothing = {};
    nothing.sa_handler = [](int) {};
    sigaction(kWakeSignal, &nothing, nullptr);
    thread_ = std::thread([this, threads = options.threads] { Run(threads); });
  }
  ~Service() { thread_.join(); }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  bool WaitForEnd(absl::Duration patience) {
    return ended_.WaitForNotificationWithTimeout(patience);
  }
  // Whoever still uses the mount gets errors from here on. What is being served is finished.
  void End() {
    fuse_session_exit(session_);
    // libfuse looks at that when its thread wakes.
    do {
      pthread_kill(thread_.native_handle(), kWakeSignal);
    } while (!WaitForEnd(kLook));
  }
  absl::Status result() const { return result_; }  // after the end

 private:
  void Run(int threads) {
    const auto count = static_cast<unsigned>(threads);
    fuse_loop_config* config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_max_threads(config, count);
    // All of them stay: making one costs more than its memory.
    fuse_loop_cfg_set_idle_threads(config, count);
    // Each takes its requests from a queue of its own in the kernel.
    fuse_loop_cfg_set_clone_fd(config, 1);
    const int error = fuse_session_loop_mt(session_, config);
    fuse_loop_cfg_destroy(config);
    if (error < 0) {
      result_ = PosixError(-error, absl::StrCat("the mount failed: ", strerror(-error)));
      // The kernel would go on asking somebody who does not listen.
      static_cast<void>(Unmount(mount_point_, UnmountMode::kLazy));
    }
    ended_.Notify();
  }

  fuse_session* session_;
  const std::string mount_point_;
  absl::Notification ended_;
  absl::Status result_;
  std::thread thread_;
};

// Leaves the tree; whoever uses the mount has some time, and nobody can begin to.
void Leave(Service& service, const std::string& mount_point) {
  absl::Status left = Unmount(mount_point, UnmountMode::kClean);
  if (!left.ok()) {
    CAIRN_LOG_WARN("{} is still in use; whoever uses it will see errors", mount_point);
    left = Unmount(mount_point, UnmountMode::kLazy);
  }
  if (!left.ok()) CAIRN_LOG_WARN("cannot unmount {}: {}", mount_point, left);
  if (!service.WaitForEnd(kPatience)) service.End();
}

absl::Status Serve(fuse_session* session, const MountOptions& options, const MountEvents& events) {
  Service service(session, options);
  // Answered by the service: from here on the mount can be used.
  struct stat root = {};
  if (stat(options.mount_point.c_str(), &root) != 0) {
    const absl::Status why = PosixError(
        errno, absl::StrCat("the mount does not answer: ", strerror(errno), "; see its log"));
    Leave(service, options.mount_point);
    return why;
  }
  if (options.file_system.readahead_bytes > 0)
    SetKernelReadahead(options.mount_point, options.file_system.readahead_bytes);
  CAIRN_LOG_INFO("{} is mounted at {}", options.source, options.mount_point);
  if (events.on_ready) events.on_ready();
  while (!service.WaitForEnd(kLook)) {
    if (!events.stop_requested || !events.stop_requested()) continue;
    CAIRN_LOG_INFO("asked to stop: unmounting {}", options.mount_point);
    Leave(service, options.mount_point);
    return service.result();
  }
  // Unmounted, or cut off by an administrator: then what is left in the tree answers nobody.
  const bool is_dead = stat(options.mount_point.c_str(), &root) != 0 && errno == ENOTCONN;
  if (is_dead) RETURN_IF_ERROR(Unmount(options.mount_point, UnmountMode::kLazy));
  return service.result();
}

absl::StatusOr<std::unique_ptr<MountMetrics>> StartMetrics(const std::string& address,
                                                           const Bridge& bridge) {
  if (address.empty()) return nullptr;
  return MountMetrics::Start(address, [&bridge] {
    MetricSet set;
    bridge.stats.Tell(&set);
    TellFileSystem(bridge.file_system->stats(), &set);
    set.AddGauge("cairn_mount_nodes", "Files and directories that the kernel remembers.",
                 static_cast<double>(bridge.nodes.size()));
    return set;
  });
}

// Buffers of stripes come and go all the time. Given back to the kernel, each of their pages would
// have to be cleared and mapped again.
void KeepFreedMemory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 128 << 20);
#endif
}

// The kernel would call the mount broken.
absl::Status CheckRoot(FileSystem& file_system, const std::string& path) {
  ASSIGN_OR_RETURN(const NodeAttributes root, file_system.GetAttributes(file_system.root()));
  if (root.type == NodeType::kDirectory) return absl::OkStatus();
  return PosixError(ENOTDIR, absl::StrCat("\"", path, "\" is no directory; name one"));
}

absl::Status MountAndServe(const MountOptions& options, const MountEvents& events,
                           FileSystem* file_system, OperationStats* stats) {
  Bridge bridge(file_system, stats,
                {options.attribute_timeout, options.file_system.readahead_bytes});
  struct Ending {
    ~Ending() { bridge.End(); }
    Bridge& bridge;
  } ending{bridge};
  ASSIGN_OR_RETURN(const auto metrics, StartMetrics(options.metrics_address, bridge));
  ASSIGN_OR_RETURN(const Session session, NewSession(options, &bridge));
  RETURN_IF_ERROR(MountSession(session.get(), options));
  bridge.Begin(session.get());
  const absl::Status served = Serve(session.get(), options, events);
  CAIRN_LOG_INFO("{} is not mounted any more", options.mount_point);
  // Those who wait are answered while there is a session to answer on.
  bridge.End();
  return served;
}

}  // namespace

absl::Status RunMount(const MountOptions& options, const MountEvents& events) {
  RETURN_IF_ERROR(InitLog({LogLevel::kInfo, options.log_file}));
  fuse_set_log_func(HearLibrary);
  KeepFreedMemory();
  RETURN_IF_ERROR(PrepareMountPoint(options.mount_point));
  RETURN_IF_ERROR(CheckFuse());
  ASSIGN_OR_RETURN(const std::unique_ptr<Client> client, Client::Connect(options.client));
  OperationStats stats;
  FileSystemOptions file_system_options = options.file_system;
  file_system_options.count_operations = [&stats] { return stats.Counts(); };
  ASSIGN_OR_RETURN(std::unique_ptr<FileSystem> file_system,
                   FileSystem::Open(*client, options.path, std::move(file_system_options)));
  RETURN_IF_ERROR(CheckRoot(*file_system, options.path));
  const absl::Status served = MountAndServe(options, events, file_system.get(), &stats);
  const absl::Status synced = file_system->Sync();
  if (!synced.ok()) CAIRN_LOG_ERROR("not all that was written is durable: {}", synced);
  file_system.reset();
  return served.ok() ? synced : served;
}

}  // namespace cairn
