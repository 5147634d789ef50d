// Goal: the status of a cluster of any size fits its message, leaves out as little as will do, and
// says what it leaves out. Method: statuses of more and more targets and troubles.
#include "server/admin/fit_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/units.h"
#include "common/fabric/net.h"
#include "server/meta/records.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

static_assert(kStatusBytesMax + kKiB <= kMaxMessageBytes);

// With paths and names as long as people make them.
wire::StatusReply StatusOf(uint32_t nodes, uint32_t targets_each) {
  wire::StatusReply reply;
  reply.set_cluster_id("cluster");
  for (int i = 0; i < 60; ++i)
    (*reply.mutable_counters())["cairn_some_counter_total_" + std::to_string(i)] = 1'000'000'000;
  wire::ClusterMap* map = reply.mutable_map();
  map->set_version(7);
  for (uint32_t i = 0; i < nodes; ++i) {
    wire::NodeInfo* node = map->add_nodes();
    node->set_id(i + 1);
    node->set_endpoint("10.100.100.100:7440");
    node->set_name("storage-node-" + std::to_string(i));
    node->set_state_since_ns(1);
    node->set_identity(i + 1);
    for (uint32_t j = 0; j < targets_each; ++j) {
      wire::TargetInfo* target = map->add_targets();
      target->set_id(i * targets_each + j + 1);
      target->set_node(i + 1);
      target->set_state(j % 2 == 0 ? wire::TARGET_UP : wire::TARGET_FAILED);
      target->set_path("/mnt/nvme0/cairn/target-" + std::to_string(j) + "/data");
      target->set_capacity_bytes(uint64_t{8} << 40);
      target->set_used_bytes((uint64_t{7} << 40) + j);
      map->add_groups()->add_targets(target->id());
    }
  }
  return reply;
}

void AddHealth(int items, wire::StatusReply* reply) {
  for (int i = 0; i < items; ++i) {
    wire::HealthItem* item = reply->add_health();
    item->set_code(i == 0 ? "FIRST" : "NODE_DOWN");
    item->set_summary(std::string(150, 's'));
    item->set_todo(std::string(100, 't'));
  }
}

TEST(FitStatus, OfASmallClusterOnlyTheGroupsAreCounted) {
  wire::StatusReply reply = StatusOf(4, 2);
  wire::StatusReply expected = reply;
  expected.mutable_map()->clear_groups();
  expected.set_placement_groups(8);
  FitStatus(kStatusBytesMax, &reply);
  EXPECT_EQ(SerializeRecord(reply), SerializeRecord(expected));
}

TEST(FitStatus, ANodeWithoutTheMapAddsNone) {
  wire::StatusReply reply;
  FitStatus(kStatusBytesMax, &reply);
  EXPECT_FALSE(reply.has_map());
}

TEST(FitStatus, OfTheDesignPointTheMapIsToBeAskedForTheRest) {
  wire::StatusReply reply = StatusOf(256, 8);
  AddHealth(20, &reply);
  FitStatus(kStatusBytesMax, &reply);
  EXPECT_LE(reply.ByteSizeLong(), kStatusBytesMax);
  EXPECT_TRUE(reply.shortened());
  EXPECT_TRUE(reply.warnings().empty()) << reply.warnings(0);
  EXPECT_EQ(reply.placement_groups(), 2048u);
  EXPECT_EQ(reply.map().version(), 7u);
  EXPECT_EQ(reply.health_size(), 20);
  EXPECT_EQ(reply.counters_size(), 60);
  ASSERT_EQ(reply.map().targets_size(), 2048);
  EXPECT_EQ(reply.map().targets(1).id(), 2u);
  EXPECT_EQ(reply.map().targets(1).state(), wire::TARGET_FAILED);
  EXPECT_EQ(reply.map().targets(1).used_bytes(), (uint64_t{7} << 40) + 1);
}

TEST(FitStatus, TargetsThatDoNotFitAreSaidToBeLeftOut) {
  wire::StatusReply reply = StatusOf(1024, 8);
  AddHealth(3, &reply);
  FitStatus(kStatusBytesMax, &reply);
  EXPECT_LE(reply.ByteSizeLong(), kStatusBytesMax);
  EXPECT_TRUE(reply.map().targets().empty());
  EXPECT_EQ(reply.health_size(), 3);
  ASSERT_EQ(reply.warnings_size(), 1);
  EXPECT_THAT(reply.warnings(0), HasSubstr("8192 targets"));
}

TEST(FitStatus, TheLastTroublesGiveWayToTheFirst) {
  wire::StatusReply reply = StatusOf(256, 8);
  AddHealth(1000, &reply);
  FitStatus(kStatusBytesMax, &reply);
  EXPECT_LE(reply.ByteSizeLong(), kStatusBytesMax);
  EXPECT_GT(reply.health_size(), 100);
  EXPECT_EQ(reply.health(0).code(), "FIRST");
  ASSERT_EQ(reply.warnings_size(), 2);
  EXPECT_THAT(reply.warnings(1),
              HasSubstr(std::to_string(1000 - reply.health_size()) + " more things are wrong"));
}

}  // namespace
}  // namespace cairn
