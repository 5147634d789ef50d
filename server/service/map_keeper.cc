#include "server/service/map_keeper.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/units.h"
#include "common/placement/redundancy.h"
#include "server/cluster/balance.h"
#include "server/cluster/cluster_map.h"
#include "server/cluster/map_domains.h"
#include "server/cluster/membership.h"
#include "server/cluster/moves.h"
#include "server/cluster/target_intent.h"

namespace cairn {
namespace {

// Every client holds it, and fetches it anew after each change: 280 messages of this. Several times
// what 256 nodes with eight targets each need, and a quarter of what clients take, so that moves
// and states have room to grow beyond it.
constexpr size_t kMapBytesMax = 16 * kMiB;
static_assert(2 * kMapBytesMax <= GroupCommitter::kMaxQueuedBytes, "it is stored by one command");

// Writers that still need them say so every 20 s.
constexpr absl::Duration kKeepCrowded = absl::Minutes(1);

// The length first: what grows the map is most of what is not the same.
bool IsSame(const wire::ClusterMap& a, const wire::ClusterMap& b) {
  return a.ByteSizeLong() == b.ByteSizeLong() && a.SerializeAsString() == b.SerializeAsString();
}

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
        StrCat("the cluster map would grow over ", kMapBytesMax / kMiB,
               " MiB: this release takes no more targets and redundancies; use fewer of either"));
  }
  const int groups = changed.groups_size();
  AddUsableGroups(&changed, groups_per_target_);
  if (changed.groups_size() > groups && changed.ByteSizeLong() > kMapBytesMax)
    changed.mutable_groups()->DeleteSubrange(groups, changed.groups_size() - groups);
  if (IsSame(changed, map_)) co_return absl::OkStatus();
  changed.set_version(map_.version() + 1);
  disk::SetClusterMap update;
  *update.mutable_map() = changed;
  const absl::StatusOr<disk::SetClusterMapReply> stored =
      co_await engine_.Mutate(std::move(update));
  if (!stored.ok()) co_return stored.status();
  history_.Note(map_, changed);
  map_ = std::move(changed);
  ForgetWantedWithout(0);
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
  if (request.node() != 0) ForgetWantedWithout(request.node());
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
  Change change = [this, &changes, now_ns](wire::ClusterMap* map) {
    for (const FailureDetector::Change& each : changes)
      SetNodeState(map, each.node, each.state, now_ns);
    // One that is back after others have taken over all it had.
    AddGroupsForNewTargets(map, 0, groups_per_target_);
    return absl::OkStatus();
  };
  co_return co_await Apply(std::move(change), Kind::kStates);
}

Task<absl::StatusOr<uint32_t>> MapKeeper::AddNodeTarget(uint32_t node, uint32_t number) {
  uint32_t id = 0;
  Change change = [&id, node, number](wire::ClusterMap* map) -> absl::Status {
    ASSIGN_OR_RETURN(id, AddTarget(map, node, number));
    return absl::OkStatus();
  };
  absl::Status added = co_await Apply(std::move(change));
  if (!added.ok()) co_return added;
  co_return id;
}

Task<absl::Status> MapKeeper::SetTarget(wire::SetTargetRequest request,
                                        std::map<uint32_t, MoveFacts::Usage> usage,
                                        std::set<uint32_t> lost_groups) {
  Change change = [this, &request, &usage, &lost_groups](wire::ClusterMap* map) -> absl::Status {
    RETURN_IF_ERROR(SetTargetIntent(map, request, usage, lost_groups));
    // One that is wanted again after it had been emptied.
    AddGroupsForNewTargets(map, 0, groups_per_target_);
    return absl::OkStatus();
  };
  co_return co_await Apply(std::move(change), Kind::kStates);
}

Task<absl::Status> MapKeeper::Rebalance(wire::RebalanceRequest request) {
  Change change = [&request](wire::ClusterMap* map) -> absl::Status {
    if (request.action() == wire::REBALANCE_START)
      return StartRebalance(map, request.threshold_percent());
    if (request.action() != wire::REBALANCE_STOP)
      return absl::InvalidArgumentError("start or stop: no such action");
    (void)StopRebalance(map);
    return absl::OkStatus();
  };
  co_return co_await Apply(std::move(change), Kind::kStates);
}

Task<absl::Status> MapKeeper::SetNode(wire::SetNodeRequest request,
                                      std::set<uint32_t> lost_groups) {
  const int64_t now_ns = absl::ToUnixNanos(Executor::Current().clock().WallNow());
  Change change = [this, &request, &lost_groups, now_ns](wire::ClusterMap* map) -> absl::Status {
    RETURN_IF_ERROR(SetNodeIntent(map, request, now_ns, lost_groups));
    // One that is wanted again after it had been emptied.
    AddGroupsForNewTargets(map, 0, groups_per_target_);
    return absl::OkStatus();
  };
  co_return co_await Apply(std::move(change), Kind::kStates);
}

Task<absl::Status> MapKeeper::MakeGroupsWithout(wire::MakeGroupsRequest request) {
  // Each client may be cut off from other targets, and each group stays in the map.
  constexpr int kCrowdedMax = 2048;
  constexpr int kAvoidMax = 256;
  if (request.avoid_targets_size() > kAvoidMax)
    co_return absl::InvalidArgumentError(StrCat("more than ", kAvoidMax, " targets to avoid"));
  CO_RETURN_IF_ERROR(ParseRedundancy(request.redundancy()).status());
  const auto crowded = std::count_if(map_.groups().begin(), map_.groups().end(),
                                     [](const auto& group) { return group.crowded(); });
  if (crowded > kCrowdedMax) {
    co_return absl::ResourceExhaustedError(
        StrCat("there are ", crowded,
               " crowded placement groups, and no more are "
               "made: see which clients cannot reach some nodes"));
  }
  const std::set<uint32_t> avoid(request.avoid_targets().begin(), request.avoid_targets().end());
  Change change = [this, &request, &avoid](wire::ClusterMap* map) {
    AddGroupsWithout(avoid, request.redundancy(), groups_per_target_, map);
    // Before anyone can plan to move them.
    NoteWanted(*map, request.redundancy(), avoid);
    return absl::OkStatus();
  };
  co_return co_await Apply(std::move(change));
}

void MapKeeper::NoteWanted(const wire::ClusterMap& map, std::string_view redundancy,
                           const std::set<uint32_t>& avoid) {
  const MonoTime now = Executor::Current().clock().Now();
  std::erase_if(wanted_crowded_,
                [now](const auto& each) { return now - each.second.last >= kKeepCrowded; });
  const MapDomains domains(map);
  std::set<uint32_t> out_of_reach;
  for (uint32_t target : avoid)
    if (domains.IsReachable(target)) out_of_reach.insert(target);
  if (out_of_reach.empty()) return;
  for (const wire::PlacementGroup& group : map.groups()) {
    if (!group.crowded() || group.redundancy() != redundancy) continue;
    const bool is_free_of =
        std::none_of(group.targets().begin(), group.targets().end(),
                     [&avoid](uint32_t target) { return avoid.contains(target); });
    if (!is_free_of) continue;
    Wanted& wanted = wanted_crowded_[group.id()];
    wanted.last = now;
    wanted.out_of_reach.insert(out_of_reach.begin(), out_of_reach.end());
  }
}

void MapKeeper::ForgetWantedWithout(uint32_t was_away) {
  if (wanted_crowded_.empty()) return;
  const MapDomains domains(map_);
  const auto is_away = [&domains, was_away](uint32_t target) {
    const wire::NodeInfo* node = domains.NodeOf(target);
    return !domains.IsReachable(target) || (node != nullptr && node->id() == was_away);
  };
  for (auto& [group, wanted] : wanted_crowded_) std::erase_if(wanted.out_of_reach, is_away);
  std::erase_if(wanted_crowded_, [](const auto& each) { return each.second.out_of_reach.empty(); });
}

std::set<uint32_t> MapKeeper::KeepCrowded() const {
  const MonoTime now = Executor::Current().clock().Now();
  std::set<uint32_t> kept;
  for (const auto& [group, wanted] : wanted_crowded_)
    if (now - wanted.last < kKeepCrowded) kept.insert(group);
  return kept;
}

Task<absl::Status> MapKeeper::ChangeMoves(std::function<bool(wire::ClusterMap*)> change) {
  Change apply = [&change](wire::ClusterMap* map) {
    (void)change(map);
    return absl::OkStatus();
  };
  co_return co_await Apply(std::move(apply), Kind::kStates);
}

}  // namespace cairn
