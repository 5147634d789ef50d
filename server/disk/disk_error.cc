#include "server/disk/disk_error.h"

#include <cerrno>
#include <cstring>

#include "common/base/strings.h"

namespace cairn {

absl::Status DiskError(int error, std::string_view what) {
  const std::string message = StrCat(what, ": ", std::strerror(error));
  switch (error) {
    case EIO:
    case EBADMSG:    // ext4 and XFS: a checksum of their own did not match
    case EUCLEAN:    // the same, under its other name
    case EILSEQ:     // the device's protection information did not match
    case ENODATA:    // an NVMe media error on read
    case EREMOTEIO:  // a target error
      return absl::DataLossError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message);
    case ENOENT:
      return absl::NotFoundError(message);
    case ENODEV:
    case ENXIO:
    case EROFS:  // the kernel's answer to a device or a file system that went bad
      return absl::FailedPreconditionError(message);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace cairn
