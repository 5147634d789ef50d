#include "common/telemetry/metrics.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/check.h"

namespace cairn {
namespace {

bool IsMetricName(std::string_view name) {
  for (const char c : name) {
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_') return false;
  }
  return name.starts_with("cairn_");
}

std::string FormatLabels(const Registry::Labels& labels) {
  std::string text;
  for (const auto& [key, value] : labels) {
    const std::string escaped =
        absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}});
    absl::StrAppend(&text, text.empty() ? "" : ",", key, "=\"", escaped, "\"");
  }
  return text;
}

std::string InBraces(const std::string& labels) {
  return labels.empty() ? std::string() : absl::StrCat("{", labels, "}");
}

void AppendHistogram(const Histogram& histogram, const std::string& name, const std::string& labels,
                     std::string* text) {
  const char* comma = labels.empty() ? "" : ",";
  uint64_t cumulative = 0;
  for (int i = 0; i < Histogram::kBuckets; ++i) {
    if (histogram.bucket(i) == 0) continue;
    cumulative += histogram.bucket(i);
    absl::StrAppend(text, name, "_bucket{", labels, comma, "le=\"", Histogram::UpperBound(i),
                    "\"} ", cumulative, "\n");
  }
  absl::StrAppend(text, name, "_bucket{", labels, comma, "le=\"+Inf\"} ", cumulative, "\n");
  absl::StrAppend(text, name, "_sum", InBraces(labels), " ", histogram.sum(), "\n");
  absl::StrAppend(text, name, "_count", InBraces(labels), " ", cumulative, "\n");
}

}  // namespace

uint64_t Histogram::count() const {
  uint64_t count = 0;
  for (int i = 0; i < kBuckets; ++i) count += bucket(i);
  return count;
}

uint64_t Histogram::Quantile(double fraction) const {
  const auto wanted = static_cast<uint64_t>(std::ceil(fraction * static_cast<double>(count())));
  uint64_t seen = 0;
  int last = 0;
  for (int i = 0; i < kBuckets; ++i) {
    if (bucket(i) == 0) continue;
    seen += bucket(i);
    last = i;
    if (seen >= wanted) break;
  }
  return UpperBound(last);
}

Registry::Metric& Registry::Find(std::string_view name, const Labels& labels) {
  CAIRN_CHECK(IsMetricName(name));
  std::string label_text = FormatLabels(labels);
  Metric& metric = metrics_[{std::string(name), label_text}];
  metric.name = name;
  metric.labels = std::move(label_text);
  return metric;
}

Counter& Registry::AddCounter(std::string_view name, const Labels& labels) {
  CAIRN_CHECK(name.ends_with("_total"));
  std::lock_guard<std::mutex> lock(mutex_);
  Metric& metric = Find(name, labels);
  CAIRN_CHECK(metric.gauge == nullptr && metric.histogram == nullptr);
  if (metric.counter == nullptr) metric.counter = std::make_unique<Counter>();
  return *metric.counter;
}

Gauge& Registry::AddGauge(std::string_view name, const Labels& labels) {
  std::lock_guard<std::mutex> lock(mutex_);
  Metric& metric = Find(name, labels);
  CAIRN_CHECK(metric.counter == nullptr && metric.histogram == nullptr);
  if (metric.gauge == nullptr) metric.gauge = std::make_unique<Gauge>();
  return *metric.gauge;
}

Histogram& Registry::AddHistogram(std::string_view name, const Labels& labels) {
  std::lock_guard<std::mutex> lock(mutex_);
  Metric& metric = Find(name, labels);
  CAIRN_CHECK(metric.counter == nullptr && metric.gauge == nullptr);
  if (metric.histogram == nullptr) metric.histogram = std::make_unique<Histogram>();
  return *metric.histogram;
}

std::map<std::string, int64_t> Registry::Snapshot() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::map<std::string, int64_t> values;
  for (const auto& [key, metric] : metrics_) {
    const std::string labels = InBraces(metric.labels);
    if (metric.counter != nullptr)
      values[metric.name + labels] = static_cast<int64_t>(metric.counter->value());
    if (metric.gauge != nullptr) values[metric.name + labels] = metric.gauge->value();
    if (metric.histogram == nullptr) continue;
    const Histogram& histogram = *metric.histogram;
    const std::pair<const char*, uint64_t> parts[] = {{"_count", histogram.count()},
                                                      {"_sum", histogram.sum()},
                                                      {"_p50", histogram.Quantile(0.5)},
                                                      {"_p99", histogram.Quantile(0.99)},
                                                      {"_max", histogram.Quantile(1)}};
    for (const auto& [part, value] : parts) {
      values[absl::StrCat(metric.name, part, labels)] = static_cast<int64_t>(value);
    }
  }
  return values;
}

std::string Registry::ToPrometheusText() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::string text;
  std::string_view previous;
  for (const auto& [key, metric] : metrics_) {
    if (metric.name != previous) {
      const char* kind = metric.counter != nullptr ? "counter"
                         : metric.gauge != nullptr ? "gauge"
                                                   : "histogram";
      absl::StrAppend(&text, "# TYPE ", metric.name, " ", kind, "\n");
      previous = metric.name;
    }
    if (metric.counter != nullptr) {
      absl::StrAppend(&text, metric.name, InBraces(metric.labels), " ", metric.counter->value(),
                      "\n");
    } else if (metric.gauge != nullptr) {
      absl::StrAppend(&text, metric.name, InBraces(metric.labels), " ", metric.gauge->value(),
                      "\n");
    } else {
      AppendHistogram(*metric.histogram, metric.name, metric.labels, &text);
    }
  }
  return text;
}

}  // namespace cairn
