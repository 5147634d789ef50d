// See background.h.
#include "client/cli/background.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/failure.h"

extern char** environ;

namespace cairn::cli {
namespace {

// The number that the pipe has in the program; those before are its streams.
constexpr int kReadyFd = 3;
constexpr char kReadyByte = 'R';
constexpr int kLookMs = 100;

absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments, int ready_fd) {
  std::vector<char*> words;
  std::string name = "cairn";
  words.push_back(name.data());
  for (const std::string& each : arguments) words.push_back(const_cast<char*>(each.c_str()));
  words.push_back(nullptr);
  std::string ready = absl::StrCat(kReadyVariable, "=", kReadyFd);
  std::vector<char*> environment = {ready.data()};
  for (char** each = environ; *each != nullptr; ++each) environment.push_back(*each);
  environment.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ready_fd, kReadyFd);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  pid_t child = 0;
  // The file that this process is, even if another has been installed since.
  const int error = posix_spawn(&child, "/proc/self/exe", &actions, &attributes, words.data(),
                                environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return ErrnoStatus(error);
  return child;
}

int WaitForExit(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return kExitError;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Whether the byte came; false: the other end is closed.
absl::StatusOr<bool> WaitForByte(int fd, Interrupts& interrupts) {
  while (true) {
    if (absl::Status going = interrupts.Check(); !going.ok()) return going;
    pollfd poll_fd = {fd, POLLIN, 0};
    if (poll(&poll_fd, 1, kLookMs) <= 0) continue;
    char byte = 0;
    const ssize_t count = read(fd, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    return count == 1 && byte == kReadyByte;
  }
}

}  // namespace

absl::StatusOr<int> StartInBackground(const std::vector<std::string>& arguments,
                                      Interrupts& interrupts) {
  std::array<int, 2> ends = {-1, -1};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno);
  const absl::StatusOr<pid_t> child = Spawn(arguments, ends[1]);
  close(ends[1]);
  if (!child.ok()) {
    close(ends[0]);
    return child.status();
  }
  const absl::StatusOr<bool> ready = WaitForByte(ends[0], interrupts);
  close(ends[0]);
  if (ready.ok() && *ready) return kExitOk;
  if (!ready.ok()) kill(*child, SIGTERM);
  const int code = WaitForExit(*child);
  if (!ready.ok()) return ready.status();
  // One that ends well without ever having been ready has not done what it was asked for.
  return code == kExitOk ? kExitError : code;
}

void ReportReady(int ready_fd, const std::string& log_file) {
  fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
  const int log = log_file.empty()
                      ? open("/dev/null", O_WRONLY | O_CLOEXEC)
                      : open(log_file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (log >= 0) {
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    close(log);
  }
  // Else the directory it was started in could not be unmounted.
  static_cast<void>(!chdir("/"));
  while (write(ready_fd, &kReadyByte, 1) < 0 && errno == EINTR) {
  }
  close(ready_fd);
}

}  // namespace cairn::cli
