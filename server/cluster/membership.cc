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

absl::Status CheckRequest(const wire::JoinRequest& request) {
  if (request.identity() == 0)
    return absl::InvalidArgumentError("a node that joins needs an identity other than 0");
  if (request.target_count() == 0 || request.target_count() > kTargetsPerNodeMax) {
    return absl::InvalidArgumentError(StrCat("a node has 1 to ", kTargetsPerNodeMax,
                                             " targets; this one says ", request.target_count()));
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

bool IsReady(const wire::TargetInfo& known, const wire::TargetInfo& reported) {
  return known.joining() && reported.state() == wire::TARGET_UP;
}

}  // namespace

absl::StatusOr<wire::JoinReply> AddNode(wire::ClusterMap* map, const wire::JoinRequest& request,
                                        int64_t now_ns) {
  RETURN_IF_ERROR(CheckRequest(request));
  const auto member =
      std::find_if(map->mutable_nodes()->begin(), map->mutable_nodes()->end(),
                   [&](const auto& node) { return node.identity() == request.identity(); });
  const bool is_new = member == map->mutable_nodes()->end();
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
    if (const auto found = known.find(number); found != known.end()) {
      reply.add_targets(found->second);
      continue;
    }
    wire::TargetInfo* target = map->add_targets();
    target->set_id(next_id++);
    target->set_node(reply.node());
    target->set_number(number);
    target->set_joining(true);
    reply.add_targets(target->id());
  }
  return reply;
}

absl::Status UpdateNode(wire::ClusterMap* map, const wire::HeartbeatRequest& heartbeat,
                        uint32_t groups_per_target) {
  const auto node = FindNode(*map->mutable_nodes(), heartbeat.node());
  if (node == map->mutable_nodes()->end()) {
    return absl::NotFoundError(
        StrCat("node ", heartbeat.node(), " is not in this cluster; it has to join first"));
  }
  for (const wire::TargetInfo& reported : heartbeat.targets()) {
    if (FindTarget(map->targets(), node->id(), reported.id()) == map->targets().end()) {
      return absl::InvalidArgumentError(
          StrCat("target ", reported.id(), " is not one of node ", node->id()));
    }
  }
  node->set_endpoint(heartbeat.endpoint());
  bool is_any_new = false;
  for (const wire::TargetInfo& reported : heartbeat.targets()) {
    const auto target = FindTarget(*map->mutable_targets(), node->id(), reported.id());
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
        return known != map.targets().end() && !IsReady(*known, reported) &&
               known->core() == reported.core() && known->state() == reported.state() &&
               known->path() == reported.path() &&
               known->capacity_bytes() == reported.capacity_bytes() && known->used_bytes() == 0;
      });
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
