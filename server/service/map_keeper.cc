#include "server/service/map_keeper.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/units.h"
#include "common/fabric/net.h"
#include "common/placement/redundancy.h"
#include "server/cluster/cluster_map.h"
#include "server/cluster/membership.h"

namespace cairn {
namespace {

// It travels in one message. Leaves room for versions and states to grow.
constexpr size_t kMapBytesMax = kMaxMessageBytes - 4 * kKiB;

}  // namespace

MapKeeper::MapKeeper(MetaEngine& engine, wire::ClusterMap& map, uint32_t groups_per_target,
                     std::function<void(uint64_t version)> on_version)
    : engine_(engine),
      map_(map),
      groups_per_target_(groups_per_target),
      on_version_(std::move(on_version)) {}

Task<absl::Status> MapKeeper::Apply(Change change, Kind kind) {
  const absl::Status alone = co_await changing_.Acquire(1, Deadline::Infinite());
  if (!alone.ok()) co_return alone;
  absl::Status applied = co_await ApplyAlone(std::move(change), kind);
  changing_.Release(1);
  co_return applied;
}

Task<absl::Status> MapKeeper::ApplyAlone(Change change, Kind kind) {
  wire::ClusterMap changed = map_;
  CO_RETURN_IF_ERROR(change(&changed));
  changed.set_version(map_.version());
  if (kind == Kind::kMayGrow &&
      changed.ByteSizeLong() > std::max(kMapBytesMax, map_.ByteSizeLong())) {
    co_return absl::ResourceExhaustedError(
        "the cluster map would not fit a message any more: this release takes no more targets and "
        "redundancies; use fewer of either");
  }
  wire::ClusterMap usable = changed;
  AddUsableGroups(&usable, groups_per_target_);
  if (usable.ByteSizeLong() <= kMapBytesMax) changed = std::move(usable);
  if (changed.SerializeAsString() == map_.SerializeAsString()) co_return absl::OkStatus();
  changed.set_version(map_.version() + 1);
  disk::SetClusterMap update;
  *update.mutable_map() = changed;
  const absl::StatusOr<disk::SetClusterMapReply> stored =
      co_await engine_.Mutate(std::move(update));
  if (!stored.ok()) co_return stored.status();
  map_ = std::move(changed);
  on_version_(map_.version());
  co_return absl::OkStatus();
}

Task<absl::Status> MapKeeper::MakeGroups(std::string redundancy, wire::DomainLevel level) {
  Redundancy parsed;
  if (!redundancy.empty()) {
    CO_ASSIGN_OR_RETURN(parsed, ParseRedundancy(redundancy));
  }
  Change change = [this, parsed, level](wire::ClusterMap* map) -> absl::Status {
    ASSIGN_OR_RETURN(*map, AddGroupsFor(*map, parsed, level, groups_per_target_));
    return absl::OkStatus();
  };
  co_return co_await Apply(std::move(change));
}

Task<absl::StatusOr<wire::JoinReply>> MapKeeper::Join(wire::JoinRequest request) {
  wire::JoinReply reply;
  const int64_t now_ns = absl::ToUnixNanos(Executor::Current().clock().WallNow());
  Change change = [&reply, &request, now_ns](wire::ClusterMap* map) -> absl::Status {
    ASSIGN_OR_RETURN(reply, AddNode(map, request, now_ns));
    return absl::OkStatus();
  };
  absl::Status joined = co_await Apply(std::move(change));
  if (!joined.ok()) co_return joined;
  co_return reply;
}

Task<absl::Status> MapKeeper::Report(wire::HeartbeatRequest heartbeat) {
  if (IsCurrent(map_, heartbeat)) co_return absl::OkStatus();
  Change change = [this, &heartbeat](wire::ClusterMap* map) {
    return UpdateNode(map, heartbeat, groups_per_target_);
  };
  co_return co_await Apply(std::move(change));
}

Task<absl::Status> MapKeeper::SetNodeStates(std::vector<FailureDetector::Change> changes) {
  const int64_t now_ns = absl::ToUnixNanos(Executor::Current().clock().WallNow());
  Change change = [&changes, now_ns](wire::ClusterMap* map) {
    for (const FailureDetector::Change& each : changes)
      SetNodeState(map, each.node, each.state, now_ns);
    return absl::OkStatus();
  };
  co_return co_await Apply(std::move(change), Kind::kStates);
}

}  // namespace cairn
