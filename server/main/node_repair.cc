// What a node's targets hold, are to hold and are to free, for the others of its cluster; and, on
// the node with the metadata role, the rebuild of all.

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/call_on.h"
#include "server/main/config_file.h"
#include "server/main/node.h"
#include "server/repair/fragment_list.h"
#include "server/repair/groups_in_use.h"

namespace cairn {
namespace {

// For so long after its last call a client counts as being served.
constexpr absl::Duration kServing = absl::Milliseconds(200);

constexpr uint64_t kScrubBytesPerTarget = 100 * kMiB;

// Bytes a second; 0: not set.
absl::StatusOr<uint64_t> Bandwidth(const char* setting, const std::string& text) {
  if (text.empty()) return 0;
  const absl::StatusOr<uint64_t> bandwidth = ParseSize(text);
  if (bandwidth.ok() && *bandwidth > 0) return bandwidth;
  return absl::InvalidArgumentError(StrCat(setting, " \"", text, "\" is no size as 200MiB is one"));
}

}  // namespace

absl::Status Node::OpenRepair() {
  FragmentMaker::Options options;
  ASSIGN_OR_RETURN(options.bytes_per_second,
                   Bandwidth("rebuild_bandwidth", config_.rebuild_bandwidth()));
  fragment_maker_ = std::make_unique<FragmentMaker>(
      *repair_net_, *repair_peers_,
      [this](uint32_t target, const TargetWork& work) { return OnTarget(target, work); },
      [this] { return ServesClients(); }, options);
  NodeExaminer::Options examiner;
  examiner.software_version = CAIRN_VERSION;
  examiner.started_at = started_at_;
  examiner.wall_now = [this] { return clock_.WallNow(); };
  examiner.state = [this] { return OwnHeartbeat(); };
  examiner.on_target = [this](uint32_t target, const TargetWork& work) {
    return OnTarget(target, work);
  };
  node_examiner_ = std::make_unique<NodeExaminer>(*repair_peers_, std::move(examiner));
  return absl::OkStatus();
}

bool Node::ServesClients() const {
  for (const auto& core : cores_) {
    if (clock_.Now() - core->served_at() < kServing) return true;
  }
  return false;
}

Task<absl::Status> Node::OnTarget(uint32_t id, const TargetWork& work) {
  for (const OwnTarget& own : own_targets_) {
    if (own.info.id() != id) continue;
    if (own.target == nullptr) {
      co_return absl::FailedPreconditionError(
          StrCat("target ", id, " has failed: ", ToStd(own.failure.message())));
    }
    Target* found = own.target;
    co_return co_await CallOn<absl::Status>(own.core->executor(), own.core->scope(),
                                            [found, &work] { return work(*found); });
  }
  co_return absl::UnavailableError(StrCat("this node has no target ", id));
}

NodeService::Work Node::RepairWork() {
  const auto on_target = [this](uint32_t target, const TargetWork& work) {
    return OnTarget(target, work);
  };
  NodeService::Work work;
  work.free = [this](std::vector<StripeSpan> spans) { return FreeOnTargets(std::move(spans)); };
  work.free_fragments = [on_target](const wire::FreeFragmentsRequest& request) {
    return FreeFragments(request, on_target);
  };
  work.list = [this, on_target](const wire::ListFragmentsRequest& request) {
    std::vector<uint32_t> targets;
    for (const OwnTarget& own : own_targets_) targets.push_back(own.info.id());
    return ListFragments(request, std::move(targets), on_target);
  };
  work.restore = [this](const wire::RestoreFragmentsRequest& request, Deadline deadline) {
    return fragment_maker_->Restore(request, deadline);
  };
  work.examine = [this](wire::ExamineNodeRequest request, Deadline deadline) {
    return node_examiner_->Examine(std::move(request), deadline);
  };
  work.add_target = [this](const wire::AddTargetRequest& request, Deadline deadline) {
    return AddTarget(request, deadline);
  };
  work.load = [this] { return CollectLoad(); };
  work.probe_tier = [this](wire::ProbeTierRequest request, Deadline deadline) {
    return tier_worker_->Probe(std::move(request), deadline);
  };
  work.put_cold = [this](wire::PutColdRequest request, Deadline deadline) {
    return PutCold(std::move(request), deadline);
  };
  work.check_cold = [this](wire::CheckColdRequest request, Deadline deadline) {
    return CheckCold(std::move(request), deadline);
  };
  work.delete_cold = [this](wire::DeleteColdRequest request, Deadline deadline) {
    return DeleteCold(std::move(request), deadline);
  };
  work.recall_cold = [this](wire::RecallColdRequest request, Deadline deadline) {
    return RecallCold(std::move(request), deadline);
  };
  return work;
}

// After ServeMetadata().
absl::Status Node::ServeOperators() {
  RebuildLoop::Map map;
  map.get = [this]() -> const wire::ClusterMap& { return map_; };
  map.apply = [this](std::function<bool(wire::ClusterMap*)> change) {
    return map_keeper_->ChangeMoves(std::move(change));
  };
  map.usage = [this] { return member_service_->usage(); };
  map.keep_crowded = [this] { return map_keeper_->KeepCrowded(); };
  RebuildLoop::Options options;
  if (config_.out_after_seconds() > 0)
    options.give_up_after = absl::Seconds(config_.out_after_seconds());
  rebuild_ = std::make_unique<RebuildLoop>(*meta_, *peers_, map, options);
  ScrubLoop::Options scrub;
  ASSIGN_OR_RETURN(const uint64_t bandwidth,
                   Bandwidth("scrub_bandwidth", config_.scrub_bandwidth()));
  scrub.bandwidth = [this, bandwidth]() -> uint64_t {
    if (bandwidth > 0) return bandwidth;
    return kScrubBytesPerTarget * static_cast<uint64_t>(map_.targets_size());
  };
  if (config_.has_scrub_interval_hours()) {
    scrub.interval = config_.scrub_interval_hours() == 0
                         ? absl::InfiniteDuration()
                         : absl::Hours(config_.scrub_interval_hours());
  }
  scrub_ = std::make_unique<ScrubLoop>(rebuild_->check(), std::move(scrub));
  OperatorService::Repair repair;
  repair.report = [this](uint64_t stripe) { scrub_->Report(stripe); };
  repair.status = [this] {
    wire::RebuildStatusReply status = rebuild_->Status();
    *status.mutable_scrub() = scrub_->Status();
    return status;
  };
  repair.check = [this](wire::CheckStorageRequest request) {
    return rebuild_->check().Step(std::move(request));
  };
  repair.facts = [this] { return rebuild_->Facts(); };
  repair.groups_in_use = [this](std::set<uint32_t> groups) {
    return GroupsInUse(*meta_, std::move(groups));
  };
  operator_service_ = std::make_unique<OperatorService>(
      *map_keeper_, std::move(repair),
      [this](const wire::NodeInfo& node, wire::AddTargetRequest request, Deadline deadline) {
        return AddTargetTo(node, std::move(request), deadline);
      });
  operator_service_->Register(cores_[0]->table());
  ClusterExaminer::Cluster cluster;
  cluster.map = map.get;
  cluster.history = [this]() -> const NodeHistory& { return member_service_->history(); };
  cluster.wall_now = [this] { return clock_.WallNow(); };
  cluster_examiner_ = std::make_unique<ClusterExaminer>(*peers_, std::move(cluster));
  cluster_examiner_->Register(cores_[0]->table());
  ServeTiers();
  ServeLoad();
  return absl::OkStatus();
}

}  // namespace cairn
