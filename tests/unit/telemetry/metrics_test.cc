// Metrics: values, names, quantiles and the two ways to read them.
#include "common/telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(Registry, SameNameAndLabelsIsTheSameMetric) {
  Registry registry;
  Counter& counter = registry.AddCounter("cairn_chunk_written_bytes_total", {{"target", "1"}});
  EXPECT_EQ(&registry.AddCounter("cairn_chunk_written_bytes_total", {{"target", "1"}}), &counter);
  EXPECT_NE(&registry.AddCounter("cairn_chunk_written_bytes_total", {{"target", "2"}}), &counter);
  EXPECT_NE(&registry.AddCounter("cairn_chunk_written_bytes_total"), &counter);
}

TEST(Registry, SnapshotNamesEveryValue) {
  Registry registry;
  registry.AddCounter("cairn_rpc_calls_total").Add(3);
  registry.AddGauge("cairn_buffer_free_slabs", {{"core", "0"}}).Set(-2);
  Histogram& histogram = registry.AddHistogram("cairn_disk_write_nanoseconds");
  histogram.Record(5);
  histogram.Record(100);
  EXPECT_THAT(registry.Snapshot(),
              UnorderedElementsAre(Pair("cairn_rpc_calls_total", 3),
                                   Pair("cairn_buffer_free_slabs{core=\"0\"}", -2),
                                   Pair("cairn_disk_write_nanoseconds_count", 2),
                                   Pair("cairn_disk_write_nanoseconds_sum", 105),
                                   Pair("cairn_disk_write_nanoseconds_p50", 7),
                                   Pair("cairn_disk_write_nanoseconds_p99", 127),
                                   Pair("cairn_disk_write_nanoseconds_max", 127)));
}

TEST(Registry, PrometheusTextFollowsTheFormat) {
  Registry registry;
  registry.AddCounter("cairn_a_calls_total", {{"method", "say \"hi\"\\"}}).Add(1);
  registry.AddCounter("cairn_a_calls_total", {{"method", "b"}}).Add(2);
  registry.AddGauge("cairn_b_slabs").Set(4);
  Histogram& histogram = registry.AddHistogram("cairn_c_bytes", {{"core", "1"}});
  histogram.Record(0);
  histogram.Record(3);
  histogram.Record(3);
  EXPECT_EQ(registry.ToPrometheusText(),
            "# TYPE cairn_a_calls_total counter\n"
            "cairn_a_calls_total{method=\"b\"} 2\n"
            "cairn_a_calls_total{method=\"say \\\"hi\\\"\\\\\"} 1\n"
            "# TYPE cairn_b_slabs gauge\n"
            "cairn_b_slabs 4\n"
            "# TYPE cairn_c_bytes histogram\n"
            "cairn_c_bytes_bucket{core=\"1\",le=\"0\"} 1\n"
            "cairn_c_bytes_bucket{core=\"1\",le=\"3\"} 3\n"
            "cairn_c_bytes_bucket{core=\"1\",le=\"+Inf\"} 3\n"
            "cairn_c_bytes_sum{core=\"1\"} 6\n"
            "cairn_c_bytes_count{core=\"1\"} 3\n");
}

TEST(Histogram, QuantileIsAnUpperBoundAtMostTwiceTooHigh) {
  Histogram histogram;
  EXPECT_EQ(histogram.Quantile(0.5), 0u);
  for (uint64_t value = 1; value <= 1000; ++value) histogram.Record(value);
  for (const double fraction : {0.01, 0.5, 0.9, 0.99, 1.0}) {
    const double exact = fraction * 1000;
    EXPECT_GE(histogram.Quantile(fraction), exact);
    EXPECT_LT(histogram.Quantile(fraction), 2 * exact);
  }
  histogram.Record(UINT64_MAX);
  EXPECT_EQ(histogram.Quantile(1), UINT64_MAX);
}

TEST(Counter, CountsOfManyThreadsAddUp) {
  Registry registry;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&registry] {
      Counter& counter = registry.AddCounter("cairn_test_steps_total");
      for (int j = 0; j < 10'000; ++j) counter.Add();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(registry.Snapshot(), ElementsAre(Pair("cairn_test_steps_total", 40'000)));
}

TEST(RegistryDeathTest, WrongNamesAndKindsStop) {
  Registry registry;
  registry.AddGauge("cairn_test_slabs");
  EXPECT_DEATH(registry.AddHistogram("cairn_test_slabs"), "broken invariant");
  EXPECT_DEATH(registry.AddCounter("cairn_test_calls"), "_total");
  EXPECT_DEATH(registry.AddGauge("Cairn-test"), "IsMetricName");
}

}  // namespace
}  // namespace cairn
