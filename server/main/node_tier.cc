// What a node does with cold tiers, and on the node with the metadata role what operators ask about
// them.

#include <utility>

#include "server/main/node.h"

namespace cairn {
namespace {

// Each waits for a store.
constexpr int kTierThreads = 2;

}  // namespace

void Node::OpenTiers() {
  tier_pool_ = std::make_unique<BlockingPool>(kTierThreads);
  tier_worker_ = std::make_unique<TierWorker>(*tier_pool_, clock_, random_);
}

void Node::ServeTiers() {
  TierService::Cluster cluster;
  cluster.map = [this]() -> const wire::ClusterMap& { return map_; };
  cluster.probe = [this](wire::NodeInfo node, wire::ProbeTierRequest request, Deadline deadline) {
    return ProbeTierOn(std::move(node), std::move(request), deadline);
  };
  tier_service_ = std::make_unique<TierService>(*meta_, std::move(cluster));
  tier_service_->Register(cores_[0]->table());
}

Task<absl::StatusOr<wire::ProbeTierReply>> Node::ProbeTierOn(wire::NodeInfo node,
                                                             wire::ProbeTierRequest request,
                                                             Deadline deadline) {
  if (node.id() == directory_->identity().node_id())
    co_return co_await tier_worker_->Probe(std::move(request), deadline);
  co_return co_await peers_->CallNode<wire::ProbeTierReply>(
      node.id(), node.endpoint(), wire::PROBE_TIER, std::move(request), deadline);
}

}  // namespace cairn
