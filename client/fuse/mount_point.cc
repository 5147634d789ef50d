// See mount_point.h. Also Unmount() of mount.h.
#include "client/fuse/mount_point.h"

#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/telemetry/log.h"

extern char** environ;

namespace cairn {
namespace {

constexpr char kDevice[] = "/dev/fuse";

// As somebody who is not root: the helper of FUSE's, which is, checks whose mount it is.
absl::Status UnmountByHelper(const std::string& path, UnmountMode mode) {
  const char* flag = mode == UnmountMode::kClean ? "-u" : "-uz";
  const char* arguments[] = {"fusermount3", flag, "--", path.c_str(), nullptr};
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments[0], nullptr, nullptr,
                                 const_cast<char* const*>(arguments), environ);
  if (error != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot run fusermount3: ", strerror(error), "; install the package fuse3"));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return PosixError(errno, "lost track of fusermount3");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError("fusermount3 refused; see the line above");
}

absl::Status WhyNotUnmounted(int error, const std::string& path) {
  switch (error) {
    case EBUSY:
      return PosixError(error, absl::StrCat("it is in use; 'fuser -vm ", path,
                                            "' shows by whom, and --lazy does not wait for them"));
    case EINVAL:
      return PosixError(error, "nothing is mounted there; 'findmnt -t fuse.cairn' lists what is");
    case ENOENT:
      return PosixError(error, "there is no such directory; 'findmnt -t fuse.cairn' lists mounts");
    default:
      return PosixError(error, absl::StrCat(strerror(error), "; try --lazy"));
  }
}

}  // namespace

absl::Status Unmount(const std::string& mount_point, UnmountMode mode) {
  if (geteuid() != 0) return UnmountByHelper(mount_point, mode);
  int flags = UMOUNT_NOFOLLOW;
  if (mode == UnmountMode::kLazy) flags |= MNT_DETACH;
  // Aborts what is under way first, so that nothing waits for a process that is stuck.
  if (mode == UnmountMode::kForce) flags |= MNT_FORCE;
  if (umount2(mount_point.c_str(), flags) == 0) return absl::OkStatus();
  if (mode == UnmountMode::kForce && errno == EBUSY &&
      umount2(mount_point.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) == 0) {
    return absl::OkStatus();
  }
  return WhyNotUnmounted(errno, mount_point);
}

absl::Status PrepareMountPoint(const std::string& path) {
  struct stat found = {};
  int error = stat(path.c_str(), &found) == 0 ? 0 : errno;
  if (error == ENOTCONN) {
    CAIRN_LOG_WARN("{} is a mount whose process is gone; taking it away", path);
    RETURN_IF_ERROR(Unmount(path, UnmountMode::kLazy));
    error = stat(path.c_str(), &found) == 0 ? 0 : errno;
  }
  if (error == ENOENT) {
    return absl::NotFoundError(
        absl::StrCat("there is no such directory; run 'mkdir -p ", path, "'"));
  }
  if (error != 0)
    return PosixError(error, absl::StrCat(strerror(error), "; check the path and its permissions"));
  if (!S_ISDIR(found.st_mode))
    return PosixError(ENOTDIR, "it is not a directory; name a directory to mount at");
  return absl::OkStatus();
}

absl::Status CheckFuse() {
  struct stat found = {};
  if (stat(kDevice, &found) != 0) {
    return absl::FailedPreconditionError(
        "there is no /dev/fuse; run 'modprobe fuse' as root, and give containers --device "
        "/dev/fuse "
        "--cap-add SYS_ADMIN");
  }
  if (access(kDevice, R_OK | W_OK) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      "may not use /dev/fuse; run this as root, or let others use it: 'chmod 666 /dev/fuse'");
}

void SetKernelReadahead(const std::string& mount_point, uint64_t bytes) {
  struct stat found = {};
  if (stat(mount_point.c_str(), &found) != 0) return;
  std::ofstream file(absl::StrCat("/sys/class/bdi/", major(found.st_dev), ":", minor(found.st_dev),
                                  "/read_ahead_kb"));
  file << bytes / 1024 << std::flush;
}

}  // namespace cairn
