// What an errno of a device means to a target: data lost, no space, or a device that is gone.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace cairn {

// EIO and its kin: DATA_LOSS. ENOSPC: RESOURCE_EXHAUSTED. ENODEV, ENXIO, EROFS: the device is gone
// or takes no writes, FAILED_PRECONDITION. ENOENT: NOT_FOUND. EACCES, EPERM: PERMISSION_DENIED.
// Others: UNAVAILABLE. The message is `what` and the error's text.
absl::Status DiskError(int error, std::string_view what);

}  // namespace cairn
