// See mount_metrics.h.
#include "client/fuse/mount_metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace cairn {
namespace {

// A scraper, and somebody who looks.
constexpr char kThreads[] = "2";
constexpr char kSilentMs[] = "5000";

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

// Only what belongs to the family's type is written.
prometheus::ClientMetric Convert(const MetricSample& sample) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
  metric.counter.value = metric.gauge.value = sample.value;
  metric.histogram.sample_count = sample.count;
  metric.histogram.sample_sum = sample.sum;
  for (const MetricSample::Bucket& bucket : sample.buckets)
    metric.histogram.bucket.push_back({bucket.count, bucket.upper_bound});
  return metric;
}

}  // namespace

void TellFileSystem(const FileSystemStats& stats, MetricSet* metrics) {
  const auto count = [metrics](const char* name, const char* help, uint64_t value) {
    metrics->AddCounter(name, help, static_cast<double>(value));
  };
  count("cairn_mount_read_bytes_total", "Bytes that programs have read.", stats.bytes_read);
  count("cairn_mount_written_bytes_total", "Bytes that programs have written.",
        stats.bytes_written);
  count("cairn_mount_readahead_hit_bytes_total", "Bytes that were there when they were asked for.",
        stats.readahead_hit_bytes);
  count("cairn_mount_stripes_written_total", "Stripes written.", stats.stripes_written);
  count("cairn_mount_inline_extents_written_total", "Small pieces written into the metadata.",
        stats.inline_extents_written);
  count("cairn_mount_commits_total", "Times that content was handed to the metadata.",
        stats.commits);
  count("cairn_mount_failed_commits_total", "Of these, the failed ones.", stats.failed_commits);
  count("cairn_mount_compactions_total", "Files whose small pieces were gathered.",
        stats.compactions);
  metrics->AddGauge("cairn_mount_dirty_bytes", "Bytes written and not on their way yet.",
                    static_cast<double>(stats.dirty_bytes));
  metrics->AddGauge("cairn_mount_open_files", "Files that are open.",
                    static_cast<double>(stats.open_files));
}

class MountMetrics::Collected final : public prometheus::Collectable {
 public:
  explicit Collected(MountMetrics::Collect collect) : collect_(std::move(collect)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    const MetricSet set = collect_();
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

 private:
  const MountMetrics::Collect collect_;
};

struct MountMetrics::Server {
  explicit Server(const std::vector<std::string>& options) : exposer(options) {}
  prometheus::Exposer exposer;
};

MountMetrics::MountMetrics() = default;
MountMetrics::~MountMetrics() = default;

absl::StatusOr<std::unique_ptr<MountMetrics>> MountMetrics::Start(const std::string& host_port,
                                                                  Collect collect) {
  std::unique_ptr<MountMetrics> metrics(new MountMetrics());
  metrics->collected_ = std::make_shared<Collected>(std::move(collect));
  try {
    metrics->server_ = std::make_unique<Server>(
        std::vector<std::string>{"listening_ports", host_port, "num_threads", kThreads,
                                 "request_timeout_ms", kSilentMs, "enable_keep_alive", "no"});
    metrics->server_->exposer.RegisterCollectable(metrics->collected_);
  } catch (const std::exception&) {
    // What it says is of no use: of the socket's error there is nothing in it.
    return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", host_port,
                                               "; name a HOST:PORT of this machine that is free"));
  }
  return metrics;
}

}  // namespace cairn
