#include "common/base/file_lock.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace cairn {
namespace {

// The holder of the flock on `fd`'s inode, or 0. flock has no call for it; /proc/locks has a line
// per lock:
//   1: FLOCK  ADVISORY  WRITE 1234 fe:00:567 0 EOF
// The pid is 0 or missing when the holder lives in another pid namespace.
pid_t LockHolder(int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return 0;
  std::ifstream locks("/proc/locks");
  std::string line;
  while (std::getline(locks, line)) {
    int pid = 0;
    unsigned major_number = 0;
    unsigned minor_number = 0;
    unsigned long inode = 0;
    const int fields = std::sscanf(line.c_str(), "%*d: FLOCK %*s %*s %d %x:%x:%lu", &pid,
                                   &major_number, &minor_number, &inode);
    if (fields == 4 && inode == info.st_ino && major_number == major(info.st_dev) &&
        minor_number == minor(info.st_dev)) {
      return pid;
    }
  }
  return 0;
}

// Whether the process runs; one that has ended but was not waited for does not.
bool IsAlive(pid_t pid) {
  if (pid <= 0) return false;
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string line;
  if (!std::getline(file, line)) return false;
  // "PID (NAME) STATE ...", where a name may hold parentheses.
  const size_t end = line.rfind(')');
  return end == std::string::npos || end + 2 >= line.size() ||
         (line[end + 2] != 'Z' && line[end + 2] != 'X');
}

}  // namespace

absl::Status LockExclusively(int fd, const std::string& what, absl::Duration patience) {
  constexpr absl::Duration kPollInterval = absl::Milliseconds(5);
  // A process that was just killed looks alive until it has closed its files.
  constexpr absl::Duration kDeathThroes = absl::Seconds(1);
  absl::Duration waited;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    if (error != EWOULDBLOCK && error != EINTR) {
      return absl::FailedPreconditionError(
          absl::StrCat(what, ": cannot be locked: ", std::strerror(error)));
    }
    const pid_t holder = LockHolder(fd);
    absl::Duration worth_waiting = patience;
    if (IsAlive(holder)) worth_waiting = std::min(patience, kDeathThroes);
    if (holder == getpid()) worth_waiting = absl::ZeroDuration();
    if (waited >= worth_waiting) {
      return absl::FailedPreconditionError(
          absl::StrCat(what, ": already in use by another cairnd (pid ",
                       holder > 0 ? absl::StrCat(holder) : "unknown", ")"));
    }
    absl::SleepFor(kPollInterval);  // lint: allow sleep: a lock of another process tells nobody
    waited += kPollInterval;
  }
  return absl::OkStatus();
}

}  // namespace cairn
