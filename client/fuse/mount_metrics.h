// What a mount tells Prometheus, over the HTTP server of prometheus-cpp on threads of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cairn/filesystem.h"
#include "common/telemetry/metrics.h"

namespace cairn {

// Counters and gauges of the file system: cairn_mount_*.
void TellFileSystem(const FileSystemStats& stats, MetricSet* metrics);

class MountMetrics {
 public:
  // Called on the server's threads, several at once.
  using Collect = std::function<MetricSet()>;

  // Listens on HOST:PORT. UNAVAILABLE says why not.
  static absl::StatusOr<std::unique_ptr<MountMetrics>> Start(const std::string& host_port,
                                                             Collect collect);
  ~MountMetrics();
  MountMetrics(const MountMetrics&) = delete;
  MountMetrics& operator=(const MountMetrics&) = delete;

 private:
  class Collected;
  struct Server;
  MountMetrics();

  std::shared_ptr<Collected> collected_;
  std::unique_ptr<Server> server_;
};

}  // namespace cairn
