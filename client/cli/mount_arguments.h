// What `cairn mount` is told: by its own options, and by `-o` as mount(8) and /etc/fstab have them.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/settings.h"
#include "client/fuse/mount.h"

namespace cairn::cli {

// "10.0.0.5:7440,10.0.0.6:7440:/bucket/path".
struct MountSource {
  std::string endpoint;  // "": what the settings say
  std::string path;      // "": all buckets
};
// INVALID_ARGUMENT: says how it is written.
absl::StatusOr<MountSource> ParseMountSource(std::string_view text);

enum class Sharing { kDefault, kAll, kOnlyMe };

struct MountArguments {
  std::string source;
  std::string mount_point;
  std::string shown_source;  // "": made of the endpoint and the path
  bool foreground = false;
  bool read_only = false;
  Sharing sharing = Sharing::kDefault;  // all, if root mounts
  int threads = MountOptions{}.threads;
  uint64_t dirty_bytes = FileSystemOptions{}.dirty_bytes_max;
  uint64_t readahead_bytes = FileSystemOptions{}.readahead_bytes;
  absl::Duration attribute_timeout = MountOptions{}.attribute_timeout;
  std::optional<absl::Duration> timeout;  // of -o; else that of the settings
  std::string log_file;
  std::string metrics_address;
  std::vector<std::string> kernel_options;
};

// "ro,noatime,threads=8,_netdev". INVALID_ARGUMENT names what is not understood. What only concerns
// who mounts (auto, nofail, x-systemd.*, ...) is passed over.
absl::Status ApplyMountOptions(std::string_view list, MountArguments* arguments);

// /var/log/cairn/mount-mnt-data.log for root; else below $XDG_STATE_HOME or ~/.local/state. "": no
// place.
std::string DefaultMountLog(std::string_view mount_point, bool is_root,
                            const Environment& environment);

enum class Mounting { kByRoot, kByUser };
// INVALID_ARGUMENT: the source makes no sense.
absl::StatusOr<MountOptions> MakeMountOptions(const MountArguments& arguments, Mounting mounting,
                                              const ClientOptions& client);

}  // namespace cairn::cli
