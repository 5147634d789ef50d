#include "common/base/file_lock.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"

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

}  // namespace

absl::Status LockExclusively(int fd, const std::string& what) {
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  const int error = errno;
  if (error != EWOULDBLOCK) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, ": cannot be locked: ", std::strerror(error)));
  }
  const pid_t holder = LockHolder(fd);
  return absl::FailedPreconditionError(
      absl::StrCat(what, ": already in use by another cairnd (pid ",
                   holder > 0 ? absl::StrCat(holder) : "unknown", ")"));
}

}  // namespace cairn
