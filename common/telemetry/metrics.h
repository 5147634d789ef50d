// Metrics: numbers that components count and operators read. A Registry is passed to whoever
// counts; there is no global one. Names are cairn_<component>_<what>_<unit>, counters end in
// _total.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn {

// All three: from any thread, without locks; readers may see one metric newer than another.

class Counter {
 public:
  void Add(uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Add(int64_t amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Buckets of powers of two: bucket i counts values below 2^i that no lower bucket counts. Coarse,
// but the same for nanoseconds and for bytes, fixed in memory, and one addition a sample.
class Histogram {
 public:
  static constexpr int kBuckets = 65;

  void Record(uint64_t value) {
    buckets_[std::bit_width(value)].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(value, std::memory_order_relaxed);
  }
  uint64_t count() const;
  uint64_t sum() const { return sum_.load(std::memory_order_relaxed); }
  uint64_t bucket(int index) const { return buckets_[index].load(std::memory_order_relaxed); }
  // The largest value of bucket `index`.
  static uint64_t UpperBound(int index) {
    return index == 64 ? UINT64_MAX : (uint64_t{1} << index) - 1;
  }
  // An upper bound, at most twice too high, of the value that `fraction` of all samples do not
  // exceed; 0 without samples.
  uint64_t Quantile(double fraction) const;

 private:
  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
  std::atomic<uint64_t> sum_{0};
};

// Owns the metrics; they live as long as it does. Thread-safe.
class Registry {
 public:
  // What tells metrics of one name apart, for example {"target", "3"}. Few values: every one is a
  // metric.
  using Labels = std::vector<std::pair<std::string, std::string>>;

  // The metric of this name and labels, made if need be: the cores of a node share it. REQUIRES:
  // the name follows the rule above and is not of another kind.
  Counter& AddCounter(std::string_view name, const Labels& labels = {});
  Gauge& AddGauge(std::string_view name, const Labels& labels = {});
  Histogram& AddHistogram(std::string_view name, const Labels& labels = {});

  // Name, with labels as Prometheus writes them, to value. A histogram gives _count, _sum, _p50,
  // _p99 and _max.
  std::map<std::string, int64_t> Snapshot() const;
  // Prometheus' text format.
  std::string ToPrometheusText() const;

 private:
  struct Metric {
    std::string name;
    std::string labels;  // a="b",c="d" or empty
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
  };
  Metric& Find(std::string_view name, const Labels& labels);

  mutable std::mutex mutex_;
  // Ordered, so that metrics of one name are neighbours.
  std::map<std::pair<std::string, std::string>, Metric> metrics_;
};

}  // namespace cairn
