// Answers GET /metrics in Prometheus' text format, with the HTTP server of prometheus-cpp, which
// runs on threads of its own and never on a reactor. What it tells is
// server/main/node_metrics.cc's.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/telemetry/metrics.h"

namespace cairn {

class MetricsEndpoint {
 public:
  // Called on the endpoint's threads, one at a time and at most once a second: whoever scrapes more
  // often gets the same again.
  using Collect = std::function<MetricSet()>;

  // Listens on `host_port`; port 0 takes a free one. Blocks while it looks a name up. Errors say
  // what is wrong with the address, or why it cannot be listened on.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(const std::string& host_port,
                                                                Collect collect);
  // Waits for a call of `collect` under way; whoever still reads is cut off.
  ~MetricsEndpoint();
  MetricsEndpoint(const MetricsEndpoint&) = delete;
  MetricsEndpoint& operator=(const MetricsEndpoint&) = delete;

  // HOST:PORT, the numbers.
  const std::string& address() const { return address_; }

 private:
  class Collected;
  struct Server;
  MetricsEndpoint();

  std::shared_ptr<Collected> collected_;
  std::unique_ptr<Server> server_;
  std::string address_;
};

}  // namespace cairn
