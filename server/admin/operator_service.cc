#include "server/admin/operator_service.h"

#include <utility>
#include <vector>

#include "common/telemetry/log.h"
#include "server/cluster/moves.h"

namespace cairn {

OperatorService::OperatorService(MapKeeper& keeper, Repair repair)
    : keeper_(keeper), repair_(std::move(repair)) {}

void OperatorService::Register(CallTable& table) {
  table.Add(wire::SET_NODE, this, &OperatorService::SetNode);
  table.Add(wire::OK_TO_STOP, this, &OperatorService::OkToStop);
  table.Add(wire::REBUILD_STATUS, this, &OperatorService::RebuildStatus);
  table.Add(wire::CHECK_STORAGE, this, &OperatorService::CheckStorage);
  table.Add(wire::REPORT_STRIPES, this, &OperatorService::ReportStripes);
}

Task<absl::StatusOr<wire::SetNodeReply>> OperatorService::SetNode(
    CallContext& call, const wire::SetNodeRequest& request) {
  absl::Status set = co_await keeper_.SetNode(request);
  if (!set.ok()) co_return set;
  CAIRN_LOG_INFO("an operator says of node {}: {}", request.node(),
                 wire::NodeAction_Name(request.action()));
  co_return wire::SetNodeReply();
}

Task<absl::StatusOr<wire::OkToStopReply>> OperatorService::OkToStop(
    CallContext& call, const wire::OkToStopRequest& request) {
  if (request.nodes().empty()) co_return absl::InvalidArgumentError("no node is named");
  wire::OkToStopReply reply;
  const std::vector<uint32_t> nodes(request.nodes().begin(), request.nodes().end());
  for (std::string& reason : WhyNotStop(keeper_.map(), nodes)) reply.add_reasons(std::move(reason));
  reply.set_ok(reply.reasons().empty());
  co_return reply;
}

Task<absl::StatusOr<wire::RebuildStatusReply>> OperatorService::RebuildStatus(
    CallContext& call, const wire::RebuildStatusRequest& request) {
  co_return repair_.status();
}

Task<absl::StatusOr<wire::CheckStorageReply>> OperatorService::CheckStorage(
    CallContext& call, const wire::CheckStorageRequest& request) {
  co_return co_await repair_.check(request);
}

Task<absl::StatusOr<wire::ReportStripesReply>> OperatorService::ReportStripes(
    CallContext& call, const wire::ReportStripesRequest& request) {
  constexpr int kStripesMax = 64;
  if (request.stripes_size() > kStripesMax)
    co_return absl::InvalidArgumentError("a report of more than 64 stripes");
  for (uint64_t stripe : request.stripes()) repair_.report(stripe);
  co_return wire::ReportStripesReply();
}

}  // namespace cairn
