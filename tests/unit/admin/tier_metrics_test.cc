// Goal: what a scrape is told of cold tiers is what nodes have moved and what tiering has to do.
// Method: small samples.
#include "server/admin/tier_metrics.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace cairn {
namespace {

// Of the only sample with these labels.
std::optional<double> ValueOf(const MetricSet& set, const std::string& name,
                              const MetricLabels& labels = {}) {
  const auto family = set.families().find(name);
  if (family == set.families().end()) return std::nullopt;
  std::optional<double> value;
  for (const MetricSample& sample : family->second.samples) {
    if (sample.labels != labels) continue;
    EXPECT_FALSE(value.has_value()) << name << " is there twice";
    value = sample.value;
  }
  return value;
}

TEST(TierMetrics, TellWhatANodeHasMovedByTier) {
  MetricSet set;
  TellTierTraffic({{"lake", {100, 20, 3, 1}}, {"tape", {7, 0, 0, 0}}}, &set);
  const MetricLabels lake = {{"tier", "lake"}};
  EXPECT_EQ(ValueOf(set, "cairn_tier_archived_bytes_total", lake), 100);
  EXPECT_EQ(ValueOf(set, "cairn_tier_recalled_bytes_total", lake), 20);
  EXPECT_EQ(ValueOf(set, "cairn_tier_read_bytes_total", lake), 3);
  EXPECT_EQ(ValueOf(set, "cairn_tier_failures_total", lake), 1);
  EXPECT_EQ(ValueOf(set, "cairn_tier_archived_bytes_total", {{"tier", "tape"}}), 7);
}

TEST(TierMetrics, TellWhatLiesInATierAndWhatWaits) {
  TieringSample sample;
  wire::TierInfo& tier = sample.tiers.emplace_back();
  tier.mutable_spec()->set_name("lake");
  tier.set_objects(4);
  tier.set_stored_bytes(400);
  tier.set_live_bytes(300);
  tier.mutable_control()->set_recall_paused(true);
  sample.loop.waiting = 12;
  sample.loop.steps_begun = 40;
  sample.running = 2;
  sample.oldest_wait = absl::Seconds(90);
  MetricSet set;
  TellTiering(sample, &set);
  const MetricLabels lake = {{"tier", "lake"}};
  EXPECT_EQ(ValueOf(set, "cairn_tier_objects", lake), 4);
  EXPECT_EQ(ValueOf(set, "cairn_tier_stored_bytes", lake), 400);
  EXPECT_EQ(ValueOf(set, "cairn_tier_live_bytes", lake), 300);
  EXPECT_EQ(ValueOf(set, "cairn_tier_archive_paused", lake), 0);
  EXPECT_EQ(ValueOf(set, "cairn_tier_recall_paused", lake), 1);
  EXPECT_EQ(ValueOf(set, "cairn_tiering_waiting_steps"), 12);
  EXPECT_EQ(ValueOf(set, "cairn_tiering_oldest_wait_seconds"), 90);
  EXPECT_EQ(ValueOf(set, "cairn_tiering_running_steps"), 2);
  EXPECT_EQ(ValueOf(set, "cairn_tiering_steps_total"), 40);
}

TEST(TierMetrics, WithoutTiersNothingIsToldOfOne) {
  MetricSet set;
  TellTierTraffic({}, &set);
  TellTiering({}, &set);
  EXPECT_EQ(set.families().count("cairn_tier_objects"), 0u);
  EXPECT_EQ(set.families().count("cairn_tier_archived_bytes_total"), 0u);
  EXPECT_EQ(ValueOf(set, "cairn_tiering_waiting_steps"), 0);
}

}  // namespace
}  // namespace cairn
