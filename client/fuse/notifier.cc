// See notifier.h.
#include "client/fuse/notifier.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "client/fuse/notifier_process.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace cairn {
namespace {

absl::Status Failed(std::string_view what) {
  const int number = errno;
  return PosixError(number, StrCat(what, ": ", strerror(number)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& from) noexcept : fd_(std::exchange(from.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& from) noexcept {
    std::swap(fd_, from.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// One that the kernel does not take for the mount itself: what the mount has been asked is refused
// when the mount goes, though this stays.
absl::StatusOr<Descriptor> CloneDevice(int device) {
  Descriptor clone(open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (clone.get() < 0) return Failed("open /dev/fuse");
  auto original = static_cast<uint32_t>(device);
  if (ioctl(clone.get(), FUSE_DEV_IOC_CLONE, &original) != 0) return Failed("clone /dev/fuse");
  return clone;
}

// Out of the way of the numbers that the process knows them by.
absl::StatusOr<Descriptor> MoveUp(const Descriptor& from) {
  Descriptor up(fcntl(from.get(), F_DUPFD_CLOEXEC, 64));
  if (up.get() < 0) return Failed("duplicate a descriptor");
  return up;
}

class SpawnActions {
 public:
  SpawnActions() { posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

absl::StatusOr<pid_t> Spawn(const Descriptor& device, std::span<const Descriptor> lanes) {
  SpawnActions actions;
  // A reader of the mount's output waits for the mount alone.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    posix_spawn_file_actions_addopen(actions.get(), fd, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(actions.get(), device.get(), kNotifierDevice);
  for (size_t lane = 0; lane < lanes.size(); ++lane)
    posix_spawn_file_actions_adddup2(actions.get(), lanes[lane].get(),
                                     kNotifierDevice + 1 + static_cast<int>(lane));
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // What the terminal sends to the mount is not for it.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  std::string name = "cairn";
  std::string command = kNotifierCommand;
  char* const arguments[] = {name.data(), command.data(), nullptr};
  pid_t process = -1;
  const int error =
      posix_spawn(&process, "/proc/self/exe", actions.get(), &attributes, arguments, environ);
  posix_spawnattr_destroy(&attributes);
  if (error == 0) return process;
  errno = error;
  return Failed("start /proc/self/exe");
}

absl::StatusOr<pid_t> StartProcess(int session_device, std::array<int, Notifier::kLanes>* sockets) {
  ASSIGN_OR_RETURN(const Descriptor clone, CloneDevice(session_device));
  ASSIGN_OR_RETURN(const Descriptor device, MoveUp(clone));
  std::array<Descriptor, Notifier::kLanes> ours;
  std::array<Descriptor, Notifier::kLanes> theirs;
  for (int lane = 0; lane < Notifier::kLanes; ++lane) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
      return Failed("make a socket pair");
    ours[lane] = Descriptor(pair[0]);
    const Descriptor other(pair[1]);
    ASSIGN_OR_RETURN(theirs[lane], MoveUp(other));
  }
  ASSIGN_OR_RETURN(const pid_t process, Spawn(device, theirs));
  for (int lane = 0; lane < Notifier::kLanes; ++lane) (*sockets)[lane] = ours[lane].Release();
  return process;
}

}  // namespace

Notifier::Notifier(int device) : device_(device) {
  const absl::StatusOr<pid_t> process = StartProcess(device, &sockets_);
  if (process.ok()) {
    process_ = *process;
    has_process_ = true;
    return;
  }
  CAIRN_LOG_WARN(
      "no process tells the kernel what others change; this one does, and should it be killed, "
      "`umount -f` may be needed: {}",
      process.status());
}

Notifier::~Notifier() {
  for (const int socket : sockets_)
    if (socket >= 0) close(socket);
  if (process_ < 0) return;
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Notifier::Stop() {
  stopped_ = true;
  for (const int socket : sockets_)
    if (socket >= 0) shutdown(socket, SHUT_RDWR);
}

bool Notifier::TellByProcess(Lane lane, std::string_view message) {
  std::lock_guard lock(telling_[lane]);
  ssize_t done;
  do {
    done = send(sockets_[lane], message.data(), message.size(), MSG_NOSIGNAL);
  } while (done < 0 && errno == EINTR);
  if (lane == kNames) return done > 0;
  char told;
  while (done > 0) {
    done = recv(sockets_[lane], &told, sizeof(told), 0);
    if (done > 0) return true;
    if (done < 0 && errno == EINTR) done = 1;
  }
  return false;
}

void Notifier::Tell(Lane lane, std::string_view message) {
  if (stopped_ || (has_process_ && TellByProcess(lane, message)) || stopped_) return;
  if (has_process_.exchange(false)) {
    CAIRN_LOG_WARN(
        "the process that tells the kernel what others change is gone; this one does from here "
        "on, and should it be killed, `umount -f` may be needed");
  }
  // Failures are the kernel's: it knows the file no more (ENOENT), or the mount is going away.
  const ssize_t told = write(device_, message.data(), message.size());
  static_cast<void>(told);
}

}  // namespace cairn
