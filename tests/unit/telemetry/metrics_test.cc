// Metrics: the rule of their names, and what a scrape is told of a histogram.
#include "common/telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "common/telemetry/operation_times.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::Key;

TEST(MetricSet, SamplesOfOneNameAreOneFamily) {
  MetricSet set;
  set.AddCounter("cairn_target_writes_total", "Fragments written.", 3, {{"target", "1"}});
  set.AddGauge("cairn_buffer_slabs_free", "Slabs.", 7);
  set.AddCounter("cairn_target_writes_total", "Fragments written.", 4, {{"target", "2"}});
  EXPECT_THAT(set.families(),
              ElementsAre(Key("cairn_buffer_slabs_free"), Key("cairn_target_writes_total")));
  const MetricFamily& writes = set.families().find("cairn_target_writes_total")->second;
  EXPECT_EQ(writes.kind, MetricKind::kCounter);
  EXPECT_EQ(writes.help, "Fragments written.");
  ASSERT_EQ(writes.samples.size(), 2u);
  EXPECT_EQ(writes.samples[1].labels, (MetricLabels{{"target", "2"}}));
  EXPECT_EQ(writes.samples[1].value, 4);
}

TEST(MetricSet, BucketsOfAHistogramAreAlwaysTheSameAndCumulative) {
  Histogram histogram;
  MetricSet set;
  const HistogramShape shape{2, 4, 0.5};  // values up to 3, 7, 15, in halves
  set.AddHistogram("cairn_test_step_halves", "Steps.", histogram, shape, {{"core", "0"}});
  for (const uint64_t value : {0, 3, 4, 15, 16, 1000}) histogram.Record(value);
  set.AddHistogram("cairn_test_step_halves", "Steps.", histogram, shape, {{"core", "1"}});
  const auto& samples = set.families().begin()->second.samples;
  std::vector<std::vector<double>> bounds(2);
  std::vector<std::vector<uint64_t>> counts(2);
  for (size_t i = 0; i < 2; ++i) {
    for (const MetricSample::Bucket& bucket : samples[i].buckets) {
      bounds[i].push_back(bucket.upper_bound);
      counts[i].push_back(bucket.count);
    }
  }
  EXPECT_THAT(bounds[0], ElementsAre(1.5, 3.5, 7.5));
  EXPECT_EQ(bounds[1], bounds[0]);
  EXPECT_THAT(counts[0], ElementsAre(0, 0, 0));
  EXPECT_THAT(counts[1], ElementsAre(2, 3, 4));
  EXPECT_EQ(samples[1].count, 6u);
  EXPECT_EQ(samples[1].sum, (3 + 4 + 15 + 16 + 1000) / 2.0);
}

TEST(Histogram, AValueIsInTheFirstBucketWhoseBoundItDoesNotExceed) {
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{1023}, uint64_t{1024}, UINT64_MAX}) {
    Histogram histogram;
    histogram.Record(value);
    for (int i = 0; i < Histogram::kBuckets; ++i) {
      const bool fits =
          value <= Histogram::UpperBound(i) && (i == 0 || value > Histogram::UpperBound(i - 1));
      EXPECT_EQ(histogram.bucket(i), fits ? 1u : 0u) << value << " in bucket " << i;
    }
  }
}

TEST(OperationTimes, TheHistoryKeepsWhatTheWindowForgets) {
  OperationTimes times;
  for (size_t i = 0; i < 2 * LatencyWindow::kSamples; ++i)
    times.Record(MonoTime(1000), MonoTime(4000));
  // A clock that went back is no time at all.
  times.Record(MonoTime(4000), MonoTime(1000));
  EXPECT_EQ(times.lately().Summarize(MonoTime(5000), absl::Hours(1)).samples,
            LatencyWindow::kSamples);
  EXPECT_EQ(times.since_start().count(), 2 * LatencyWindow::kSamples + 1);
  EXPECT_EQ(times.since_start().sum(), 2 * LatencyWindow::kSamples * 3000);
}

TEST(MetricSetDeathTest, WrongNamesAndKindsStop) {
  MetricSet set;
  set.AddGauge("cairn_test_slabs", "Slabs.", 1);
  EXPECT_DEATH(set.AddHistogram("cairn_test_slabs", "Slabs.", Histogram(), kGroupSizes),
               "broken invariant");
  EXPECT_DEATH(set.AddCounter("cairn_test_calls", "Calls.", 1), "_total");
  EXPECT_DEATH(set.AddGauge("cairn_test_calls_total", "Calls.", 1), "_total");
  for (const char* name : {"Cairn_test_a", "cairn_test", "test_a_b", "cairn_test_a-b",
                           "cairn__test_a", "cairn_test_a_"}) {
    EXPECT_DEATH(set.AddGauge(name, "Nothing.", 1), "IsMetricName") << name;
  }
  EXPECT_DEATH(set.AddGauge("cairn_test_free", "", 1), "help");
}

}  // namespace
}  // namespace cairn
