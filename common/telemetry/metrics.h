// Metrics: what components have counted, as operators read it. Whoever counts keeps plain numbers
// of its own; a scrape copies them on the core that owns them and tells them to a MetricSet, which
// goes with it. So counting costs no lock, look-up or shared cache line, and what has left the node
// (a target) has left the next scrape. Served by server/admin/metrics_endpoint.h.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/telemetry/histogram.h"

namespace cairn {

// What tells metrics of one name apart, for example {"target", "3"}. Few values, and none that
// users choose: every one is a series in Prometheus for as long as it keeps any.
using MetricLabels = std::vector<std::pair<std::string, std::string>>;

enum class MetricKind { kCounter, kGauge, kHistogram };

struct MetricSample {
  // Values up to and including `upper_bound`, those of lower buckets too.
  struct Bucket {
    double upper_bound = 0;
    uint64_t count = 0;
  };
  MetricLabels labels;
  double value = 0;  // of a counter or gauge
  // Of a histogram. What lies above the last bucket is in `count` alone.
  std::vector<Bucket> buckets;
  uint64_t count = 0;
  double sum = 0;
};

struct MetricFamily {
  std::string help;
  MetricKind kind = MetricKind::kGauge;
  std::vector<MetricSample> samples;
};

// Which buckets of a Histogram are told, always the same ones, since rates are taken of each; and
// what its values are in the unit of the metric's name.
struct HistogramShape {
  int first_bucket;
  int last_bucket;
  double unit;
};
// Of nanoseconds: 33 us to 17 s, what devices and logs take.
inline constexpr HistogramShape kDeviceTimes{15, 34, 1e-9};
// 0.13 s to five hours: what saves take.
inline constexpr HistogramShape kSaveTimes{27, 44, 1e-9};
// 1 to 1,023.
inline constexpr HistogramShape kGroupSizes{1, 10, 1};

class MetricSet {
 public:
  // REQUIRES: `name` is cairn_<component>_<what>_<unit>, in lower case, and ends in _total for
  // counters alone; all samples of a name are of one kind, and have different labels.
  void AddCounter(std::string_view name, std::string_view help, double value,
                  MetricLabels labels = {});
  void AddGauge(std::string_view name, std::string_view help, double value,
                MetricLabels labels = {});
  void AddHistogram(std::string_view name, std::string_view help, const Histogram& histogram,
                    HistogramShape shape, MetricLabels labels = {});

  // By name.
  const std::map<std::string, MetricFamily, std::less<>>& families() const { return families_; }

 private:
  MetricSample& Add(std::string_view name, std::string_view help, MetricKind kind,
                    MetricLabels labels);

  std::map<std::string, MetricFamily, std::less<>> families_;
};

}  // namespace cairn
