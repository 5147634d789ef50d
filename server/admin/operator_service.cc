#include "server/admin/operator_service.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "server/cluster/balance.h"
#include "server/cluster/losses.h"
#include "server/cluster/moves.h"
#include "server/cluster/target_intent.h"

namespace cairn {

OperatorService::OperatorService(MapKeeper& keeper, Repair repair, AddTargetTo add_target)
    : keeper_(keeper), repair_(std::move(repair)), add_target_(std::move(add_target)) {}

void OperatorService::Register(CallTable& table) {
  table.Add(wire::SET_NODE, this, &OperatorService::SetNode);
  table.Add(wire::SET_TARGET, this, &OperatorService::SetTarget);
  table.Add(wire::REBALANCE, this, &OperatorService::Rebalance);
  table.Add(wire::OK_TO_STOP, this, &OperatorService::OkToStop);
  table.Add(wire::REBUILD_STATUS, this, &OperatorService::RebuildStatus);
  table.Add(wire::CHECK_STORAGE, this, &OperatorService::CheckStorage);
  table.Add(wire::REPORT_STRIPES, this, &OperatorService::ReportStripes);
  table.Add(wire::MAKE_GROUPS, this, &OperatorService::MakeGroups);
}

Task<absl::StatusOr<wire::SetNodeReply>> OperatorService::SetNode(
    CallContext& call, const wire::SetNodeRequest& request) {
  std::set<uint32_t> lost;
  if (request.action() == wire::NODE_REMOVE) {
    CO_ASSIGN_OR_RETURN(
        lost, co_await repair_.groups_in_use(GroupsLostWithNode(keeper_.map(), request.node())));
  }
  wire::SetNodeReply reply;
  for (std::string& text : DescribeGroups(keeper_.map(), lost)) reply.add_losses(std::move(text));
  if (request.dry_run()) {
    wire::ClusterMap map = keeper_.map();
    CO_RETURN_IF_ERROR(SetNodeIntent(&map, request, /*now_ns=*/0, lost));
    co_return reply;
  }
  absl::Status set = co_await keeper_.SetNode(request, std::move(lost));
  if (!set.ok()) co_return set;
  CAIRN_LOG_INFO("an operator says of node {}: {}", request.node(),
                 wire::NodeAction_Name(request.action()));
  co_return reply;
}

Task<absl::StatusOr<wire::SetTargetReply>> OperatorService::SetTarget(
    CallContext& call, const wire::SetTargetRequest& request) {
  if (request.action() == wire::TARGET_ADD) co_return co_await AddTarget(request, call.deadline());
  std::set<uint32_t> lost;
  if (request.action() == wire::TARGET_REMOVE || request.action() == wire::TARGET_REPLACE) {
    CO_ASSIGN_OR_RETURN(lost, co_await repair_.groups_in_use(
                                  GroupsLostWithTarget(keeper_.map(), request.target())));
  }
  wire::SetTargetReply reply;
  for (std::string& text : DescribeGroups(keeper_.map(), lost)) reply.add_losses(std::move(text));
  std::map<uint32_t, MoveFacts::Usage> usage = repair_.facts().usage;
  if (request.dry_run()) {
    wire::ClusterMap map = keeper_.map();
    CO_RETURN_IF_ERROR(SetTargetIntent(&map, request, usage, lost));
    co_return reply;
  }
  absl::Status set = co_await keeper_.SetTarget(request, std::move(usage), std::move(lost));
  if (!set.ok()) co_return set;
  CAIRN_LOG_INFO("an operator says of target {}: {}", request.target(),
                 wire::TargetAction_Name(request.action()));
  co_return reply;
}

Task<absl::StatusOr<wire::SetTargetReply>> OperatorService::AddTarget(
    const wire::SetTargetRequest& request, Deadline deadline) {
  const auto& nodes = keeper_.map().nodes();
  const auto found = std::find_if(nodes.begin(), nodes.end(), [&request](const auto& node) {
    return node.id() == request.node();
  });
  if (found == nodes.end())
    co_return absl::NotFoundError(StrCat("node ", request.node(), " is not in this cluster"));
  // The map may change meanwhile.
  const wire::NodeInfo node = *found;
  if (node.state() != wire::NODE_UP) {
    co_return absl::FailedPreconditionError(
        StrCat("node ", node.id(), " is not up; start cairnd there first"));
  }
  if (node.removing()) {
    co_return absl::FailedPreconditionError(
        StrCat("node ", node.id(), " is being removed; cairn node undrain takes that back"));
  }
  wire::AddTargetRequest add;
  add.set_node(node.id());
  *add.mutable_target() = request.add();
  absl::StatusOr<wire::AddTargetReply> added = co_await add_target_(node, std::move(add), deadline);
  if (!added.ok()) co_return added.status();
  CAIRN_LOG_INFO("node {} has target {} now ({})", node.id(), added->target(), added->path());
  wire::SetTargetReply reply;
  *reply.mutable_added() = *std::move(added);
  co_return reply;
}

Task<absl::StatusOr<wire::RebalanceReply>> OperatorService::Rebalance(
    CallContext& call, const wire::RebalanceRequest& request) {
  uint32_t threshold_percent = request.threshold_percent();
  if (request.action() != wire::REBALANCE_SHOW) {
    absl::Status set = co_await keeper_.Rebalance(request);
    if (!set.ok()) co_return set;
    CAIRN_LOG_INFO("an operator says of how full targets are: {}",
                   wire::RebalanceAction_Name(request.action()));
  } else if (threshold_percent > 0) {
    wire::ClusterMap map = keeper_.map();
    CO_RETURN_IF_ERROR(StartRebalance(&map, threshold_percent));
  }
  if (request.action() == wire::REBALANCE_STOP) threshold_percent = 0;
  co_return DescribeBalance(keeper_.map(), repair_.facts(), threshold_percent);
}

Task<absl::StatusOr<wire::OkToStopReply>> OperatorService::OkToStop(
    CallContext& call, const wire::OkToStopRequest& request) {
  if (request.nodes().empty()) co_return absl::InvalidArgumentError("no node is named");
  wire::OkToStopReply reply;
  const std::vector<uint32_t> nodes(request.nodes().begin(), request.nodes().end());
  CO_ASSIGN_OR_RETURN(
      const std::set<uint32_t> unreadable,
      co_await repair_.groups_in_use(GroupsUnreadableWithout(keeper_.map(), nodes)));
  for (std::string& reason : WhyNotStop(keeper_.map(), nodes, unreadable))
    reply.add_reasons(std::move(reason));
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

Task<absl::StatusOr<wire::MakeGroupsReply>> OperatorService::MakeGroups(
    CallContext& call, const wire::MakeGroupsRequest& request) {
  absl::Status made = co_await keeper_.MakeGroupsWithout(request);
  if (!made.ok()) co_return made;
  wire::MakeGroupsReply reply;
  reply.set_map_version(keeper_.map().version());
  co_return reply;
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
