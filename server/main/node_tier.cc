// What a node does with cold tiers, and on the node with the metadata role what goes on there by
// itself and what operators ask about them.

#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/fabric/host_port.h"
#include "common/task/call_on.h"
#include "server/cluster/map_domains.h"
#include "server/main/host_name.h"
#include "server/main/node.h"
#include "server/tier/open_cold_store.h"

namespace cairn {
namespace {

// Each waits for a store: what operators ask and manifests; moves, two objects at once and what
// goes with them; reads for clients, as many as have memory.
constexpr int kTierThreads = 2;
constexpr int kMoveThreads = 6;
constexpr int kColdReadThreads = 8;
constexpr size_t kTierReceiveBuffers = 16;

Task<absl::Status> StopNode(TierNode* node) {
  co_await node->Stop();
  co_return absl::OkStatus();
}

Task<std::map<std::string, TierTraffic>> TrafficOf(TierNode* node) { co_return node->traffic(); }

Task<absl::Status> RequestStopOf(TierNode* node) {
  node->RequestStop();
  co_return absl::OkStatus();
}

}  // namespace

// The seam of tiering on the node with the metadata: this node's own part of it is on its last
// core, the others' beyond a call.
class Node::Tiers final : public TierNodes {
 public:
  explicit Tiers(Node& node) : node_(node) {}

  std::vector<wire::NodeInfo> Alive() override {
    std::vector<wire::NodeInfo> alive;
    for (const wire::NodeInfo& node : node_.map_.nodes())
      if (IsAlive(node)) alive.push_back(node);
    return alive;
  }

  Fill HotFill() override {
    Fill fill;
    const auto usage = node_.member_service_->usage();
    for (const wire::TargetInfo& target : node_.map_.targets()) {
      const auto found = usage.find(target.id());
      const bool takes = target.state() == wire::TARGET_UP && !target.draining() &&
                         !target.removing() && found != usage.end();
      if (!takes) continue;
      fill.used_bytes += found->second.used_bytes;
      fill.capacity_bytes += found->second.capacity_bytes;
    }
    return fill;
  }

  Task<absl::Status> MakeGroups(std::string redundancy) override {
    return node_.map_keeper_->MakeGroups(std::move(redundancy), wire::DOMAIN_NODE);
  }

  Task<absl::StatusOr<wire::PutColdReply>> Put(wire::NodeInfo node, wire::PutColdRequest request,
                                               Deadline deadline) override {
    if (IsOwn(node)) co_return co_await node_.PutCold(std::move(request), deadline);
    co_return co_await node_.peers_->CallNode<wire::PutColdReply>(
        node.id(), node.endpoint(), wire::PUT_COLD, std::move(request), deadline);
  }
  Task<absl::StatusOr<wire::CheckColdReply>> Check(wire::NodeInfo node,
                                                   wire::CheckColdRequest request,
                                                   Deadline deadline) override {
    if (IsOwn(node)) co_return co_await node_.CheckCold(std::move(request), deadline);
    co_return co_await node_.peers_->CallNode<wire::CheckColdReply>(
        node.id(), node.endpoint(), wire::CHECK_COLD, std::move(request), deadline);
  }
  Task<absl::StatusOr<wire::DeleteColdReply>> Delete(wire::NodeInfo node,
                                                     wire::DeleteColdRequest request,
                                                     Deadline deadline) override {
    if (IsOwn(node)) co_return co_await node_.DeleteCold(std::move(request), deadline);
    co_return co_await node_.peers_->CallNode<wire::DeleteColdReply>(
        node.id(), node.endpoint(), wire::DELETE_COLD, std::move(request), deadline);
  }
  Task<absl::StatusOr<wire::RecallColdReply>> Recall(wire::NodeInfo node,
                                                     wire::RecallColdRequest request,
                                                     Deadline deadline) override {
    if (IsOwn(node)) co_return co_await node_.RecallCold(std::move(request), deadline);
    co_return co_await node_.peers_->CallNode<wire::RecallColdReply>(
        node.id(), node.endpoint(), wire::RECALL_COLD, std::move(request), deadline);
  }

  Task<absl::Status> PutText(wire::TierSpec tier, std::string key, std::string text,
                             Deadline deadline) override {
    return node_.tier_worker_->PutText(std::move(tier), std::move(key), std::move(text), deadline);
  }
  Task<absl::StatusOr<std::string>> GetText(wire::TierSpec tier, std::string key,
                                            uint64_t size_bytes, Deadline deadline) override {
    return node_.tier_worker_->GetText(std::move(tier), std::move(key), size_bytes, deadline);
  }
  Task<absl::StatusOr<ColdListing>> List(wire::TierSpec tier, ColdListOptions options,
                                         Deadline deadline) override {
    return node_.tier_worker_->List(std::move(tier), std::move(options), deadline);
  }

 private:
  bool IsOwn(const wire::NodeInfo& node) const {
    return node.id() == node_.directory_->identity().node_id();
  }

  Node& node_;
};

void Node::OpenTiers() {
  tier_pool_ = std::make_unique<BlockingPool>(kTierThreads);
  move_pool_ = std::make_unique<BlockingPool>(kMoveThreads);
  cold_read_pool_ = std::make_unique<BlockingPool>(kColdReadThreads);
  cold_stores_ = std::make_unique<ColdStores>(
      [this](const ColdStoreSpec& spec) { return OpenColdStore(spec, clock_, random_); });
  tier_worker_ = std::make_unique<TierWorker>(*tier_pool_, *cold_stores_, clock_, random_);
}

// Once the endpoint is known, on the last core, whose targets are as any other's, but which has
// nothing of the metadata where there are several.
Task<absl::Status> Node::MakeTierNode(std::unique_ptr<TierNode>* made) {
  Core& core = *cores_.back();
  LibfabricNet::Options net;
  net.provider = core.net().provider();
  net.receive_buffers = kTierReceiveBuffers;
  CO_ASSIGN_OR_RETURN(const HostPort listen, ParseHostPort(config_.listen()));
  net.bind_host = listen.host;
  CO_ASSIGN_OR_RETURN(std::unique_ptr<LibfabricNet> opened,
                      LibfabricNet::Create(core.thread().reactor(), std::move(net)));
  *made = std::make_unique<TierNode>(
      std::move(opened), core.net(), random_, *cold_stores_,
      TierNode::Runners{*move_pool_, *cold_read_pool_}, [this] { return ServesClients(); },
      TierNode::Options{endpoint_, StrCat(HostName(), ":", getpid()),
                        directory_->identity().cluster_id()});
  (*made)->Register(core.table());
  co_return absl::OkStatus();
}

template <class Reply>
Task<absl::StatusOr<Reply>> Node::OnTierNode(
    std::function<Task<absl::StatusOr<Reply>>(TierNode&)> work) {
  if (tier_node_ == nullptr) co_return absl::UnavailableError("this node is starting or stopping");
  Core& core = *cores_.back();
  co_return co_await CallOn<absl::StatusOr<Reply>>(core.executor(), core.scope(),
                                                   [this, &work] { return work(*tier_node_); });
}

Task<absl::StatusOr<wire::PutColdReply>> Node::PutCold(wire::PutColdRequest request,
                                                       Deadline deadline) {
  co_return co_await OnTierNode<wire::PutColdReply>(
      [&](TierNode& node) { return node.mover().Put(std::move(request), deadline); });
}

Task<absl::StatusOr<wire::CheckColdReply>> Node::CheckCold(wire::CheckColdRequest request,
                                                           Deadline deadline) {
  co_return co_await OnTierNode<wire::CheckColdReply>(
      [&](TierNode& node) { return node.mover().Check(std::move(request), deadline); });
}

Task<absl::StatusOr<wire::DeleteColdReply>> Node::DeleteCold(wire::DeleteColdRequest request,
                                                             Deadline deadline) {
  co_return co_await OnTierNode<wire::DeleteColdReply>(
      [&](TierNode& node) { return node.mover().Delete(std::move(request), deadline); });
}

Task<absl::StatusOr<wire::RecallColdReply>> Node::RecallCold(wire::RecallColdRequest request,
                                                             Deadline deadline) {
  co_return co_await OnTierNode<wire::RecallColdReply>(
      [&](TierNode& node) { return node.mover().Recall(std::move(request), deadline); });
}

Task<std::map<std::string, TierTraffic>> Node::TierTraffics() {
  if (tier_node_ == nullptr) co_return std::map<std::string, TierTraffic>();
  Core& core = *cores_.back();
  co_return co_await CallOn<std::map<std::string, TierTraffic>>(
      core.executor(), core.scope(), [this] { return TrafficOf(tier_node_.get()); });
}

void Node::ServeTiers() {
  tiers_ = std::make_unique<Tiers>(*this);
  tier_loop_ = std::make_unique<TierLoop>(*meta_, *tiers_);
  meta_service_->SetOnRead(
      [this](InodeId subject, bool cold) { tier_loop_->NoteRead(subject, cold); });
  fs_service_->SetOnRead(
      [this](InodeId subject, bool cold) { tier_loop_->NoteRead(subject, cold); });
  fs_service_->SetSpace([this] {
    const auto fill = tiers_->HotFill();
    return FsService::Space{fill.capacity_bytes, fill.used_bytes};
  });
  TierService::Cluster cluster;
  cluster.map = [this]() -> const wire::ClusterMap& { return map_; };
  cluster.probe = [this](wire::NodeInfo node, wire::ProbeTierRequest request, Deadline deadline) {
    return ProbeTierOn(std::move(node), std::move(request), deadline);
  };
  tier_service_ = std::make_unique<TierService>(*meta_, std::move(cluster));
  tier_service_->Register(cores_[0]->table());
  tiering_service_ = std::make_unique<TieringService>(*meta_, *tier_loop_);
  tiering_service_->Register(cores_[0]->table());
}

Task<absl::StatusOr<wire::ProbeTierReply>> Node::ProbeTierOn(wire::NodeInfo node,
                                                             wire::ProbeTierRequest request,
                                                             Deadline deadline) {
  if (node.id() == directory_->identity().node_id())
    co_return co_await tier_worker_->Probe(std::move(request), deadline);
  co_return co_await peers_->CallNode<wire::ProbeTierReply>(
      node.id(), node.endpoint(), wire::PROBE_TIER, std::move(request), deadline);
}

// On core 0.
Task<void> Node::RequestTierStop() {
  if (tier_loop_ != nullptr) tier_loop_->RequestStop();
  if (tier_worker_ != nullptr) tier_worker_->RequestStop();
  if (tier_node_ == nullptr) co_return;
  Core& core = *cores_.back();
  (void)co_await CallOn<absl::Status>(core.executor(), core.scope(),
                                      [this] { return RequestStopOf(tier_node_.get()); });
}

Task<void> Node::StopTierNode() {
  if (tier_node_ == nullptr) co_return;
  Core& core = *cores_.back();
  (void)co_await CallOn<absl::Status>(core.executor(), core.scope(),
                                      [this] { return StopNode(tier_node_.get()); });
  tier_node_.reset();
}

}  // namespace cairn
