#include "server/service/node_service.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

constexpr size_t kChallengeBytesMin = 16;
constexpr size_t kChallengeBytesMax = 64;

}  // namespace

NodeService::NodeService(ClusterSecret secret, std::function<std::string()> cluster_id, Work work)
    : secret_(std::move(secret)), cluster_id_(std::move(cluster_id)), work_(std::move(work)) {}

void NodeService::Register(CallTable& table) {
  table.Add(wire::PROVE_NODE, this, &NodeService::ProveNode);
  table.Add(wire::FREE_SPANS, this, &NodeService::FreeSpans);
  table.Add(wire::FREE_FRAGMENTS, this, &NodeService::FreeFragments);
  table.Add(wire::LIST_FRAGMENTS, this, &NodeService::ListFragments);
  table.Add(wire::RESTORE_FRAGMENTS, this, &NodeService::RestoreFragments);
  table.Add(wire::EXAMINE_NODE, this, &NodeService::ExamineNode);
  table.Add(wire::ADD_TARGET, this, &NodeService::AddTarget);
  table.Add(wire::PROBE_TIER, this, &NodeService::ProbeTier);
  table.Add(wire::NODE_LOAD, this, &NodeService::NodeLoad);
  table.Add(wire::PUT_COLD, this, &NodeService::PutCold);
  table.Add(wire::CHECK_COLD, this, &NodeService::CheckCold);
  table.Add(wire::DELETE_COLD, this, &NodeService::DeleteCold);
  table.Add(wire::RECALL_COLD, this, &NodeService::RecallCold);
}

absl::Status NodeService::CheckIsNode(const CallContext& call) const {
  if (proven_.contains(call.session())) return absl::OkStatus();
  return absl::PermissionDeniedError(
      "this call is for nodes of the cluster, and this session has not proven that it is one's");
}

Task<absl::StatusOr<wire::ProveNodeReply>> NodeService::ProveNode(
    CallContext& call, const wire::ProveNodeRequest& request) {
  const size_t length = request.challenge().size();
  if (length < kChallengeBytesMin || length > kChallengeBytesMax) {
    co_return absl::InvalidArgumentError(StrCat("a challenge of ", length, " bytes; ",
                                                kChallengeBytesMin, " to ", kChallengeBytesMax,
                                                " are allowed"));
  }
  const std::string cluster_id = cluster_id_();
  if (!secret_.Check(ClusterSecret::Side::kCaller, cluster_id, call.session(), request.challenge(),
                     request.proof())) {
    co_return absl::PermissionDeniedError(
        "the secret is not this cluster's: give the node the file cluster.secret of the founding "
        "node's data directory");
  }
  proven_.insert(call.session());
  wire::ProveNodeReply reply;
  reply.set_proof(secret_.Prove(ClusterSecret::Side::kAnswerer, cluster_id, call.session(),
                                request.challenge()));
  co_return reply;
}

Task<absl::StatusOr<wire::FreeSpansReply>> NodeService::FreeSpans(
    CallContext& call, const wire::FreeSpansRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  std::vector<StripeSpan> spans;
  for (const wire::StripeRange& range : request.spans()) {
    if (range.count() == 0 || range.first() + range.count() < range.first())
      co_return absl::InvalidArgumentError("a span of stripes is empty or wraps around");
    spans.push_back({range.first(), range.count()});
  }
  absl::Status freed = co_await work_.free(std::move(spans));
  if (!freed.ok()) co_return freed;
  co_return wire::FreeSpansReply();
}

Task<absl::StatusOr<wire::FreeFragmentsReply>> NodeService::FreeFragments(
    CallContext& call, const wire::FreeFragmentsRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  absl::Status freed = co_await work_.free_fragments(request);
  if (!freed.ok()) co_return freed;
  co_return wire::FreeFragmentsReply();
}

Task<absl::StatusOr<wire::ListFragmentsReply>> NodeService::ListFragments(
    CallContext& call, const wire::ListFragmentsRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  co_return co_await work_.list(request);
}

Task<absl::StatusOr<wire::RestoreFragmentsReply>> NodeService::RestoreFragments(
    CallContext& call, const wire::RestoreFragmentsRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  co_return co_await work_.restore(request, call.deadline());
}

Task<absl::StatusOr<wire::ExamineNodeReply>> NodeService::ExamineNode(
    CallContext& call, const wire::ExamineNodeRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  co_return co_await work_.examine(request, call.deadline());
}

Task<absl::StatusOr<wire::AddTargetReply>> NodeService::AddTarget(
    CallContext& call, const wire::AddTargetRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  co_return co_await work_.add_target(request, call.deadline());
}

Task<absl::StatusOr<wire::ProbeTierReply>> NodeService::ProbeTier(
    CallContext& call, const wire::ProbeTierRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  co_return co_await work_.probe_tier(request, call.deadline());
}

Task<absl::StatusOr<wire::NodeLoadReply>> NodeService::NodeLoad(
    CallContext& call, const wire::NodeLoadRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  co_return co_await work_.load();
}

Task<absl::StatusOr<wire::PutColdReply>> NodeService::PutCold(CallContext& call,
                                                              const wire::PutColdRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  co_return co_await work_.put_cold(request, call.deadline());
}

Task<absl::StatusOr<wire::CheckColdReply>> NodeService::CheckCold(
    CallContext& call, const wire::CheckColdRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  co_return co_await work_.check_cold(request, call.deadline());
}

Task<absl::StatusOr<wire::DeleteColdReply>> NodeService::DeleteCold(
    CallContext& call, const wire::DeleteColdRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  co_return co_await work_.delete_cold(request, call.deadline());
}

Task<absl::StatusOr<wire::RecallColdReply>> NodeService::RecallCold(
    CallContext& call, const wire::RecallColdRequest& request) {
  CO_RETURN_IF_ERROR(CheckIsNode(call));
  co_return co_await work_.recall_cold(request, call.deadline());
}

}  // namespace cairn
