// Goal: what a scrape is told of a cluster is what its map, its health and its repair say. Method:
// small maps.
#include "server/admin/cluster_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/base/strings.h"

namespace cairn {
namespace {

// "name{label=value,...}" to value.
std::map<std::string, double> Flatten(const MetricSet& set) {
  std::map<std::string, double> values;
  for (const auto& [name, family] : set.families()) {
    for (const MetricSample& sample : family.samples) {
      std::string text = name;
      for (const auto& [label, value] : sample.labels) text += StrCat(" ", label, "=", value);
      EXPECT_TRUE(values.emplace(text, sample.value).second) << text << " is there twice";
    }
  }
  return values;
}

ClusterSample TwoNodes() {
  wire::ClusterMap map;
  map.set_version(7);
  for (uint32_t id : {1, 2}) {
    wire::NodeInfo* node = map.add_nodes();
    node->set_id(id);
    node->set_name(StrCat("host", id));
    node->set_endpoint(StrCat("10.0.0.", id, ":7440"));
    wire::TargetInfo* target = map.add_targets();
    target->set_id(10 + id);
    target->set_node(id);
    target->set_state(wire::TARGET_UP);
  }
  ClusterSample sample;
  sample.map = std::make_shared<const wire::ClusterMap>(map);
  sample.usage[11] = {600, 1000, 6};
  sample.usage[12] = {100, 1000, 1};
  sample.scrub_interval = absl::Hours(168);
  return sample;
}

ClusterSample With(ClusterSample sample, const std::function<void(wire::ClusterMap*)>& change) {
  wire::ClusterMap map = *sample.map;
  change(&map);
  sample.map = std::make_shared<const wire::ClusterMap>(std::move(map));
  return sample;
}

std::map<std::string, double> Tell(const ClusterSample& sample) {
  MetricSet set;
  TellCluster(sample, &set);
  return Flatten(set);
}

TEST(ClusterMetrics, NodesAndTargetsAreToldAsTheMapAndHeartbeatsHaveThem) {
  auto told = Tell(TwoNodes());
  EXPECT_EQ(told.at("cairn_cluster_node_info node=2 name=host2 endpoint=10.0.0.2:7440 rack="), 1);
  EXPECT_EQ(told.at("cairn_cluster_node_state node=1 state=up"), 1);
  EXPECT_EQ(told.at("cairn_cluster_node_state node=1 state=down"), 0);
  EXPECT_EQ(told.at("cairn_cluster_target_used_bytes node=1 target=11"), 600);
  EXPECT_EQ(told.at("cairn_cluster_target_capacity_bytes node=2 target=12"), 1000);
  EXPECT_EQ(told.at("cairn_cluster_target_up node=2 target=12"), 1);
  EXPECT_EQ(told.at("cairn_health_errors"), 0);
  EXPECT_EQ(told.at("cairn_scrub_interval_seconds"), 7 * 86400);
}

TEST(ClusterMetrics, ANodeThatIsDownIsAnErrorOfHealthAndInThatStateAlone) {
  auto told = Tell(With(TwoNodes(), [](wire::ClusterMap* map) {
    map->mutable_nodes(1)->set_state(wire::NODE_DOWN);
    map->mutable_nodes(0)->set_draining(true);
    map->mutable_targets(0)->set_state(wire::TARGET_FAILED);
  }));
  EXPECT_EQ(told.at("cairn_cluster_node_state node=2 state=up"), 0);
  EXPECT_EQ(told.at("cairn_cluster_node_state node=2 state=down"), 1);
  EXPECT_EQ(told.at("cairn_health_items code=NODE_DOWN severity=error"), 1);
  EXPECT_EQ(told.at("cairn_health_items code=TARGET_FAILED severity=error"), 1);
  EXPECT_EQ(told.at("cairn_health_items code=NODE_DRAINING severity=warning"), 1);
  EXPECT_GE(told.at("cairn_health_errors"), 2);
  EXPECT_EQ(told.at("cairn_cluster_node_draining node=1"), 1);
  EXPECT_EQ(told.at("cairn_cluster_target_up node=1 target=11"), 0);
}

TEST(ClusterMetrics, TargetsThatAreFullByTheirHeartbeatsAreToldAsUnhealthy) {
  ClusterSample sample = TwoNodes();
  sample.usage[11].used_bytes = 960;
  EXPECT_EQ(Tell(sample).at("cairn_health_items code=TARGET_FULL severity=error"), 1);
}

TEST(ClusterMetrics, RebuildAndScrubAreToldAsTheirStatusHasThem) {
  ClusterSample sample = TwoNodes();
  sample.rebuild.set_moves_copying(3);
  sample.rebuild.set_members_lost(2);
  sample.rebuild.set_restored_bytes(1 << 20);
  sample.rebuild.add_waiting_nodes(2);
  sample.rebuild.mutable_scrub()->set_ended_at_ns(1'700'000'000'500'000'000);
  sample.rebuild.mutable_scrub()->set_findings(4);
  sample.scrub_interval = absl::InfiniteDuration();
  auto told = Tell(sample);
  EXPECT_EQ(told.at("cairn_rebuild_moves phase=copying"), 3);
  EXPECT_EQ(told.at("cairn_rebuild_moves phase=settling"), 0);
  EXPECT_EQ(told.at("cairn_rebuild_lost_members"), 2);
  EXPECT_EQ(told.at("cairn_rebuild_restored_bytes_total"), 1 << 20);
  EXPECT_EQ(told.at("cairn_rebuild_waiting_nodes"), 1);
  EXPECT_EQ(told.at("cairn_scrub_last_end_timestamp_seconds"), 1'700'000'000.5);
  EXPECT_EQ(told.at("cairn_scrub_findings"), 4);
  EXPECT_EQ(told.at("cairn_scrub_interval_seconds"), 0);
}

}  // namespace
}  // namespace cairn
