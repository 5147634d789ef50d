// What the kernel has asked of the mount: how often, how it went, how long it took.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "cairn/operation_count.h"
#include "common/telemetry/histogram.h"
#include "common/telemetry/metrics.h"

namespace cairn {

enum class Operation {
  kLookup,
  kForget,
  kGetAttributes,
  kSetAttributes,
  kReadLink,
  kMake,
  kUnlink,
  kRemoveDirectory,
  kRename,
  kLink,
  kOpen,
  kCreate,
  kRead,
  kWrite,
  kFlush,
  kRelease,
  kSync,
  kOpenDirectory,
  kReadDirectory,
  kSpace,
  kXattr,
  kLock,
  kAllocate,
  kSeek,
};
inline constexpr size_t kOperations = static_cast<size_t>(Operation::kSeek) + 1;
// As in metrics: "lookup", "getattr".
std::string_view NameOf(Operation operation);

// Thread-safe.
class OperationStats {
 public:
  // `error`: the errno number of the answer; 0: none.
  void Record(Operation operation, absl::Duration took, int error);

  struct Snapshot {
    Histogram times_ns;
    uint64_t errors = 0;     // answers that say no, ENOENT among them
    uint64_t io_errors = 0;  // EIO: the cluster could not do it
  };
  Snapshot Read(Operation operation) const;

  // Of the operations that there were.
  std::vector<OperationCount> Counts() const;
  // As metrics of the mount: cairn_mount_operation_*, one sample an operation.
  void Tell(MetricSet* metrics) const;

 private:
  // Threads that serve different operations do not fight for a cache line. Those of the same
  // meet for some nanoseconds, of the microseconds that each takes.
  struct alignas(64) Counters {
    mutable std::mutex mutex;
    Snapshot values;
  };
  std::array<Counters, kOperations> counters_;
};

}  // namespace cairn
