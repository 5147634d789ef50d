// See operation_stats.h.
#include "client/fuse/operation_stats.h"

#include <cerrno>
#include <string>

namespace cairn {
namespace {

// 4 us to 34 s: from what the mount knows itself to what waits for a node.
constexpr HistogramShape kCallTimes{12, 35, 1e-9};

constexpr std::array<std::string_view, kOperations> kNames = {
    "lookup", "forget",  "getattr", "setattr", "readlink", "mknod", "unlink",    "rmdir",
    "rename", "link",    "open",    "create",  "read",     "write", "flush",     "release",
    "fsync",  "opendir", "readdir", "statfs",  "xattr",    "lock",  "fallocate", "lseek"};

}  // namespace

std::string_view NameOf(Operation operation) { return kNames[static_cast<size_t>(operation)]; }

void OperationStats::Record(Operation operation, absl::Duration took, int error) {
  Counters& counters = counters_[static_cast<size_t>(operation)];
  std::lock_guard lock(counters.mutex);
  counters.values.times_ns.Record(static_cast<uint64_t>(absl::ToInt64Nanoseconds(took)));
  if (error != 0) ++counters.values.errors;
  if (error == EIO) ++counters.values.io_errors;
}

OperationStats::Snapshot OperationStats::Read(Operation operation) const {
  const Counters& counters = counters_[static_cast<size_t>(operation)];
  std::lock_guard lock(counters.mutex);
  return counters.values;
}

std::vector<OperationCount> OperationStats::Counts() const {
  std::vector<OperationCount> counts;
  for (size_t i = 0; i < kOperations; ++i) {
    const auto operation = static_cast<Operation>(i);
    const Snapshot snapshot = Read(operation);
    if (snapshot.times_ns.count() == 0) continue;
    counts.push_back({std::string(NameOf(operation)), snapshot.times_ns.count(), snapshot.errors,
                      absl::Nanoseconds(static_cast<double>(snapshot.times_ns.sum()))});
  }
  return counts;
}

void OperationStats::Tell(MetricSet* metrics) const {
  for (size_t i = 0; i < kOperations; ++i) {
    const auto operation = static_cast<Operation>(i);
    const Snapshot snapshot = Read(operation);
    const MetricLabels labels = {{"operation", std::string(NameOf(operation))}};
    metrics->AddHistogram("cairn_mount_operation_seconds", "How long requests of the kernel took.",
                          snapshot.times_ns, kCallTimes, labels);
    metrics->AddCounter("cairn_mount_operation_errors_total",
                        "Requests answered with an error, of which most are nobody's fault.",
                        static_cast<double>(snapshot.errors), labels);
    metrics->AddCounter("cairn_mount_operation_io_errors_total",
                        "Requests answered with EIO: the cluster could not do it.",
                        static_cast<double>(snapshot.io_errors), labels);
  }
}

}  // namespace cairn
