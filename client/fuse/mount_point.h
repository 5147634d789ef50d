// The directory of a mount: what may be in its way, and what the kernel keeps of it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "client/fuse/mount.h"

namespace cairn {

// Looks at the directory, and takes a mount away whose process is gone. Errors say what to do.
absl::Status PrepareMountPoint(const std::string& path);

// Whether this process may make mounts: there is /dev/fuse, and somebody who may mount.
absl::Status CheckFuse();

// How far the kernel reads ahead of who reads a file from front to back. Needs root; else 128 KiB
// stay, and the file system's own read-ahead goes on from there.
void SetKernelReadahead(const std::string& mount_point, uint64_t bytes);

}  // namespace cairn
