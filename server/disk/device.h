// A target's device, open and locked: a raw block device, or a file that is preallocated when it is
// made. Says how large it is and how direct I/O must be aligned. Next: open_disk.h puts an I/O
// engine on it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace cairn {

// What Write and Read of every disk are aligned to here: the largest alignment that is supported,
// so that a target can be copied to another device.
inline constexpr uint64_t kDiskBlockBytes = 4096;

class Device {
 public:
  struct Options {
    std::string path;
    // Of a file to be made; an existing file or a device keeps its size. 0: the file must exist.
    uint64_t size_bytes = 0;
  };
  // Blocks, for seconds where the filesystem writes zeros to preallocate. A new file appears under
  // its name only when it is whole. FAILED_PRECONDITION: in use by another process (named),
  // mounted, not a file or device, or aligned beyond 4 KiB. RESOURCE_EXHAUSTED: no space for the
  // file.
  static absl::StatusOr<Device> Open(const Options& options);

  Device(Device&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        path_(std::move(other.path_)),
        size_bytes_(other.size_bytes_),
        direct_(other.direct_),
        warnings_(std::move(other.warnings_)) {}
  Device& operator=(Device&&) = delete;
  ~Device();  // and unlocks

  int fd() const { return fd_; }
  const std::string& path() const { return path_; }
  // A multiple of kDiskBlockBytes.
  uint64_t size_bytes() const { return size_bytes_; }
  // False where the filesystem has no O_DIRECT: slower, and every byte passes through the page
  // cache.
  bool direct() const { return direct_; }
  // What an operator should know and may accept.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  Device(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  absl::Status Inspect();
  void InspectFilesystem();
  absl::Status MakeDirect();

  int fd_;
  std::string path_;
  uint64_t size_bytes_ = 0;
  bool direct_ = false;
  std::vector<std::string> warnings_;
};

}  // namespace cairn
