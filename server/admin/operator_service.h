// The operator's calls about nodes, targets and what they hold, on core 0 of the node with the
// metadata role.
#pragma once

#include <cstdint>
#include <functional>
#include <set>

#include "common/rpc/call_table.h"
#include "proto/wire/cluster.pb.h"
#include "server/cluster/moves.h"
#include "server/service/map_keeper.h"

namespace cairn {

// Lives on core 0's reactor.
class OperatorService {
 public:
  // Those of server/repair/rebuild_loop.h, storage_check.h and scrub_loop.h.
  struct Repair {
    std::function<wire::RebuildStatusReply()> status;
    std::function<Task<absl::StatusOr<wire::CheckStorageReply>>(wire::CheckStorageRequest)> check;
    std::function<void(uint64_t stripe)> report;
    // What moves are planned by, of the moment.
    std::function<MoveFacts()> facts;
    // Of these groups, those that hold data (server/repair/groups_in_use.h).
    std::function<Task<absl::StatusOr<std::set<uint32_t>>>(std::set<uint32_t>)> groups_in_use;
  };
  // Has a node make a target: this one or another.
  using AddTargetTo = std::function<Task<absl::StatusOr<wire::AddTargetReply>>(
      const wire::NodeInfo& node, wire::AddTargetRequest request, Deadline deadline)>;
  OperatorService(MapKeeper& keeper, Repair repair, AddTargetTo add_target);

  void Register(CallTable& table);

  Task<absl::StatusOr<wire::SetNodeReply>> SetNode(CallContext& call,
                                                   const wire::SetNodeRequest& request);
  Task<absl::StatusOr<wire::SetTargetReply>> SetTarget(CallContext& call,
                                                       const wire::SetTargetRequest& request);
  Task<absl::StatusOr<wire::RebalanceReply>> Rebalance(CallContext& call,
                                                       const wire::RebalanceRequest& request);
  Task<absl::StatusOr<wire::OkToStopReply>> OkToStop(CallContext& call,
                                                     const wire::OkToStopRequest& request);
  Task<absl::StatusOr<wire::RebuildStatusReply>> RebuildStatus(
      CallContext& call, const wire::RebuildStatusRequest& request);
  Task<absl::StatusOr<wire::CheckStorageReply>> CheckStorage(
      CallContext& call, const wire::CheckStorageRequest& request);
  Task<absl::StatusOr<wire::MakeGroupsReply>> MakeGroups(CallContext& call,
                                                         const wire::MakeGroupsRequest& request);
  Task<absl::StatusOr<wire::ReportStripesReply>> ReportStripes(
      CallContext& call, const wire::ReportStripesRequest& request);

 private:
  Task<absl::StatusOr<wire::SetTargetReply>> AddTarget(const wire::SetTargetRequest& request,
                                                       Deadline deadline);

  MapKeeper& keeper_;
  const Repair repair_;
  const AddTargetTo add_target_;
};

}  // namespace cairn
