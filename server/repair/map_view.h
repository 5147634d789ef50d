// The cluster map, indexed, for what goes through many stripes. Of one moment.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/cluster/map_domains.h"

namespace cairn {

class MapView {
 public:
  // Copies the map: it may change at every await.
  explicit MapView(wire::ClusterMap map);
  MapView(const MapView&) = delete;
  MapView& operator=(const MapView&) = delete;

  const wire::ClusterMap& map() const { return map_; }
  // Null when there is none.
  const wire::PlacementGroup* FindGroup(uint32_t id) const;
  const wire::TargetInfo* FindTarget(uint32_t id) const { return domains_.FindTarget(id); }
  const wire::NodeInfo* NodeOf(uint32_t target) const { return domains_.NodeOf(target); }
  // It has not failed, and its node is UP or SUSPECT.
  bool IsReachable(uint32_t target) const { return domains_.IsReachable(target); }
  // As of MapDomains.
  bool IsLost(uint32_t target) const { return domains_.IsLost(target); }
  static const wire::GroupMove* FindMove(const wire::PlacementGroup& group, uint32_t index);

  // What `to` is to be asked to hold fragment `index` of stripes of the group, but for the stripes.
  // `others`: targets besides the group's members that have the very fragment. `turn` spreads
  // requests of one group over its members.
  wire::RestoreFragmentsRequest RestoreRequest(const wire::PlacementGroup& group, uint32_t index,
                                               uint32_t to, const std::vector<uint32_t>& others,
                                               uint32_t turn) const;

 private:
  void AddSource(uint32_t index, uint32_t target, wire::RestoreFragmentsRequest* request) const;

  const wire::ClusterMap map_;
  absl::flat_hash_map<uint32_t, const wire::PlacementGroup*> groups_;
  const MapDomains domains_;
};

}  // namespace cairn
