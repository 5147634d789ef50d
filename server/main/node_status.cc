// What a node says of itself: the board that cairnd prints, and the answer to `cairn status`.

#include <algorithm>
#include <cstdio>
#include <utility>

#include "common/base/human.h"
#include "common/base/strings.h"
#include "common/task/call_on.h"
#include "server/admin/fit_status.h"
#include "server/cluster/health.h"
#include "server/main/node.h"

namespace cairn {

std::string Node::Board() {
  uint64_t capacity = 0, used = 0;
  for (const auto& core : cores_) {
    // Clients may be writing by now.
    const CoreStatus status =
        core->thread().RunBlocking<CoreStatus>([&core] { return core->CollectStatus(); });
    for (const TargetStatus& target : status.targets) {
      capacity += target.usage.capacity;
      used += target.usage.used;
    }
  }
  const size_t targets = own_targets_.size();
  const std::string metrics =
      metrics_endpoint_ == nullptr
          ? ""
          : StrCat("  metrics   http://", metrics_endpoint_->address(), "/metrics\n");
  return StrCat("cairnd ", CAIRN_VERSION, " is ready\n", "  endpoint  ", endpoint_, "\n",
                "  data      ", config_.data(), " (", targets,
                targets == 1 ? " target, " : " targets, ", HumanBytes(capacity), ", ",
                HumanBytes(used), " used)\n", "  cluster   ", directory_->identity().cluster_id(),
                "\n", "  fabric    ", cores_[0]->net().provider(), "\n", metrics,
                "  python    cairn.Client(\"", endpoint_, "\")\n", "  shell     cairn --endpoint ",
                endpoint_, " status\n");
}

Task<void> Node::CollectMetadataStatus(wire::StatusReply* reply) {
  absl::StatusOr<MetaCounters> counters = co_await meta_->Counters();
  if (!counters.ok()) {
    reply->add_warnings(StrCat("metadata: ", ToStd(counters.status().message())));
  } else {
    reply->set_checkpoints(counters->checkpoints);
    reply->set_files(counters->files);
    reply->set_open_attempts(counters->open_attempts);
    reply->set_reclaim_pending_bytes(counters->pending_free_bytes);
  }
  (*reply->mutable_counters())["cairn_meta_mutations_total"] = meta_service_->counters().mutations;
  (*reply->mutable_counters())["cairn_meta_queries_total"] = meta_service_->counters().queries;
  const MetaHealth health = meta_->Health();
  for (const std::string& warning : health.warnings)
    reply->add_warnings(StrCat("metadata: ", warning));
  (*reply->mutable_counters())["cairn_meta_clock_steps_total"] = health.clock_steps;
  (*reply->mutable_counters())["cairn_meta_cleanup_failures_total"] = health.cleanup_failures;
  (*reply->mutable_counters())["cairn_meta_cleanup_set_aside"] = health.cleanup_set_aside;
  *reply->mutable_map() = map_;
  member_service_->FillUsage(reply->mutable_map());
}

Task<absl::StatusOr<wire::StatusReply>> Node::CollectStatus() {
  wire::StatusReply reply;
  reply.set_cluster_id(directory_->identity().cluster_id());
  reply.set_software_version(CAIRN_VERSION);
  reply.set_node_id(directory_->identity().node_id());
  reply.set_uptime_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(clock_.Now() - started_at_)));
  reply.set_provider(cores_[0]->net().provider());
  reply.set_sessions(sessions_->size());
  if (meta_ != nullptr) co_await CollectMetadataStatus(&reply);
  for (const auto& core : cores_) {
    Core* asked = core.get();
    CoreStatus status = co_await CallOn<CoreStatus>(core->executor(), core->scope(),
                                                    [asked] { return asked->CollectStatus(); });
    reply.set_slab_bytes(status.slab_bytes);
    reply.set_slabs(reply.slabs() + status.slabs);
    reply.set_slabs_free(reply.slabs_free() + status.slabs_free);
    for (const auto& [name, value] : status.counters) (*reply.mutable_counters())[name] += value;
    for (const TargetStatus& target : status.targets) ReportTarget(target, &reply);
  }
  // Of the map as it is answered, with what this node knows of its own targets by now.
  if (meta_ != nullptr) {
    for (wire::HealthItem& item : JudgeHealth(reply.map(), meta_->Health().warnings))
      *reply.add_health() = std::move(item);
    AddTierHealth(&reply);
  }
  FitStatus(kStatusBytesMax, &reply);
  co_return reply;
}

// Errors first, as the others are.
void Node::AddTierHealth(wire::StatusReply* reply) const {
  if (tier_loop_ == nullptr) return;
  for (wire::HealthItem& item : tier_loop_->Health()) *reply->add_health() = std::move(item);
  std::stable_sort(reply->mutable_health()->begin(), reply->mutable_health()->end(),
                   [](const wire::HealthItem& a, const wire::HealthItem& b) {
                     return a.severity() > b.severity();
                   });
}

void Node::ReportTarget(const TargetStatus& target, wire::StatusReply* reply) {
  for (wire::TargetInfo& info : *reply->mutable_map()->mutable_targets()) {
    if (info.id() != target.id.value()) continue;
    info.set_capacity_bytes(target.usage.capacity);
    info.set_used_bytes(target.usage.capacity - target.usage.free);
    if (target.failure.ok()) continue;
    info.set_state(wire::TARGET_FAILED);
    reply->add_warnings(StrCat("target ", info.id(), " (", info.path(),
                               ") has failed: ", ToStd(target.failure.message()),
                               "; restart cairnd once its device is sound"));
  }
}

}  // namespace cairn
