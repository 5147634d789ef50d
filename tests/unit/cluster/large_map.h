// The map of a cluster at the design point: 256 nodes with eight targets each, all up.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "server/cluster/cluster_map.h"

namespace cairn {

inline constexpr uint32_t kLargeMapNodes = 256;
inline constexpr uint32_t kLargeMapTargetsEach = 8;
inline constexpr uint32_t kLargeMapGroupsPerTarget = 16;  // as server/main has it

inline wire::ClusterMap MakeLargeMap() {
  wire::ClusterMap present;
  present.set_cluster_id("large");
  present.set_stripe_bytes(4 << 20);
  for (uint32_t i = 0; i < kLargeMapNodes; ++i) {
    wire::NodeInfo* node = present.add_nodes();
    node->set_id(i + 1);
    node->set_identity(i + 1);
    node->set_endpoint("10.100.100.100:" + std::to_string(10'000 + i));
    node->set_name("storage-node-" + std::to_string(i + 1));
    for (uint32_t j = 0; j < kLargeMapTargetsEach; ++j) {
      wire::TargetInfo* target = present.add_targets();
      target->set_id(i * kLargeMapTargetsEach + j + 1);
      target->set_node(i + 1);
      target->set_number(j);
      target->set_state(wire::TARGET_UP);
      target->set_path("/mnt/nvme" + std::to_string(j) + "/cairn/data");
      target->set_capacity_bytes(uint64_t{8} << 40);
    }
  }
  const auto map = MergeClusterMap(wire::ClusterMap(), present, kLargeMapGroupsPerTarget);
  EXPECT_TRUE(map.ok()) << map.status();
  return map.value_or(wire::ClusterMap());
}

// With groups for single copies, as all have joined, and none for buckets yet. Made once: it takes
// a second, or several under sanitizers.
inline const wire::ClusterMap& LargeMap() {
  static const auto* const map = new wire::ClusterMap(MakeLargeMap());
  return *map;
}

}  // namespace cairn
