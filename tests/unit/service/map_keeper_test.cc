// Goal: the map of a cluster as large as we mean them to be can be made, stored and handed out; it
// does not grow without end, and a full map still takes changes of state. Method: the real keeper
// and service over real metadata, and a map of 256 nodes with eight targets each.

#include "server/service/map_keeper.h"

#include <gtest/gtest.h>

#include "common/fabric/net.h"
#include "server/service/meta_service.h"
#include "tests/sim/sim_net.h"
#include "tests/unit/cluster/large_map.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

constexpr size_t kMapBytesMax = 16 * kMiB;  // map_keeper.cc

Task<absl::Status> MakeNoGroups(std::string, wire::DomainLevel) { co_return absl::OkStatus(); }

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
  absl::Status MakeGroups(const std::string& redundancy) {
    return executor_.Run(keeper_.MakeGroups(redundancy, wire::DOMAIN_NODE));
  }
  absl::Status MakeGroupsWithout(const std::string& redundancy, std::vector<uint32_t> targets) {
    wire::MakeGroupsRequest request;
    request.set_redundancy(redundancy);
    request.mutable_avoid_targets()->Add(targets.begin(), targets.end());
    return executor_.Run(keeper_.MakeGroupsWithout(request));
  }
  std::set<uint32_t> Kept() {
    return executor_.Run([](const MapKeeper* keeper) -> Task<std::set<uint32_t>> {
      co_return keeper->KeepCrowded();
    }(&keeper_));
  }
  absl::Status SetState(uint32_t node, wire::NodeState state) {
    const std::vector<FailureDetector::Change> changes = {{node, state}};
    return executor_.Run(keeper_.SetNodeStates(changes));
  }
  // Every other node dies.
  absl::Status KillHalf() {
    std::vector<FailureDetector::Change> changes;
    for (int i = 0; i < map_.nodes_size(); i += 2)
      changes.push_back({map_.nodes(i).id(), wire::NODE_DOWN});
    return executor_.Run(keeper_.SetNodeStates(changes));
  }

  // As a client asks: for the part from `offset` on of `version`.
  absl::StatusOr<wire::GetMapReply> Get(uint64_t known_version, uint64_t version, uint64_t offset) {
    CallContext call(*net_, PeerId(1), SessionId(1), Deadline::Infinite(), RequestId(), {});
    wire::GetMapRequest request;
    request.set_known_version(known_version);
    request.set_version(version);
    request.set_offset_bytes(offset);
    return executor_.Run(service_.GetMap(call, request));
  }
  void ExpectPart(const absl::StatusOr<wire::GetMapReply>& reply, uint64_t offset) {
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_FALSE(reply->has_map());
    EXPECT_EQ(reply->version(), map_.version());
    const std::string bytes = map_.SerializeAsString();
    EXPECT_EQ(reply->total_bytes(), bytes.size());
    ASSERT_FALSE(reply->part().empty());
    EXPECT_TRUE(reply->part() == bytes.substr(offset, reply->part().size())) << offset;
    EXPECT_LT(reply->ByteSizeLong(), kMaxMessageBytes - kKiB) << "with the header of the reply";
  }

  wire::ClusterMap map_;
  uint64_t version_ = 0;
  MapKeeper keeper_{*engine_, map_, kLargeMapGroupsPerTarget,
                    [this](uint64_t version) { version_ = version; }};
  SimFabric fabric_{executor_};
  std::unique_ptr<SimNet> net_ = fabric_.MakeNet("node");
  MetaService service_{*engine_, [this]() -> const wire::ClusterMap& { return map_; },
                       keeper_.history(), MakeNoGroups};
};

TEST_F(MapKeeperTest, AMapThatFitsAMessageIsAnsweredWhole) {
  for (uint64_t node = 1; node <= 6; ++node) ASSERT_EQ(Join(node), absl::OkStatus());
  ASSERT_EQ(MakeGroups("ec:4+2"), absl::OkStatus());
  const auto reply = Get(0, 0, 0);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->map().SerializeAsString(), map_.SerializeAsString());
  EXPECT_EQ(reply->total_bytes(), 0u);
  EXPECT_TRUE(reply->part().empty());
  EXPECT_EQ(Get(map_.version(), 0, 0)->ByteSizeLong(), 0u) << "there is no newer one";
}

TEST_F(MapKeeperTest, TheMapOfTheDesignPointIsMadeAndStored) {
  map_ = LargeMap();
  ASSERT_EQ(MakeGroups("ec:4+2"), absl::OkStatus());
  ASSERT_EQ(MakeGroups("ec:8+3"), absl::OkStatus());
  ASSERT_EQ(Join(1000), absl::OkStatus());
  EXPECT_EQ(map_.nodes_size(), 257);
  EXPECT_EQ(version_, map_.version());
  EXPECT_GT(map_.ByteSizeLong(), 8 * kMaxMessageBytes);
  RecordProperty("map_bytes", static_cast<int>(map_.ByteSizeLong()));
  // What a node with the metadata asks for at its start, on its own disk.
  const auto stored = Ask(wire::GetMapRequest());
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_TRUE(stored->map().SerializeAsString() == map_.SerializeAsString());
}

TEST_F(MapKeeperTest, ALargeMapIsAnsweredInParts) {
  map_ = LargeMap();
  ASSERT_EQ(MakeGroups("ec:4+2"), absl::OkStatus());
  uint64_t known = 0;
  for (int round = 0; round < 2; ++round) {
    uint64_t at = 0;
    size_t parts = 0;
    while (at < map_.ByteSizeLong()) {
      const auto reply = Get(known, at == 0 ? 0 : map_.version(), at);
      ASSERT_NO_FATAL_FAILURE(ExpectPart(reply, at));
      at += reply->part().size();
      ++parts;
    }
    EXPECT_EQ(at, map_.ByteSizeLong());
    EXPECT_LE(parts, map_.ByteSizeLong() / (56 * kKiB) + 1);
    EXPECT_TRUE(absl::IsInvalidArgument(Get(known, map_.version(), at).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(Get(known, map_.version(), UINT64_MAX).status()));
    known = map_.version();
    EXPECT_EQ(Get(known, 0, 0)->ByteSizeLong(), 0u) << "there is no newer one";
    ASSERT_EQ(KillHalf(), absl::OkStatus());
  }
}

// Ten thousand clients hold the map, and all want to know of each change.
TEST_F(MapKeeperTest, OfALargeMapTheChangesAreAnsweredToWhoTakesThem) {
  map_ = LargeMap();
  ASSERT_EQ(MakeGroups("ec:4+2"), absl::OkStatus());
  const uint64_t known = map_.version();
  FailureDetector::Change death;
  death.node = map_.nodes(5).id();
  death.state = wire::NODE_DOWN;
  std::vector<FailureDetector::Change> changes = {death};
  ASSERT_EQ(executor_.Run(keeper_.SetNodeStates(changes)), absl::OkStatus());
  wire::GetMapRequest request;
  request.set_known_version(known);
  request.set_takes_changes(true);
  CallContext call(*net_, PeerId(1), SessionId(1), Deadline::Infinite(), RequestId(), {});
  const auto reply = executor_.Run(service_.GetMap(call, request));
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->changes_size(), 1);
  EXPECT_EQ(reply->changes(0).entries().version(), map_.version());
  EXPECT_LT(reply->ByteSizeLong(), 256u);
  // Of what was before this process nothing is known.
  request.set_known_version(known - 2);
  const auto older = executor_.Run(service_.GetMap(call, request));
  ASSERT_TRUE(older.ok()) << older.status();
  EXPECT_TRUE(older->changes().empty());
  EXPECT_FALSE(older->part().empty());
}

TEST_F(MapKeeperTest, AChangeInTheMiddleOfAFetchLeadsToTheNewMap) {
  map_ = LargeMap();
  ASSERT_EQ(MakeGroups("ec:4+2"), absl::OkStatus());
  const uint64_t old = map_.version();
  const auto first = Get(0, 0, 0);
  ASSERT_NO_FATAL_FAILURE(ExpectPart(first, 0));
  const uint64_t next = first->part().size();
  ASSERT_NO_FATAL_FAILURE(ExpectPart(Get(0, old, next), next));
  ASSERT_EQ(KillHalf(), absl::OkStatus());
  ASSERT_GT(map_.version(), old);
  ASSERT_NO_FATAL_FAILURE(ExpectPart(Get(0, old, 2 * next), 0));
  ASSERT_NO_FATAL_FAILURE(ExpectPart(Get(0, map_.version(), next), next));
  // A version that there is not, or not yet, is no other case.
  ASSERT_NO_FATAL_FAILURE(ExpectPart(Get(0, map_.version() + 5, next), 0));
}

// Else what is written while a node dies would be spread over too few for as long, with all
// healthy.
TEST_F(MapKeeperTest, CrowdedGroupsAreKeptForWritersAsLongAsOnlyTheyMissSomething) {
  for (uint64_t node = 1; node <= 6; ++node) ASSERT_EQ(Join(node), absl::OkStatus());
  ASSERT_EQ(MakeGroups("ec:4+2"), absl::OkStatus());
  ASSERT_EQ(MakeGroupsWithout("ec:4+2", {3, 5}), absl::OkStatus());
  EXPECT_FALSE(Kept().empty());
  ASSERT_EQ(SetState(3, wire::NODE_SUSPECT), absl::OkStatus());
  EXPECT_FALSE(Kept().empty()) << "it may answer others";
  ASSERT_EQ(SetState(3, wire::NODE_DOWN), absl::OkStatus());
  EXPECT_FALSE(Kept().empty()) << "the other one is up";
  ASSERT_EQ(SetState(5, wire::NODE_DOWN), absl::OkStatus());
  EXPECT_TRUE(Kept().empty());
  ASSERT_EQ(SetState(3, wire::NODE_UP), absl::OkStatus());
  ASSERT_EQ(SetState(5, wire::NODE_UP), absl::OkStatus());
  EXPECT_TRUE(Kept().empty()) << "they came back for everyone";
}

TEST_F(MapKeeperTest, ARestartIsNoReasonToKeepGroupsCrowded) {
  for (uint64_t node = 1; node <= 6; ++node) ASSERT_EQ(Join(node), absl::OkStatus());
  ASSERT_EQ(MakeGroups("ec:4+2"), absl::OkStatus());
  ASSERT_EQ(MakeGroupsWithout("ec:4+2", {3}), absl::OkStatus());
  const std::set<uint32_t> kept = Kept();
  EXPECT_FALSE(kept.empty());
  wire::JoinRequest again;
  again.set_node(5);
  again.set_identity(5);
  again.set_target_count(1);
  ASSERT_EQ(executor_.Run(keeper_.Join(again)).status(), absl::OkStatus());
  EXPECT_EQ(Kept(), kept) << "it is another that is out of reach";
  again.set_node(3);
  again.set_identity(3);
  ASSERT_EQ(executor_.Run(keeper_.Join(again)).status(), absl::OkStatus());
  EXPECT_TRUE(Kept().empty());
}

TEST_F(MapKeeperTest, WhatIsDownForEveryoneKeepsNoGroupCrowded) {
  for (uint64_t node = 1; node <= 6; ++node) ASSERT_EQ(Join(node), absl::OkStatus());
  ASSERT_EQ(MakeGroups("ec:4+2"), absl::OkStatus());
  ASSERT_EQ(SetState(3, wire::NODE_DOWN), absl::OkStatus());
  ASSERT_EQ(MakeGroupsWithout("ec:4+2", {3, 1000}), absl::OkStatus());
  EXPECT_TRUE(Kept().empty());
}

TEST_F(MapKeeperTest, AFullMapTakesNothingMoreButChangesOfState) {
  for (uint64_t node = 1; node <= 6; ++node) ASSERT_EQ(Join(node), absl::OkStatus());
  // Not what fills a map, but as many bytes.
  map_.mutable_targets(0)->set_path(std::string(kMapBytesMax - map_.ByteSizeLong(), 'x'));
  const uint64_t before = map_.version();
  const absl::Status joined = Join(7);
  EXPECT_TRUE(absl::IsResourceExhausted(joined)) << joined;
  const absl::Status made = MakeGroups("ec:4+2");
  EXPECT_TRUE(absl::IsResourceExhausted(made)) << made;
  EXPECT_EQ(map_.version(), before);
  // That must be told in any case.
  EXPECT_EQ(KillHalf(), absl::OkStatus());
  EXPECT_EQ(map_.version(), before + 1);
  const auto stored = Ask(wire::GetMapRequest());
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(stored->map().version(), before + 1);
  EXPECT_EQ(stored->map().ByteSizeLong(), map_.ByteSizeLong());
}

}  // namespace
}  // namespace cairn
