// The part of moves.h that is about nodes as a whole: what an operator wants of them.

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/cluster/cluster_map.h"
#include "server/cluster/group_members.h"
#include "server/cluster/losses.h"
#include "server/cluster/map_domains.h"
#include "server/cluster/moves.h"
#include "server/cluster/room.h"
#include "server/cluster/wording.h"

namespace cairn {
namespace {

// The one that founded the cluster keeps its metadata.
constexpr uint32_t kFoundingNode = 1;

wire::NodeInfo* FindNode(wire::ClusterMap* map, uint32_t id) {
  for (wire::NodeInfo& node : *map->mutable_nodes())
    if (node.id() == id) return &node;
  return nullptr;
}

std::set<uint32_t> TargetsOf(const wire::ClusterMap& map, uint32_t node) {
  std::set<uint32_t> targets;
  for (const wire::TargetInfo& target : map.targets())
    if (target.node() == node) targets.insert(target.id());
  return targets;
}

// Whether everything that `leaving`, as it is to be, holds can go elsewhere.
absl::Status CheckRoomFor(const wire::ClusterMap& map, const wire::NodeInfo& leaving) {
  wire::ClusterMap after = WithoutGroups(map);
  *FindNode(&after, leaving.id()) = leaving;
  return CheckRoom(map, after, TargetsOf(map, leaving.id()), StrCat("node ", leaving.id()),
                   "add nodes");
}

absl::Status CheckLosses(const wire::ClusterMap& map, uint32_t node,
                         const std::set<uint32_t>& lost_groups) {
  if (lost_groups.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("node ", node, " is down, and what only it holds would be lost: data in ",
             absl::StrJoin(DescribeGroups(map, lost_groups), ", "),
             "; bring it back, or say --force to give that up"));
}

}  // namespace

absl::Status SetNodeIntent(wire::ClusterMap* map, const wire::SetNodeRequest& request,
                           int64_t now_ns, const std::set<uint32_t>& lost_groups) {
  wire::NodeInfo* node = FindNode(map, request.node());
  if (node == nullptr)
    return absl::NotFoundError(StrCat("node ", request.node(), " is not in this cluster"));
  wire::NodeInfo wanted = *node;
  switch (request.action()) {
    case wire::NODE_UNDRAIN:
      node->set_draining(false);
      node->set_removing(false);
      node->set_lost(false);
      return absl::OkStatus();
    case wire::NODE_DRAIN:
      wanted.set_draining(true);
      break;
    case wire::NODE_REMOVE:
      if (node->id() == kFoundingNode) {
        return absl::FailedPreconditionError(
            "node 1 founded the cluster and keeps its metadata: it can be drained; removing it is "
            "not supported");
      }
      wanted.set_removing(true);
      wanted.set_lost(node->state() == wire::NODE_DOWN || node->state() == wire::NODE_OUT);
      if (node->state() == wire::NODE_DOWN) {
        wanted.set_state(wire::NODE_OUT);
        wanted.set_state_since_ns(now_ns);
      }
      break;
    default:
      return absl::InvalidArgumentError("drain, undrain or remove: no such action");
  }
  if (!request.force()) {
    if (wanted.lost() && !node->lost()) RETURN_IF_ERROR(CheckLosses(*map, node->id(), lost_groups));
    RETURN_IF_ERROR(CheckRoomFor(*map, wanted));
  }
  *node = std::move(wanted);
  return absl::OkStatus();
}

std::vector<uint32_t> RemoveEmptyNodes(wire::ClusterMap* map) {
  std::set<uint32_t> leaving;
  for (const wire::NodeInfo& node : map->nodes())
    if (node.removing() && node.id() != kFoundingNode) leaving.insert(node.id());
  if (leaving.empty()) return {};
  std::map<uint32_t, uint32_t> node_of;
  for (const wire::TargetInfo& target : map->targets())
    if (leaving.contains(target.node())) node_of.emplace(target.id(), target.node());
  const auto keep = [&](uint32_t target) {
    if (const auto found = node_of.find(target); found != node_of.end())
      leaving.erase(found->second);
  };
  for (const wire::PlacementGroup& group : map->groups()) {
    for (uint32_t target : group.targets()) keep(target);
    for (const wire::GroupMove& move : group.moves()) {
      keep(move.to());
      for (uint32_t target : HoldersBefore(move)) keep(target);
    }
  }
  if (leaving.empty()) return {};
  for (uint32_t node : leaving)
    map->set_last_removed_node(std::max(map->last_removed_node(), node));
  for (const auto& [target, node] : node_of) {
    if (leaving.contains(node))
      map->set_last_removed_target(std::max(map->last_removed_target(), target));
  }
  auto& nodes = *map->mutable_nodes();
  nodes.erase(std::remove_if(nodes.begin(), nodes.end(),
                             [&leaving](const auto& node) { return leaving.contains(node.id()); }),
              nodes.end());
  auto& targets = *map->mutable_targets();
  targets.erase(
      std::remove_if(targets.begin(), targets.end(),
                     [&leaving](const auto& target) { return leaving.contains(target.node()); }),
      targets.end());
  return {leaving.begin(), leaving.end()};
}

std::vector<std::string> WhyNotStop(const wire::ClusterMap& map, const std::vector<uint32_t>& nodes,
                                    const std::set<uint32_t>& unreadable) {
  std::vector<std::string> reasons;
  wire::ClusterMap after = WithoutGroups(map);
  for (uint32_t id : std::set<uint32_t>(nodes.begin(), nodes.end())) {
    wire::NodeInfo* node = FindNode(&after, id);
    if (node == nullptr) {
      reasons.push_back(StrCat("node ", id, " is not in this cluster"));
      continue;
    }
    if (id == kFoundingNode)
      reasons.push_back("node 1 keeps the metadata: without it nothing can be opened or committed");
    if (node->state() != wire::NODE_OUT) node->set_state(wire::NODE_DOWN);
  }
  const MapDomains domains(after);
  std::map<std::pair<std::string, wire::DomainLevel>, uint64_t> kinds;
  for (const wire::PlacementGroup& group : map.groups())
    kinds[{RedundancyNameOf(group), group.level()}] += unreadable.contains(group.id()) ? 1 : 0;
  for (const auto& [kind, count] : kinds) {
    const auto& [name, level] = kind;
    if (count > 0) {
      reasons.push_back(StrCat(Counted(count, "placement group"), " of ", name,
                               " would lack more than may be lost: what is in ",
                               count == 1 ? "it" : "them", " would be unreadable"));
    }
    const absl::StatusOr<Redundancy> redundancy = ParseRedundancy(name);
    if (!redundancy.ok()) continue;
    const size_t usable = domains.UsableDomains(level).size();
    if (usable >= FewestDomains(*redundancy)) continue;
    reasons.push_back(
        StrCat("nothing could be written with ", name, ": ", Counted(usable, DomainNoun(level)),
               " would be left to take data, and it needs ", FewestDomains(*redundancy)));
  }
  return reasons;
}

}  // namespace cairn
