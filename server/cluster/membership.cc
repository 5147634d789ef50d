#include "server/cluster/membership.h"

#include <algorithm>
#include <map>
#include <string>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/cluster/cluster_map.h"

namespace cairn {
namespace {

// More than anybody has; bounds the map, which every client holds.
constexpr int kNodesMax = 4096;
constexpr uint32_t kTargetsPerNodeMax = 256;
// Those that have left count, too: their numbers are not used again.
constexpr uint32_t kNumbersPerNodeMax = 1024;
constexpr size_t kTextBytesMax = 255;

template <class Nodes>
auto FindNode(Nodes& nodes, uint32_t id) {
  return std::find_if(nodes.begin(), nodes.end(),
                      [id](const wire::NodeInfo& node) { return node.id() == id; });
}

template <class Targets>
auto FindTarget(Targets& targets, uint32_t node, uint32_t id) {
  return std::find_if(targets.begin(), targets.end(),
                      [node, id](const auto& t) { return t.node() == node && t.id() == id; });
}

uint32_t NextNodeId(const wire::ClusterMap& map) {
  uint32_t highest = map.last_removed_node();
  for (const wire::NodeInfo& node : map.nodes()) highest = std::max(highest, node.id());
  for (const wire::TargetInfo& target : map.targets()) highest = std::max(highest, target.node());
  return highest + 1;
}

uint32_t NextTargetId(const wire::ClusterMap& map) {
  uint32_t highest = map.last_removed_target();
  for (const wire::TargetInfo& target : map.targets()) highest = std::max(highest, target.id());
  for (const wire::PlacementGroup& group : map.groups())
    for (uint32_t target : group.targets()) highest = std::max(highest, target);
  return highest + 1;
}

absl::Status CheckRequest(const wire::JoinRequest& request, uint32_t removed_targets) {
  if (request.identity() == 0)
    return absl::InvalidArgumentError("a node that joins needs an identity other than 0");
  const uint32_t targets = request.target_count();
  if (targets == 0 ||
      targets > std::min(kTargetsPerNodeMax + removed_targets, kNumbersPerNodeMax)) {
    return absl::InvalidArgumentError(
        StrCat("a node has 1 to ", kTargetsPerNodeMax, " targets; this one says ", targets));
  }
  if (request.name().size() > kTextBytesMax)
    return absl::InvalidArgumentError(StrCat("name is over ", kTextBytesMax, " bytes"));
  if (request.rack().size() > kTextBytesMax)
    return absl::InvalidArgumentError(StrCat("rack is over ", kTextBytesMax, " bytes"));
  return absl::OkStatus();
}

// Ids of a node's targets by number.
absl::StatusOr<std::map<uint32_t, uint32_t>> KnownTargets(const wire::ClusterMap& map,
                                                          uint32_t node, uint32_t target_count) {
  std::map<uint32_t, uint32_t> known;
  for (const wire::TargetInfo& target : map.targets()) {
    if (target.node() != node) continue;
    if (target.number() >= target_count) {
      return absl::FailedPreconditionError(
          StrCat("target ", target.id(), " (number ", target.number() + 1, " of node ", node,
                 target.path().empty() ? "" : ", ", target.path(),
                 ") belongs to this cluster but is not configured any more; put it back"));
    }
    known[target.number()] = target.id();
  }
  return known;
}

// Whether it was the number of a target that has left the cluster.
bool HasLeft(const wire::NodeInfo& node, uint32_t number) {
  return std::find(node.removed_targets().begin(), node.removed_targets().end(), number) !=
         node.removed_targets().end();
}

uint32_t AppendTarget(wire::ClusterMap* map, uint32_t node, uint32_t number, uint32_t id) {
  wire::TargetInfo* target = map->add_targets();
  target->set_id(id);
  target->set_node(node);
  target->set_number(number);
  target->set_joining(true);
  return id;
}

// It could not be read when an operator removed it, and now it can.
bool IsFound(const wire::TargetInfo& known, const wire::TargetInfo& reported) {
  return known.lost() && reported.state() == wire::TARGET_UP;
}

bool IsReady(const wire::TargetInfo& known, const wire::TargetInfo& reported) {
  return known.joining() && reported.state() == wire::TARGET_UP;
}

}  // namespace

absl::StatusOr<wire::JoinReply> AddNode(wire::ClusterMap* map, const wire::JoinRequest& request,
                                        int64_t now_ns) {
  const auto member =
      std::find_if(map->mutable_nodes()->begin(), map->mutable_nodes()->end(),
                   [&](const auto& node) { return node.identity() == request.identity(); });
  const bool is_new = member == map->mutable_nodes()->end();
  RETURN_IF_ERROR(
      CheckRequest(request, is_new ? 0 : static_cast<uint32_t>(member->removed_targets_size())));
  // Ids given anew would be those of others' data, or of its own under another name.
  if (is_new && request.node() != 0 && request.node() <= map->last_removed_node()) {
    return absl::FailedPreconditionError(
        StrCat("node ", request.node(),
               " has been removed from this cluster: with an empty data "
               "directory and empty targets it can join as a new one"));
  }
  if (request.node() != 0 && (is_new || member->id() != request.node())) {
    return absl::FailedPreconditionError(
        StrCat("this cluster does not know the node that says it is its node ", request.node(),
               ": its metadata was lost or is older than the node; restore it"));
  }
  if (is_new && map->nodes_size() >= kNodesMax) {
    return absl::ResourceExhaustedError(
        StrCat("the cluster has ", map->nodes_size(), " nodes, and takes no more"));
  }
  wire::JoinReply reply;
  reply.set_node(is_new ? NextNodeId(*map) : member->id());
  ASSIGN_OR_RETURN(const auto known, KnownTargets(*map, reply.node(), request.target_count()));
  wire::NodeInfo* node = is_new ? map->add_nodes() : &*member;
  if (is_new) {
    node->set_id(reply.node());
    node->set_identity(request.identity());
    node->set_state(wire::NODE_DOWN);
    node->set_state_since_ns(now_ns);
  }
  node->set_name(request.name());
  node->set_rack(request.rack());
  uint32_t next_id = NextTargetId(*map);
  for (uint32_t number = 0; number < request.target_count(); ++number) {
    if (HasLeft(*node, number)) {
      reply.add_targets(0);
    } else if (const auto found = known.find(number); found != known.end()) {
      reply.add_targets(found->second);
    } else {
      reply.add_targets(AppendTarget(map, reply.node(), number, next_id++));
    }
  }
  return reply;
}

absl::StatusOr<uint32_t> AddTarget(wire::ClusterMap* map, uint32_t node, uint32_t number) {
  const auto known = FindNode(map->nodes(), node);
  if (known == map->nodes().end())
    return absl::NotFoundError(StrCat("node ", node, " is not in this cluster"));
  if (HasLeft(*known, number)) {
    return absl::FailedPreconditionError(
        StrCat("target number ", number + 1, " of node ", node, " has left the cluster"));
  }
  uint32_t count = 0;
  for (const wire::TargetInfo& target : map->targets()) {
    if (target.node() != node) continue;
    if (target.number() == number) return target.id();
    ++count;
  }
  if (count >= kTargetsPerNodeMax || number >= kNumbersPerNodeMax)
    return absl::ResourceExhaustedError(StrCat("node ", node, " has ", count, " targets already"));
  return AppendTarget(map, node, number, NextTargetId(*map));
}

absl::Status UpdateNode(wire::ClusterMap* map, const wire::HeartbeatRequest& heartbeat,
                        uint32_t groups_per_target) {
  const auto node = FindNode(*map->mutable_nodes(), heartbeat.node());
  if (node == map->mutable_nodes()->end()) {
    return absl::NotFoundError(
        StrCat("node ", heartbeat.node(), " is not in this cluster; it has to join first"));
  }
  for (const wire::TargetInfo& reported : heartbeat.targets()) {
    if (FindTarget(map->targets(), node->id(), reported.id()) == map->targets().end() &&
        !HasLeft(*node, reported.number())) {
      return absl::InvalidArgumentError(
          StrCat("target ", reported.id(), " is not one of node ", node->id()));
    }
  }
  node->set_endpoint(heartbeat.endpoint());
  bool is_any_new = false;
  for (const wire::TargetInfo& reported : heartbeat.targets()) {
    const auto target = FindTarget(*map->mutable_targets(), node->id(), reported.id());
    if (target == map->mutable_targets()->end()) continue;
    if (IsFound(*target, reported)) target->set_lost(false);
    if (IsReady(*target, reported)) {
      target->set_joining(false);
      is_any_new = true;
    }
    target->set_core(reported.core());
    target->set_state(reported.state());
    target->set_path(reported.path());
    target->set_capacity_bytes(reported.capacity_bytes());
    target->clear_used_bytes();
  }
  if (is_any_new) AddGroupsForNewTargets(map, node->id(), groups_per_target);
  return absl::OkStatus();
}

bool IsCurrent(const wire::ClusterMap& map, const wire::HeartbeatRequest& heartbeat) {
  const auto node = FindNode(map.nodes(), heartbeat.node());
  if (node == map.nodes().end() || node->endpoint() != heartbeat.endpoint()) return false;
  return std::all_of(
      heartbeat.targets().begin(), heartbeat.targets().end(), [&](const auto& reported) {
        const auto known = FindTarget(map.targets(), node->id(), reported.id());
        if (known == map.targets().end()) return HasLeft(*node, reported.number());
        return !IsReady(*known, reported) && !IsFound(*known, reported) &&
               known->core() == reported.core() && known->state() == reported.state() &&
               known->path() == reported.path() &&
               known->capacity_bytes() == reported.capacity_bytes() && known->used_bytes() == 0;
      });
}

std::vector<uint32_t> RemovedTargets(const wire::ClusterMap& map,
                                     const wire::HeartbeatRequest& heartbeat) {
  std::vector<uint32_t> removed;
  const auto node = FindNode(map.nodes(), heartbeat.node());
  if (node == map.nodes().end()) return removed;
  for (const wire::TargetInfo& reported : heartbeat.targets()) {
    if (HasLeft(*node, reported.number()) &&
        FindTarget(map.targets(), node->id(), reported.id()) == map.targets().end()) {
      removed.push_back(reported.id());
    }
  }
  return removed;
}

bool SetNodeState(wire::ClusterMap* map, uint32_t node, wire::NodeState state, int64_t now_ns) {
  const auto known = FindNode(*map->mutable_nodes(), node);
  if (known == map->mutable_nodes()->end()) return false;
  if (known->lost() && state == wire::NODE_DOWN) state = wire::NODE_OUT;
  if (known->state() == state) return false;
  // What it holds is there after all, and is moved away as long as it is.
  if (state == wire::NODE_UP) known->set_lost(false);
  known->set_state(state);
  known->set_state_since_ns(now_ns);
  return true;
}

}  // namespace cairn
