// Membership, on the node that keeps the metadata: nodes join, tell every second that they live and
// how their targets do, and ask about leases. Who is silent becomes suspect, down, out; every such
// change is stored before anyone acts on it.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/rpc/call_table.h"
#include "common/task/scope.h"
#include "common/task/stop.h"
#include "proto/wire/cluster.pb.h"
#include "server/cluster/failure_detector.h"
#include "server/cluster/moves.h"
#include "server/cluster/node_history.h"
#include "server/meta/meta_engine.h"
#include "server/service/map_keeper.h"
#include "server/service/node_service.h"

namespace cairn {

// Lives on core 0's reactor.
class MemberService {
 public:
  // This node's own heartbeat.
  using OwnHeartbeat = std::function<Task<wire::HeartbeatRequest>()>;
  using OnRemovedTargets = std::function<Task<void>(std::vector<uint32_t>)>;
  // All outlive it.
  MemberService(NodeService& nodes, MapKeeper& keeper, MetaEngine& engine,
                FailureDetector::Options detection);

  void Register(CallTable& table);
  // For SessionTable, which calls it on the same reactor.
  void OnSessionEnded(SessionId session);
  // From now on nodes are judged. `on_removed_targets`: as for Member.
  void Start(OwnHeartbeat own, OnRemovedTargets on_removed_targets) {
    scope_.Spawn(Run(std::move(own), std::move(on_removed_targets)));
  }
  Task<void> Stop();

  // Writes into `map` what the last heartbeats said of its targets' use, and what its groups say of
  // its targets.
  void FillUsage(wire::ClusterMap* map) const;
  // Since the start of this process.
  const NodeHistory& history() const { return history_; }
  // By target.
  std::map<uint32_t, MoveFacts::Usage> usage() const { return {usage_.begin(), usage_.end()}; }

  Task<absl::StatusOr<wire::JoinReply>> Join(CallContext& call, const wire::JoinRequest& request);
  Task<absl::StatusOr<wire::HeartbeatReply>> Heartbeat(CallContext& call,
                                                       const wire::HeartbeatRequest& request);
  Task<absl::StatusOr<wire::CheckLeasesReply>> CheckLeases(CallContext& call,
                                                           const wire::CheckLeasesRequest& request);

 private:
  Task<void> Run(OwnHeartbeat own, OnRemovedTargets on_removed_targets);
  Task<absl::Status> Hear(const wire::HeartbeatRequest& heartbeat);
  Task<absl::Status> Judge();

  NodeService& nodes_;
  MapKeeper& keeper_;
  MetaEngine& engine_;
  FailureDetector detector_;
  NodeHistory history_;
  absl::flat_hash_map<uint32_t, SessionId> sessions_;      // by node, that of its last heartbeat
  absl::flat_hash_map<uint32_t, MoveFacts::Usage> usage_;  // by target
  StopSource stop_;
  Scope scope_;
};

}  // namespace cairn
