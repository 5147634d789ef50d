// Whether a device is free to become a target: nothing of anybody else's is on it.
#pragma once

#include "absl/status/status.h"
#include "common/task/task.h"
#include "server/disk/disk.h"

namespace cairn {

// FAILED_PRECONDITION, saying what is there as far as it is known: the device is too small, or has
// anything but zeros where targets, filesystems, partition tables and arrays describe themselves:
// the first and the last MiB.
Task<absl::Status> CheckBlank(Disk& disk);

// Zeros there. Durable on OK. What lies between stays, and is never read.
Task<absl::Status> WipeDevice(Disk& disk);

}  // namespace cairn
