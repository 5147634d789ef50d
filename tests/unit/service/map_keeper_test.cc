// Goal: the cluster map never outgrows the message that carries it, and a full map still takes
// changes of state. Method: nodes join the real metadata until no more are taken.

#include "server/service/map_keeper.h"

#include <gtest/gtest.h>

#include "common/fabric/net.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

// Of one target each, with one redundancy beside the default.
constexpr uint64_t kPromised = 38;

class MapKeeperTest : public MetaTest {
 protected:
  // A node with one target joins, and says that it is open.
  absl::Status Join(uint64_t identity) {
    wire::JoinRequest request;
    request.set_identity(identity);
    request.set_name("storage-node-0001");
    request.set_target_count(1);
    const absl::StatusOr<wire::JoinReply> reply = executor_.Run(keeper_.Join(request));
    if (!reply.ok()) return reply.status();
    wire::HeartbeatRequest heartbeat;
    heartbeat.set_node(reply->node());
    heartbeat.set_endpoint("10.100.100.100:7440");
    wire::TargetInfo* target = heartbeat.add_targets();
    target->set_id(reply->targets(0));
    target->set_node(reply->node());
    target->set_state(wire::TARGET_UP);
    target->set_path("/mnt/nvme0/cairn/target-0/data");
    target->set_capacity_bytes(uint64_t{8} << 40);
    const absl::Status reported = executor_.Run(keeper_.Report(heartbeat));
    if (!reported.ok()) return reported;
    return executor_.Run(keeper_.SetNodeStates({{reply->node(), wire::NODE_UP}}));
  }

  wire::ClusterMap map_;
  uint64_t version_ = 0;
  MapKeeper keeper_{*engine_, map_, 16, [this](uint64_t version) { version_ = version; }};
};

TEST_F(MapKeeperTest, NodesAreTakenUntilTheMapFillsItsMessage) {
  uint64_t nodes = 0;
  absl::Status joined;
  while (true) {
    joined = Join(nodes + 1);
    if (!joined.ok()) break;
    ++nodes;
    if (nodes == 6) {
      ASSERT_EQ(executor_.Run(keeper_.MakeGroups("ec:4+2", wire::DOMAIN_NODE)), absl::OkStatus());
    }
    ASSERT_LT(nodes, 10'000u);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(joined)) << joined;
  RecordProperty("nodes", static_cast<int>(nodes));
  // What README promises.
  EXPECT_GE(nodes, kPromised) << nodes;
  EXPECT_EQ(version_, map_.version());
  // Half of them die: that must be told in any case.
  std::vector<FailureDetector::Change> changes;
  for (int i = 0; i < map_.nodes_size(); i += 2)
    changes.push_back({map_.nodes(i).id(), wire::NODE_DOWN});
  const uint64_t before = map_.version();
  EXPECT_EQ(executor_.Run(keeper_.SetNodeStates(changes)), absl::OkStatus());
  EXPECT_EQ(map_.version(), before + 1);
  EXPECT_LT(map_.ByteSizeLong(), kMaxMessageBytes - 512) << "with the header of the reply";
}

}  // namespace
}  // namespace cairn
