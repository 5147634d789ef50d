#include "common/telemetry/metrics.h"

#include <algorithm>

#include "common/base/check.h"

namespace cairn {
namespace {

bool IsMetricName(std::string_view name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
  // "cairn", a component, and what it is about.
  return plain && name.starts_with("cairn_") && !name.ends_with('_') &&
         name.find("__") == std::string_view::npos && std::count(name.begin(), name.end(), '_') > 1;
}

}  // namespace

MetricSample& MetricSet::Add(std::string_view name, std::string_view help, MetricKind kind,
                             MetricLabels labels) {
  auto found = families_.find(name);
  if (found == families_.end()) {
    CAIRN_CHECK(IsMetricName(name) && !help.empty());
    CAIRN_CHECK(name.ends_with("_total") == (kind == MetricKind::kCounter));
    found = families_.emplace(std::string(name), MetricFamily{std::string(help), kind, {}}).first;
  }
  MetricFamily& family = found->second;
  CAIRN_CHECK(family.kind == kind);
  MetricSample& sample = family.samples.emplace_back();
  sample.labels = std::move(labels);
  return sample;
}

void MetricSet::AddCounter(std::string_view name, std::string_view help, double value,
                           MetricLabels labels) {
  Add(name, help, MetricKind::kCounter, std::move(labels)).value = value;
}

void MetricSet::AddGauge(std::string_view name, std::string_view help, double value,
                         MetricLabels labels) {
  Add(name, help, MetricKind::kGauge, std::move(labels)).value = value;
}

void MetricSet::AddHistogram(std::string_view name, std::string_view help,
                             const Histogram& histogram, HistogramShape shape,
                             MetricLabels labels) {
  MetricSample& sample = Add(name, help, MetricKind::kHistogram, std::move(labels));
  uint64_t cumulative = 0;
  for (int i = 0; i < Histogram::kBuckets; ++i) {
    cumulative += histogram.bucket(i);
    if (i < shape.first_bucket || i > shape.last_bucket) continue;
    const auto bound = static_cast<double>(Histogram::UpperBound(i));
    sample.buckets.push_back({bound * shape.unit, cumulative});
  }
  sample.count = cumulative;
  sample.sum = static_cast<double>(histogram.sum()) * shape.unit;
}

}  // namespace cairn
