// From a path to a disk: opens the device and puts the I/O engine on it that this kernel allows.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/reactor/reactor.h"
#include "common/task/blocking.h"
#include "server/disk/device.h"
#include "server/disk/disk.h"
#include "server/disk/uring_disk.h"

namespace cairn {

enum class IoEngine {
  kAuto,     // io_uring, else threads with a warning
  kIoUring,  // or fail
  kThreads,
};

struct DiskOptions {
  Device::Options device;
  IoEngine engine = IoEngine::kAuto;
  FlushMode flush_mode = FlushMode::kDurable;
};

struct OpenedDisk {
  std::unique_ptr<Disk> disk;
  // For the log: what an operator should know and may accept.
  std::vector<std::string> warnings;
};

// Blocks. The disk lives on `reactor` and uses `runner` where it has no ring; both outlive it.
// Errors: those of Device::Open(), and FAILED_PRECONDITION when io_uring is demanded and refused.
absl::StatusOr<OpenedDisk> OpenDisk(const DiskOptions& options, Reactor& reactor,
                                    BlockingRunner& runner);

}  // namespace cairn
