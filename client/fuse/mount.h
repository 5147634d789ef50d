// Shows the cluster's files below a directory of this machine, by FUSE. The public header of
// client/fuse: it needs no libfuse, so that the command line can be built, and tested, without.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "cairn/filesystem.h"

namespace cairn {

struct MountOptions {
  ClientOptions client;
  FileSystemOptions file_system;
  std::string path;         // of what is shown, in the cluster; "": all buckets
  std::string mount_point;  // absolute
  std::string source;       // what mount(8) and df(1) show as the device
  bool read_only = false;
  // Other users than the one who mounts may look, too; what they may do is for the modes to say.
  bool allow_other = false;
  int threads = 32;  // system calls that are served at once
  // How long the kernel takes what it has been told of a name or a file for true.
  absl::Duration attribute_timeout = absl::Seconds(1);
  std::vector<std::string> kernel_options;  // as mount(8) calls them: "noatime", "nodev"
  std::string log_file;                     // appended to; "": stderr
  std::string metrics_address;              // HOST:PORT, for Prometheus; "": nowhere
};

// Both are called by the thread that has called RunMount().
struct MountEvents {
  std::function<void()> on_ready;        // once: the mount answers
  std::function<bool()> stop_requested;  // asked ten times a second
};

// Mounts, serves, and returns once nothing is mounted any more, because somebody has unmounted it
// or `stop_requested` has said so. What was written is durable then, unless it returns an error of
// that. Once in a process. A mount that another process has left dead is taken away before.
// Errors before on_ready() say what to do: NOT_FOUND, FAILED_PRECONDITION, PERMISSION_DENIED,
// UNAVAILABLE (no node answers).
absl::Status RunMount(const MountOptions& options, const MountEvents& events);

enum class UnmountMode {
  kClean,  // FAILED_PRECONDITION while it is in use
  kLazy,   // gone from the tree at once, served until nobody uses it
  kForce,  // what is in use fails with EIO
};
// Takes a mount away. FAILED_PRECONDITION: in use, or nothing is mounted there; PERMISSION_DENIED.
absl::Status Unmount(const std::string& mount_point, UnmountMode mode);

// The two, for who cannot link them.
struct Mounter {
  std::function<absl::Status(const MountOptions&, const MountEvents&)> run;
  std::function<absl::Status(const std::string&, UnmountMode)> unmount;
};

}  // namespace cairn
