// The operator's calls about nodes and what they hold, on core 0 of the node with the metadata
// role.
#pragma once

#include <functional>

#include "common/rpc/call_table.h"
#include "proto/wire/cluster.pb.h"
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
  };
  OperatorService(MapKeeper& keeper, Repair repair);

  void Register(CallTable& table);

  Task<absl::StatusOr<wire::SetNodeReply>> SetNode(CallContext& call,
                                                   const wire::SetNodeRequest& request);
  Task<absl::StatusOr<wire::OkToStopReply>> OkToStop(CallContext& call,
                                                     const wire::OkToStopRequest& request);
  Task<absl::StatusOr<wire::RebuildStatusReply>> RebuildStatus(
      CallContext& call, const wire::RebuildStatusRequest& request);
  Task<absl::StatusOr<wire::CheckStorageReply>> CheckStorage(
      CallContext& call, const wire::CheckStorageRequest& request);
  Task<absl::StatusOr<wire::ReportStripesReply>> ReportStripes(
      CallContext& call, const wire::ReportStripesRequest& request);

 private:
  MapKeeper& keeper_;
  const Repair repair_;
};

}  // namespace cairn
