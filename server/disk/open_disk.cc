#include "server/disk/open_disk.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/disk/thread_pool_disk.h"

namespace cairn {

absl::StatusOr<OpenedDisk> OpenDisk(const DiskOptions& options, Reactor& reactor,
                                    BlockingRunner& runner) {
  const bool has_ring = reactor.ring() != nullptr;
  if (options.engine == IoEngine::kIoUring && !has_ring) {
    return absl::FailedPreconditionError(reactor.ring_refusal());
  }
  ASSIGN_OR_RETURN(Device device, Device::Open(options.device));
  OpenedDisk opened;
  opened.warnings = device.warnings();
  if (options.flush_mode == FlushMode::kUnsafeNone) {
    opened.warnings.push_back(
        StrCat(device.path(), " is never flushed: a power cut loses checkpoints"));
  }
  if (options.engine != IoEngine::kThreads && has_ring) {
    opened.disk = std::make_unique<UringDisk>(reactor, std::move(device), options.flush_mode);
    return opened;
  }
  if (options.engine == IoEngine::kAuto) {
    opened.warnings.push_back(
        StrCat("disk I/O of ", device.path(), " runs on threads: ", reactor.ring_refusal()));
  }
  opened.disk = std::make_unique<ThreadPoolDisk>(runner, std::move(device), options.flush_mode);
  return opened;
}

}  // namespace cairn
