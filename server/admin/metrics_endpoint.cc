#include "server/admin/metrics_endpoint.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include "absl/strings/numbers.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/fabric/host_port.h"

namespace cairn {
namespace {

// How old an answer may be. Scrapers come every ten seconds or so; one that has gone wild costs the
// reactors no more than one look a second.
constexpr absl::Duration kFresh = absl::Seconds(1);
// Connections that are served at once; as many wait as listen() and the server's queue hold. Each
// has 16 KiB for its request and an answer.
constexpr char kThreads[] = "4";
// How long one that sends or reads nothing keeps its thread.
constexpr char kSilentMs[] = "5000";
constexpr std::chrono::milliseconds kKnock(10);

prometheus::MetricType TypeOf(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return prometheus::MetricType::Counter;
    case MetricKind::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricKind::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric Convert(const MetricSample& sample) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
  // Only what belongs to the family's type is written.
  metric.counter.value = sample.value;
  metric.gauge.value = sample.value;
  metric.histogram.sample_count = sample.count;
  metric.histogram.sample_sum = sample.sum;
  for (const MetricSample::Bucket& bucket : sample.buckets)
    metric.histogram.bucket.push_back({bucket.count, bucket.upper_bound});
  return metric;
}

std::vector<prometheus::MetricFamily> Convert(const MetricSet& set) {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& [name, family] : set.families()) {
    prometheus::MetricFamily& converted = families.emplace_back();
    converted.name = name;
    converted.help = family.help;
    converted.type = TypeOf(family.kind);
    for (const MetricSample& sample : family.samples) converted.metric.push_back(Convert(sample));
  }
  return families;
}

// Why nobody can listen there: the library only says that it could not.
absl::Status TryToListen(const std::string& host_port, const SocketAddress& address) {
  const int probe = socket(address.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  const bool bound = probe >= 0 &&
                     setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
                     bind(probe, address.get(), address.length) == 0;
  const int error = errno;
  if (probe >= 0) close(probe);
  if (bound) return absl::OkStatus();
  const std::string text =
      StrCat("metrics_listen: cannot listen on ", host_port, ": ", strerror(error));
  if (error != EADDRINUSE) return absl::UnavailableError(text);
  return absl::UnavailableError(
      StrCat(text, "; every node of a machine needs a port of its own for metrics"));
}

// A connection that says nothing.
void Knock(const std::string& address) {
  const absl::StatusOr<HostPort> where = ParseHostPort(address);
  if (!where.ok()) return;
  const auto addresses = ResolveHost(*where, NameLookup::kNumeric);
  if (!addresses.ok()) return;
  const int knock =
      socket(addresses->front().get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (knock < 0) return;
  (void)connect(knock, addresses->front().get(), addresses->front().length);
  close(knock);
}

// "10.0.0.1" of "10.0.0.1:0".
std::string HostOf(const std::string& address) { return address.substr(0, address.rfind(':')); }

}  // namespace

class MetricsEndpoint::Collected final : public prometheus::Collectable {
 public:
  explicit Collected(MetricsEndpoint::Collect collect) : collect_(std::move(collect)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (families_.empty() || clock_.Now() - collected_at_ >= kFresh) {
      families_ = Convert(collect_());
      collected_at_ = clock_.Now();
    }
    return families_;
  }

 private:
  const MetricsEndpoint::Collect collect_;
  const SystemClock clock_;
  mutable std::mutex mutex_;
  mutable std::vector<prometheus::MetricFamily> families_;
  mutable MonoTime collected_at_;
};

struct MetricsEndpoint::Server {
  explicit Server(const std::vector<std::string>& options) : exposer(options) {}
  prometheus::Exposer exposer;
};

MetricsEndpoint::MetricsEndpoint() = default;

// The server's listening thread looks every two seconds whether it is to end, and whenever somebody
// connects. A node that stops should not wait for that.
MetricsEndpoint::~MetricsEndpoint() {
  if (server_ == nullptr) return;
  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
  std::thread knocker([&] {
    std::unique_lock<std::mutex> lock(mutex);
    while (!changed.wait_for(lock, kKnock, [&ended] { return ended; })) Knock(address_);
  });
  server_.reset();
  {
    std::lock_guard<std::mutex> lock(mutex);
    ended = true;
    changed.notify_one();
  }
  knocker.join();
}

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(
    const std::string& host_port, Collect collect) {
  const absl::StatusOr<HostPort> where = ParseHostPort(host_port);
  uint32_t port = 0;
  if (!where.ok() || !absl::SimpleAtoi(where->port, &port) || port > UINT16_MAX) {
    return absl::InvalidArgumentError(
        StrCat("metrics_listen \"", host_port, "\" is not HOST:PORT, as 10.0.0.1:9744"));
  }
  ASSIGN_OR_RETURN(const std::vector<SocketAddress> addresses,
                   ResolveHost(*where, NameLookup::kBlocking));
  RETURN_IF_ERROR(TryToListen(host_port, addresses.front()));
  const std::string numeric = FormatAddress(addresses.front());
  std::unique_ptr<MetricsEndpoint> endpoint(new MetricsEndpoint());
  endpoint->collected_ = std::make_shared<Collected>(std::move(collect));
  try {
    endpoint->server_ = std::make_unique<Server>(
        std::vector<std::string>{"listening_ports", numeric, "num_threads", kThreads,
                                 "request_timeout_ms", kSilentMs, "enable_keep_alive", "no"});
    endpoint->server_->exposer.RegisterCollectable(endpoint->collected_);
    const std::vector<int> ports = endpoint->server_->exposer.GetListeningPorts();
    endpoint->address_ = StrCat(HostOf(numeric), ":", ports.empty() ? 0 : ports.front());
  } catch (const std::exception& error) {
    return absl::UnavailableError(StrCat("metrics_listen: cannot serve metrics on ", host_port,
                                         ": ", std::string_view(error.what())));
  }
  return endpoint;
}

}  // namespace cairn
