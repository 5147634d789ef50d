// Goal: whatever happens to a cluster map, the client makes the service's map of its own one and
// the changes, byte for byte; and changes that do not fit are an error. Method: random maps through
// random steps, by the server's side and by the client's.
#include "client/io/map_changes.h"

#include <gtest/gtest.h>

#include "common/base/random.h"
#include "common/base/units.h"
#include "server/cluster/map_history.h"

namespace cairn {
namespace {

using Changes = google::protobuf::RepeatedPtrField<wire::MapChange>;

wire::ClusterMap SmallMap() {
  wire::ClusterMap map;
  map.set_version(1);
  map.set_cluster_id("c");
  map.set_stripe_bytes(4096);
  for (uint32_t id = 1; id <= 3; ++id) {
    map.add_nodes()->set_id(id);
    map.add_targets()->set_id(id);
    map.add_groups()->set_id(id);
  }
  return map;
}

template <class Entries>
void RemoveOne(Random& random, Entries* entries) {
  if (!entries->empty())
    entries->DeleteSubrange(static_cast<int>(random.Below(static_cast<uint64_t>(entries->size()))),
                            1);
}

// One thing or a few, as the map keeper may do them.
void Step(Random& random, uint32_t* next_id, wire::ClusterMap* map) {
  for (uint64_t i = 0; i <= random.Below(3); ++i) {
    switch (random.Below(8)) {
      case 0:
        map->add_nodes()->set_id(++*next_id);
        break;
      case 1:
        map->add_targets()->set_id(++*next_id);
        break;
      case 2:
        map->add_groups()->set_id(++*next_id);
        break;
      case 3:
        RemoveOne(random, map->mutable_nodes());
        map->set_last_removed_node(*next_id);
        break;
      case 4:
        RemoveOne(random, map->mutable_targets());
        map->set_last_removed_target(*next_id);
        break;
      case 5:
        RemoveOne(random, map->mutable_groups());
        break;
      case 6:
        for (wire::NodeInfo& node : *map->mutable_nodes())
          if (random.Below(2) == 0)
            node.set_state_since_ns(static_cast<int64_t>(random.Next() >> 1));
        break;
      case 7:
        for (wire::PlacementGroup& group : *map->mutable_groups())
          if (random.Below(2) == 0) group.add_targets(1);
        break;
    }
  }
  map->set_version(map->version() + 1);
}

Changes AsReply(std::vector<wire::MapChange> changes) {
  return Changes(changes.begin(), changes.end());
}

TEST(MapChanges, MakeTheSameMapWhateverHappens) {
  SeededRandom random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<wire::ClusterMap> versions = {SmallMap()};
    MapHistory history;
    uint32_t next_id = 3;
    for (int step = 0; step < 10; ++step) {
      wire::ClusterMap next = versions.back();
      Step(random, &next_id, &next);
      history.Note(versions.back(), next);
      versions.push_back(std::move(next));
    }
    for (const wire::ClusterMap& from : versions) {
      const auto changes = history.Since(from.version(), kMiB);
      ASSERT_EQ(changes.has_value(), from.version() < versions.back().version());
      if (!changes.has_value()) continue;
      const absl::StatusOr<wire::ClusterMap> made = ApplyMapChanges(from, AsReply(*changes));
      ASSERT_TRUE(made.ok()) << made.status();
      ASSERT_EQ(made->SerializeAsString(), versions.back().SerializeAsString());
    }
  }
}

TEST(MapChanges, AreSmallWhereLittleChanges) {
  wire::ClusterMap from = SmallMap();
  for (uint32_t id = 4; id < 10'000; ++id) from.add_groups()->set_id(id);
  wire::ClusterMap to = from;
  to.mutable_nodes(1)->set_state(wire::NODE_DOWN);
  to.set_version(2);
  MapHistory history;
  history.Note(from, to);
  const auto changes = history.Since(1, 100);
  ASSERT_TRUE(changes.has_value());
  EXPECT_LT(changes->front().ByteSizeLong(), 50u);
  EXPECT_FALSE(history.Since(1, 10).has_value()) << "more than was allowed";
}

TEST(MapChanges, OfWhatIsNotKnownAreNotSaid) {
  MapHistory history;
  EXPECT_FALSE(history.Since(0, kMiB).has_value());
  wire::ClusterMap from = SmallMap();
  from.set_version(5);
  wire::ClusterMap to = from;
  to.set_version(6);
  history.Note(from, to);
  EXPECT_TRUE(history.Since(5, kMiB).has_value());
  EXPECT_FALSE(history.Since(4, kMiB).has_value());
  EXPECT_FALSE(history.Since(6, kMiB).has_value());
  EXPECT_FALSE(history.Since(7, kMiB).has_value());
  // Another order of what is there cannot be said.
  wire::ClusterMap turned = to;
  turned.mutable_groups()->SwapElements(0, 1);
  turned.set_version(7);
  history.Note(to, turned);
  EXPECT_FALSE(history.Since(5, kMiB).has_value());
  EXPECT_FALSE(history.Since(6, kMiB).has_value());
}

TEST(MapChanges, ThatDoNotFitAreRefused) {
  const wire::ClusterMap map = SmallMap();
  wire::MapChange good;
  good.mutable_entries()->set_version(2);
  good.mutable_entries()->set_cluster_id("c");
  const auto apply = [&map](const wire::MapChange& change) {
    return ApplyMapChanges(map, AsReply({change})).status();
  };
  EXPECT_EQ(apply(good), absl::OkStatus());
  wire::MapChange bad = good;
  bad.mutable_entries()->set_version(3);
  EXPECT_TRUE(absl::IsDataLoss(apply(bad)));
  bad = good;
  bad.mutable_entries()->set_cluster_id("another");
  EXPECT_TRUE(absl::IsDataLoss(apply(bad)));
  bad = good;
  bad.add_removed_groups(9);
  EXPECT_TRUE(absl::IsDataLoss(apply(bad)));
}

}  // namespace
}  // namespace cairn
