// See target_intent.h.
#include "server/cluster/target_intent.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/units.h"
#include "server/cluster/group_members.h"
#include "server/cluster/losses.h"
#include "server/cluster/map_domains.h"
#include "server/cluster/room.h"
#include "server/cluster/wording.h"

namespace cairn {
namespace {

wire::TargetInfo* FindTarget(wire::ClusterMap* map, uint32_t id) {
  for (wire::TargetInfo& target : *map->mutable_targets())
    if (target.id() == id) return &target;
  return nullptr;
}

// Percent; moves fill no target further.
constexpr uint64_t kFull = 95;

uint64_t RoomOf(const MoveFacts::Usage& usage) {
  const uint64_t may_hold = usage.capacity_bytes / 100 * kFull;
  return may_hold - std::min(may_hold, usage.used_bytes);
}

// Whether the others have as many bytes free as it holds. What it takes to move them apart is not
// counted.
absl::Status CheckSpace(const MapDomains& after, const wire::TargetInfo& leaving,
                        const std::map<uint32_t, MoveFacts::Usage>& usage) {
  const auto held = usage.find(leaving.id());
  if (held == usage.end() || held->second.used_bytes == 0) return absl::OkStatus();
  uint64_t room = 0;
  for (const auto& [target, of_target] : usage)
    if (after.IsUsable(target)) room += RoomOf(of_target);
  if (held->second.used_bytes <= room) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("target ", leaving.id(), " holds ", held->second.used_bytes / kMiB,
             " MiB, and the others have room for ", room / kMiB,
             " MiB; make room (cairn ckpt prune) or add a target first, or say --force"));
}

absl::Status CheckRoomFor(const wire::ClusterMap& map, const wire::TargetInfo& leaving,
                          const std::map<uint32_t, MoveFacts::Usage>& usage) {
  wire::ClusterMap after = WithoutGroups(map);
  *FindTarget(&after, leaving.id()) = leaving;
  RETURN_IF_ERROR(CheckRoom(map, after, {leaving.id()}, StrCat("target ", leaving.id()),
                            "add a target or a node"));
  return CheckSpace(MapDomains(after), leaving, usage);
}

absl::Status CheckLosses(const wire::ClusterMap& map, const wire::TargetInfo& target,
                         const std::set<uint32_t>& lost_groups) {
  if (lost_groups.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(Describe(target), " cannot be read, and what only it holds would be lost: data in ",
             absl::StrJoin(DescribeGroups(map, lost_groups), ", "),
             "; bring it back, or say --force to give that up"));
}

}  // namespace

absl::Status SetTargetIntent(wire::ClusterMap* map, const wire::SetTargetRequest& request,
                             const std::map<uint32_t, MoveFacts::Usage>& usage,
                             const std::set<uint32_t>& lost_groups) {
  wire::TargetInfo* target = FindTarget(map, request.target());
  if (target == nullptr)
    return absl::NotFoundError(StrCat("target ", request.target(), " is not in this cluster"));
  wire::TargetInfo wanted = *target;
  wanted.set_draining(true);
  switch (request.action()) {
    case wire::TARGET_UNDRAIN:
      target->set_draining(false);
      target->set_removing(false);
      target->set_lost(false);
      return absl::OkStatus();
    case wire::TARGET_DRAIN:
      wanted.set_removing(false);
      break;
    case wire::TARGET_REMOVE:
    case wire::TARGET_REPLACE:
      wanted.set_removing(true);
      wanted.set_lost(!MapDomains(*map).IsReachable(target->id()));
      break;
    default:
      return absl::InvalidArgumentError("drain, undrain, remove or replace: no such action");
  }
  if (!request.force()) {
    if (wanted.lost() && !target->lost()) RETURN_IF_ERROR(CheckLosses(*map, *target, lost_groups));
    if (request.action() != wire::TARGET_REPLACE)
      RETURN_IF_ERROR(CheckRoomFor(*map, wanted, usage));
  }
  *target = std::move(wanted);
  return absl::OkStatus();
}

std::vector<uint32_t> RemoveEmptyTargets(wire::ClusterMap* map) {
  std::set<uint32_t> leaving;
  for (const wire::TargetInfo& target : map->targets())
    if (target.removing()) leaving.insert(target.id());
  if (leaving.empty()) return {};
  for (const wire::PlacementGroup& group : map->groups()) {
    for (uint32_t target : group.targets()) leaving.erase(target);
    for (const wire::GroupMove& move : group.moves()) {
      leaving.erase(move.to());
      for (uint32_t target : HoldersBefore(move)) leaving.erase(target);
    }
  }
  for (wire::NodeInfo& node : *map->mutable_nodes()) {
    for (const wire::TargetInfo& target : map->targets()) {
      if (target.node() == node.id() && leaving.contains(target.id()))
        node.add_removed_targets(target.number());
    }
  }
  for (uint32_t target : leaving)
    map->set_last_removed_target(std::max(map->last_removed_target(), target));
  auto& targets = *map->mutable_targets();
  targets.erase(
      std::remove_if(targets.begin(), targets.end(),
                     [&leaving](const auto& target) { return leaving.contains(target.id()); }),
      targets.end());
  return {leaving.begin(), leaving.end()};
}

}  // namespace cairn
