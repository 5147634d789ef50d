// A node's part in a cluster whose metadata another node keeps: joins, says every second that it
// lives and how its targets do, asks whether leases live, and drops what writers left unsealed
// under leases that do not.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/task/scope.h"
#include "common/task/stop.h"
#include "proto/wire/cluster.pb.h"
#include "server/cluster/peers.h"
#include "server/cluster/remote_leases.h"

namespace cairn {

// Lives on the executor of `peers`, which outlives it.
class Member {
 public:
  // What this node does and says.
  struct Node {
    std::function<Task<wire::HeartbeatRequest>()> heartbeat;
    // These of its targets have left the cluster.
    std::function<Task<void>(std::vector<uint32_t>)> on_removed_targets;
    // There is a map of this version.
    std::function<void(uint64_t)> on_map_version;
    // Leases with unsealed fragments on any of its targets.
    std::function<Task<std::vector<LeaseId>>()> pending_leases;
    // Drops the unsealed fragments of a lease.
    std::function<Task<absl::Status>(LeaseId)> drop_lease;
  };
  // `join`: where to look for the cluster, HOST:PORT.
  Member(Peers& peers, std::vector<std::string> join);

  // Connects to the node with the metadata role; after it, what Peers knows of the cluster is
  // there. UNAVAILABLE and DEADLINE_EXCEEDED may pass; any other error is a refusal.
  Task<absl::Status> FindMetadata(Deadline deadline);
  // One try. UNAVAILABLE and DEADLINE_EXCEEDED may pass; any other error is the cluster's refusal.
  Task<absl::StatusOr<wire::JoinReply>> Join(wire::JoinRequest request, Deadline deadline);
  // After Join(), once the node serves.
  void Start(Node node);
  // Ends all calls to other nodes, too.
  Task<void> Stop();

  RemoteLeases& leases() { return leases_; }
  // HOST:PORT of the node with the metadata role; "" before Join() has found it.
  const std::string& metadata() const { return metadata_; }

 private:
  // To the node with the metadata role, wherever it is by now.
  template <class Reply, class Request>
  Task<absl::StatusOr<Reply>> CallMetadata(wire::Method method, Request request, Deadline deadline);
  Task<absl::StatusOr<std::vector<LeaseId>>> AskLeases(std::vector<LeaseId> leases);
  Task<void> SendHeartbeats();
  Task<void> SweepLeases();
  Task<absl::Status> DropEndedLeases();

  Peers& peers_;
  const std::vector<std::string> join_;
  std::string metadata_;
  Node node_;
  RemoteLeases leases_;
  StopSource stop_;
  Scope scope_;
};

}  // namespace cairn
