#include "server/service/map_keeper.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/placement/redundancy.h"
#include "server/cluster/cluster_map.h"

namespace cairn {

MapKeeper::MapKeeper(MetaEngine& engine, wire::ClusterMap& map, uint32_t groups_per_target,
                     std::function<void(uint64_t version)> on_version)
    : engine_(engine),
      map_(map),
      groups_per_target_(groups_per_target),
      on_version_(std::move(on_version)) {}

Task<absl::Status> MapKeeper::MakeGroups(std::string redundancy, wire::DomainLevel level) {
  const absl::Status alone = co_await changing_.Acquire(1, Deadline::Infinite());
  if (!alone.ok()) co_return alone;
  absl::Status made = co_await MakeGroupsAlone(redundancy, level);
  changing_.Release(1);
  co_return made;
}

Task<absl::Status> MapKeeper::MakeGroupsAlone(const std::string& redundancy,
                                              wire::DomainLevel level) {
  Redundancy parsed;
  if (!redundancy.empty()) {
    CO_ASSIGN_OR_RETURN(parsed, ParseRedundancy(redundancy));
  }
  CO_ASSIGN_OR_RETURN(wire::ClusterMap grown,
                      AddGroupsFor(map_, parsed, level, groups_per_target_));
  if (grown.version() == map_.version()) co_return absl::OkStatus();
  disk::SetClusterMap update;
  *update.mutable_map() = grown;
  const absl::StatusOr<disk::SetClusterMapReply> stored =
      co_await engine_.Mutate(std::move(update));
  if (!stored.ok()) co_return stored.status();
  map_ = std::move(grown);
  on_version_(map_.version());
  co_return absl::OkStatus();
}

}  // namespace cairn
