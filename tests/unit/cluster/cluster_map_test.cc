// Goal: groups made once mean the same targets for ever, and a target with data is never forgotten.
// Method: maps merged step by step.

#include "server/cluster/cluster_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn {
namespace {

wire::ClusterMap Present(uint32_t targets) {
  wire::ClusterMap map;
  map.set_cluster_id("c");
  map.set_stripe_bytes(4 << 20);
  auto* node = map.add_nodes();
  node->set_id(1);
  node->set_endpoint("h:1");
  for (uint32_t id = 1; id <= targets; ++id) {
    auto* target = map.add_targets();
    target->set_id(id);
    target->set_node(1);
    target->set_path("/t" + std::to_string(id));
  }
  return map;
}

TEST(MergeClusterMap, FirstStartMakesGroupsForEveryTarget) {
  const auto map = MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(map->version(), 1u);
  EXPECT_EQ(map->groups_size(), 32);
}

TEST(MergeClusterMap, SameTargetsChangeNothing) {
  const auto first = MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  const auto second = MergeClusterMap(*first, Present(2), 16);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->SerializeAsString(), first->SerializeAsString());
}

TEST(MergeClusterMap, JoiningTargetLeavesOldGroupsAsTheyWere) {
  const auto first = MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  const auto second = MergeClusterMap(*first, Present(3), 16);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->version(), 2u);
  ASSERT_EQ(second->groups_size(), 48);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(second->groups(i).SerializeAsString(), first->groups(i).SerializeAsString());
  }
  for (int i = 32; i < 48; ++i) {
    EXPECT_EQ(second->groups(i).id(), static_cast<uint32_t>(i));
    EXPECT_EQ(second->groups(i).targets(0), 3u);
  }
}

TEST(MergeClusterMap, TargetThatIsGoneFromTheConfigurationIsNamed) {
  const auto first = MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  const auto second = MergeClusterMap(*first, Present(1), 16);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), testing::HasSubstr("/t2"));
}

TEST(MergeClusterMap, AFailedTargetKeepsItsGroupsAndComesBack) {
  const auto first = MergeClusterMap(wire::ClusterMap(), Present(2), 16);
  wire::ClusterMap present = Present(2);
  present.mutable_targets(1)->set_state(wire::TARGET_FAILED);
  const auto failed = MergeClusterMap(*first, present, 16);
  ASSERT_TRUE(failed.ok()) << failed.status();
  EXPECT_EQ(failed->version(), 2u);
  EXPECT_EQ(failed->targets(1).state(), wire::TARGET_FAILED);
  EXPECT_EQ(failed->groups_size(), 32);
  const auto back = MergeClusterMap(*failed, Present(2), 16);
  EXPECT_EQ(back->version(), 3u);
  EXPECT_EQ(back->groups_size(), 32);
}

TEST(MergeClusterMap, ANewTargetThatHasFailedIsRefused) {
  wire::ClusterMap present = Present(3);
  present.mutable_targets(2)->set_state(wire::TARGET_FAILED);
  const auto map =
      MergeClusterMap(*MergeClusterMap(wire::ClusterMap(), Present(2), 16), present, 16);
  EXPECT_EQ(map.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(map.status().message()),
              testing::HasSubstr("/t3) is new and could not be opened"));
}

}  // namespace
}  // namespace cairn
