// Pure: nodes of the cluster map, how they join and what they say of themselves later. All changes
// are made in place and leave the version alone: BumpVersionIfChanged() (cluster_map.h) is for the
// caller, once it has made all of its changes.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// Makes the node a member, or finds it by its identity: it keeps its ids, gets more for targets it
// has not had before, and its name and rack are brought up to date. Ids are never used twice, not
// even those of nodes that have left and of targets that groups still name; a target that has left
// has id 0 in the reply. A new node is DOWN until it is heard, its new targets are joining. Errors,
// which leave the map as it was: INVALID_ARGUMENT for what no node says; FAILED_PRECONDITION,
// naming it, when a target is not among the node's any more, so its data would be unreachable, or
// when the node has been removed; RESOURCE_EXHAUSTED when the cluster has 4,096 nodes.
absl::StatusOr<wire::JoinReply> AddNode(wire::ClusterMap* map, const wire::JoinRequest& request,
                                        int64_t now_ns);

// The id of the node's target `number`, which is added and joining if there is none. NOT_FOUND: no
// such node. FAILED_PRECONDITION: the number was that of a target which has left.
// RESOURCE_EXHAUSTED: the node has as many as it may.
absl::StatusOr<uint32_t> AddTarget(wire::ClusterMap* map, uint32_t node, uint32_t number);

// Brings up to date what the map says of a node and its targets, but for what is used of them: that
// changes all the time, and every change makes a version. A joining target that is up now stops
// joining and gets groups; the node counts as UP for that, since it has just been heard, but its
// state stays. One that counted as lost and is up does not any more. Targets that have left the
// cluster are passed over. Errors, which leave the map as it was: NOT_FOUND for a node that has not
// joined; INVALID_ARGUMENT for a target that is not the node's.
absl::Status UpdateNode(wire::ClusterMap* map, const wire::HeartbeatRequest& heartbeat,
                        uint32_t groups_per_target);

// Whether UpdateNode() would succeed and change nothing: cheap, for the many heartbeats that say
// nothing new.
bool IsCurrent(const wire::ClusterMap& map, const wire::HeartbeatRequest& heartbeat);

// Of the targets told of, those that have left the cluster.
std::vector<uint32_t> RemovedTargets(const wire::ClusterMap& map,
                                     const wire::HeartbeatRequest& heartbeat);

// Returns whether that is a change; `now_ns` is kept only then. An unknown node is none. A node
// that counts as lost is OUT as soon as it is DOWN: nobody waits for it.
bool SetNodeState(wire::ClusterMap* map, uint32_t node, wire::NodeState state, int64_t now_ns);

}  // namespace cairn
