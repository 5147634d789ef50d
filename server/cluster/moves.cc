// Planning: move_planner.cc. What an operator wants: node_intent.cc.
#include "server/cluster/moves.h"

#include <algorithm>

#include "server/cluster/group_members.h"
#include "server/cluster/move_planner.h"

namespace cairn {
namespace {

wire::PlacementGroup* FindGroup(wire::ClusterMap* map, uint32_t id) {
  auto& groups = *map->mutable_groups();
  // As ids are given out; a rebuild asks for thousands.
  const auto at = static_cast<int>(id);
  if (at >= 0 && at < groups.size() && groups[at].id() == id) return &groups[at];
  const auto found = std::find_if(groups.begin(), groups.end(),
                                  [id](const auto& group) { return group.id() == id; });
  return found == groups.end() ? nullptr : &*found;
}

// Null unless it is as far as `settling` says.
wire::GroupMove* FindMoveTo(wire::PlacementGroup* group, uint32_t index, uint32_t to,
                            bool settling) {
  if (group == nullptr || index >= static_cast<uint32_t>(group->targets_size())) return nullptr;
  wire::GroupMove* move = FindMove(group, static_cast<int>(index));
  const bool is_it = move != nullptr && move->to() == to && move->settling() == settling;
  return is_it ? move : nullptr;
}

}  // namespace

bool IsLeaving(const wire::ClusterMap& map, uint32_t target, const MoveFacts& facts) {
  return IsLeaving(MapDomains(map), target, facts);
}

bool PlanMoves(wire::ClusterMap* map, const MoveFacts& facts) {
  return MovePlanner(map, facts).Plan();
}

uint32_t CountStuck(const wire::ClusterMap& map, const MoveFacts& facts) {
  const MapDomains domains(map);
  uint32_t stuck = 0;
  for (const wire::PlacementGroup& group : map.groups()) {
    for (int i = 0; i < group.targets_size(); ++i) {
      if (IsLeaving(domains, group.targets(i), facts) && FindMove(group, i) == nullptr) ++stuck;
    }
  }
  return stuck;
}

bool SwitchMember(wire::ClusterMap* map, uint32_t group, uint32_t index, uint32_t to) {
  wire::PlacementGroup* found = FindGroup(map, group);
  wire::GroupMove* move = FindMoveTo(found, index, to, /*settling=*/false);
  if (move == nullptr || found->targets(static_cast<int>(index)) != move->from()) return false;
  found->set_targets(static_cast<int>(index), to);
  move->set_settling(true);
  return true;
}

bool FinishMove(wire::ClusterMap* map, uint32_t group, uint32_t index, uint32_t to) {
  wire::PlacementGroup* found = FindGroup(map, group);
  const wire::GroupMove* move = FindMoveTo(found, index, to, /*settling=*/true);
  if (move == nullptr) return false;
  auto& moves = *found->mutable_moves();
  const auto at =
      std::find_if(moves.begin(), moves.end(), [move](const auto& each) { return &each == move; });
  moves.erase(at);
  return true;
}

}  // namespace cairn
