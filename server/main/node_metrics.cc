// What a node tells whoever scrapes its metrics. The numbers are copied on the cores that own them;
// all else is done on the endpoint's threads, and nothing of it on the data path. A table of them:
// server/admin/METRICS.md.

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/call_on.h"
#include "server/admin/cluster_metrics.h"
#include "server/admin/metadata_metrics.h"
#include "server/admin/process_metrics.h"
#include "server/admin/tier_metrics.h"
#include "server/main/node.h"

namespace cairn {
namespace {

double Number(uint64_t value) { return static_cast<double>(value); }

void TellReactor(const CoreStatus& core, const MetricLabels& labels, MetricSet* set) {
  set->AddCounter("cairn_reactor_busy_seconds_total", "Time that the core's loop has worked.",
                  absl::ToDoubleSeconds(core.load.busy), labels);
  set->AddCounter("cairn_reactor_stalls_total",
                  "Steps over 10 ms: everything else on the core waited.", Number(core.load.stalls),
                  labels);
  set->AddCounter("cairn_reactor_stalled_seconds_total", "Time in such steps.",
                  absl::ToDoubleSeconds(core.load.stalled), labels);
  set->AddGauge("cairn_buffer_slabs", "Slabs of 4 MiB that fragments pass through.",
                Number(core.slabs), labels);
  set->AddGauge("cairn_buffer_slabs_free", "Slabs that are free.", Number(core.slabs_free), labels);
  set->AddGauge("cairn_buffer_slab_waiters", "Calls that wait for a slab.",
                Number(core.slab_waiters), labels);
}

void TellFabric(const CoreStatus& core, const MetricLabels& labels, MetricSet* set) {
  const LibfabricNet::Counters& fabric = core.fabric;
  set->AddCounter("cairn_fabric_pulled_bytes_total", "Bytes read from clients' memory.",
                  Number(fabric.bytes_read), labels);
  set->AddCounter("cairn_fabric_pushed_bytes_total", "Bytes written to clients' memory.",
                  Number(fabric.bytes_written), labels);
  set->AddCounter("cairn_fabric_received_messages_total", "Messages received.",
                  Number(fabric.messages_received), labels);
  set->AddCounter("cairn_fabric_sent_messages_total", "Messages sent.",
                  Number(fabric.messages_sent), labels);
  set->AddCounter("cairn_fabric_errors_total",
                  "Transfers and messages that failed; mostly, of clients that are gone.",
                  Number(fabric.errors), labels);
  set->AddCounter("cairn_fabric_busy_retries_total", "Posts that the provider had no room for.",
                  Number(fabric.busy_retries), labels);
  set->AddGauge("cairn_fabric_operations", "Transfers and messages under way, quarantine included.",
                Number(fabric.operations_in_flight), labels);
}

void TellCalls(const CoreStatus& core, const MetricLabels& labels, MetricSet* set) {
  set->AddCounter("cairn_rpc_calls_total", "Calls that were begun.", Number(core.rpc.calls),
                  labels);
  set->AddGauge("cairn_rpc_calls_running", "Calls under way.", Number(core.calls_running), labels);
  set->AddCounter("cairn_rpc_refused_calls_total",
                  "Calls answered without being begun: old session, too many at once.",
                  Number(core.rpc.refused), labels);
  set->AddCounter("cairn_rpc_malformed_messages_total", "Messages dropped for what they are.",
                  Number(core.rpc.malformed), labels);
  set->AddCounter("cairn_rpc_duplicate_calls_total", "Calls that came twice, and ran once.",
                  Number(core.rpc.duplicates), labels);
}

void TellTargetUsage(const TargetStatus& target, const MetricLabels& labels, MetricSet* set) {
  set->AddGauge("cairn_target_failed", "1 once the target takes and gives nothing any more.",
                target.failure.ok() ? 0 : 1, labels);
  set->AddGauge("cairn_target_capacity_bytes", "What the target can hold.",
                Number(target.usage.capacity), labels);
  set->AddGauge("cairn_target_free_bytes", "What of it is free.", Number(target.usage.free),
                labels);
  set->AddGauge("cairn_target_used_bytes", "Space of sealed fragments.", Number(target.usage.used),
                labels);
  set->AddGauge("cairn_target_pending_bytes", "Space of fragments that are not sealed yet.",
                Number(target.usage.pending), labels);
  set->AddGauge("cairn_target_held_bytes", "Space of removed fragments that are still being read.",
                Number(target.usage.held), labels);
  set->AddGauge("cairn_target_bad_bytes", "Space where the device refused to write.",
                Number(target.usage.bad), labels);
  set->AddGauge("cairn_target_fragments", "Fragments that are sealed.",
                Number(target.usage.fragments), labels);
}

void TellTargetWork(const TargetStatus& target, const MetricLabels& labels, MetricSet* set) {
  const Target::Counters& counters = target.counters;
  const std::tuple<const char*, const char*, int64_t> totals[] = {
      {"cairn_target_writes_total", "Fragments written.", counters.writes},
      {"cairn_target_written_bytes_total", "Bytes of these.", counters.written_bytes},
      {"cairn_target_reads_total", "Reads of fragments or parts of them.", counters.reads},
      {"cairn_target_read_bytes_total", "Bytes of these.", counters.read_bytes},
      {"cairn_target_seals_total", "Calls to make fragments durable.", counters.seals},
      {"cairn_target_sealed_fragments_total", "Fragments of these.", counters.sealed_fragments},
      {"cairn_target_freed_fragments_total", "Fragments removed.", counters.freed_fragments},
      {"cairn_target_flushes_total", "Flushes of the device.", counters.flushes},
      {"cairn_target_index_batches_total", "Synced writes of the index.", counters.index_batches},
      {"cairn_target_corrupt_blocks_total",
       "Partial blocks read that are not what was written; whole ones are the client's to check.",
       counters.corrupt_blocks},
      {"cairn_target_media_errors_total", "Places that the device could not read or write.",
       counters.media_errors},
      {"cairn_target_damaged_records_total", "Records of the index that removals found damaged.",
       counters.damaged_records},
  };
  for (const auto& [name, help, value] : totals)
    set->AddCounter(name, help, static_cast<double>(value), labels);
  const std::pair<const char*, int64_t> errors[] = {{"write", counters.write_errors},
                                                    {"read", counters.read_errors},
                                                    {"flush", counters.flush_errors}};
  for (const auto& [operation, value] : errors) {
    MetricLabels of_operation = labels;
    of_operation.emplace_back("operation", operation);
    set->AddCounter("cairn_target_errors_total",
                    "Operations of the device that failed, media errors included.",
                    static_cast<double>(value), std::move(of_operation));
  }
}

void TellTargetTimes(const TargetStatus& target, const MetricLabels& labels, MetricSet* set) {
  set->AddHistogram("cairn_target_write_seconds", "Writes of a fragment, as the device took them.",
                    target.times.write, kDeviceTimes, labels);
  set->AddHistogram("cairn_target_read_seconds", "Reads, as the device took them.",
                    target.times.read, kDeviceTimes, labels);
  set->AddHistogram("cairn_target_flush_seconds", "Flushes, as the device took them.",
                    target.times.flush, kDeviceTimes, labels);
  set->AddHistogram("cairn_target_seal_seconds",
                    "Seals, from the call until what it names is durable.", target.times.seal,
                    kDeviceTimes, labels);
}

}  // namespace

// Of one moment on core 0.
struct Node::MetricsSample {
  std::vector<CoreStatus> cores;
  uint32_t node = 0;
  std::string cluster_id;
  std::string provider;
  uint64_t sessions = 0;
  uint64_t credits = 0;
  uint64_t map_version = 0;
  std::optional<MetadataSample> metadata;
  std::optional<ClusterSample> cluster;
  std::optional<TieringSample> tiering;
  std::map<std::string, TierTraffic> tier_traffic;
};

absl::Status Node::OpenMetrics() {
  started_at_wall_ = clock_.WallNow();
  if (config_.metrics_listen().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(metrics_endpoint_, MetricsEndpoint::Start(config_.metrics_listen(),
                                                             [this] { return CollectMetrics(); }));
  return absl::OkStatus();
}

MetricSet Node::CollectMetrics() {
  MetricSet set;
  const bool serving = serving_.load(std::memory_order_acquire);
  set.AddGauge("cairn_build_info", "The version of cairnd; always 1.", 1,
               {{"version", CAIRN_VERSION}});
  set.AddGauge("cairn_node_serving", "1 once clients are served; 0 while the node starts.",
               serving ? 1 : 0);
  TellProcess(started_at_wall_, &set);
  TellDataDirectory(config_.data(), &set);
  if (!serving) return set;
  MetricsSample sample =
      cores_[0]->thread().RunBlocking<MetricsSample>([this] { return SampleMetrics(); });
  TellNode(sample, &set);
  if (sample.metadata.has_value()) {
    sample.metadata->store_bytes = DirectoryBytes(config_.data() + "/meta");
    TellMetadata(*sample.metadata, &set);
  }
  if (sample.cluster.has_value()) TellCluster(*sample.cluster, &set);
  TellTierTraffic(sample.tier_traffic, &set);
  if (sample.tiering.has_value()) TellTiering(*sample.tiering, &set);
  return set;
}

void Node::TellNode(const MetricsSample& sample, MetricSet* set) {
  set->AddGauge("cairn_node_info", "What the node is; always 1.", 1,
                {{"node", StrCat(sample.node)},
                 {"cluster_id", sample.cluster_id},
                 {"provider", sample.provider},
                 {"role", sample.metadata.has_value() ? "metadata" : "storage"}});
  set->AddGauge("cairn_cluster_map_version", "The cluster map that the node knows.",
                Number(sample.map_version));
  set->AddGauge("cairn_rpc_sessions", "Clients and nodes that have said hello.",
                Number(sample.sessions));
  set->AddGauge("cairn_rpc_session_credits", "Bulk calls that each busy session may have at once.",
                Number(sample.credits));
  for (size_t i = 0; i < sample.cores.size(); ++i) {
    const CoreStatus& core = sample.cores[i];
    const MetricLabels labels = {{"core", StrCat(i)}};
    TellReactor(core, labels, set);
    TellFabric(core, labels, set);
    TellCalls(core, labels, set);
    for (const TargetStatus& target : core.targets) {
      const MetricLabels of_target = {{"target", StrCat(target.id.value())}};
      TellTargetUsage(target, of_target, set);
      TellTargetWork(target, of_target, set);
      TellTargetTimes(target, of_target, set);
    }
  }
}

Task<Node::MetricsSample> Node::SampleMetrics() {
  MetricsSample sample;
  for (const auto& core : cores_) {
    Core* asked = core.get();
    sample.cores.push_back(co_await CallOn<CoreStatus>(core->executor(), core->scope(),
                                                       [asked] { return asked->CollectStatus(); }));
  }
  sample.node = directory_->identity().node_id();
  sample.cluster_id = directory_->identity().cluster_id();
  sample.provider = cores_[0]->net().provider();
  sample.sessions = sessions_->size();
  sample.credits = sessions_->credits();
  sample.map_version = sessions_->map_version();
  sample.tier_traffic = co_await TierTraffics();
  if (meta_ == nullptr) co_return sample;
  MetadataSample& metadata = sample.metadata.emplace();
  const absl::StatusOr<MetaCounters> counters = co_await meta_->Counters();
  if (counters.ok()) metadata.counters = *counters;
  metadata.calls = meta_service_->counters();
  metadata.health = meta_->Health();
  metadata.groups = meta_->committer().counters();
  metadata.commands_waiting = meta_->committer().queued();
  metadata.queries_waiting = meta_->queries_waiting();
  metadata.leases = meta_->leases();
  metadata.saves = meta_->saves().totals();
  metadata.open_attempts = meta_->saves().open();
  if (metadata.open_attempts > 0) {
    const absl::Time begun = absl::FromUnixNanos(meta_->saves().oldest_begun_ns());
    metadata.oldest_attempt = std::max(clock_.WallNow() - begun, absl::ZeroDuration());
  }
  ClusterSample& cluster = sample.cluster.emplace();
  // It may have megabytes: copied once a version, not once a scrape.
  if (scraped_map_ == nullptr || scraped_map_->version() != map_.version())
    scraped_map_ = std::make_shared<const wire::ClusterMap>(map_);
  cluster.map = scraped_map_;
  cluster.usage = member_service_->usage();
  cluster.warnings = metadata.health.warnings;
  cluster.tier_health = tier_loop_->Health();
  cluster.rebuild = rebuild_->Status();
  *cluster.rebuild.mutable_scrub() = scrub_->Status();
  cluster.scrub_interval = scrub_->interval();
  sample.tiering = co_await SampleTiering();
  co_return sample;
}

Task<TieringSample> Node::SampleTiering() {
  TieringSample sample;
  const absl::StatusOr<wire::ListTiersReply> tiers =
      co_await meta_->Query(wire::ListTiersRequest());
  if (tiers.ok()) sample.tiers.assign(tiers->tiers().begin(), tiers->tiers().end());
  sample.loop = tier_loop_->counters();
  sample.running = tier_loop_->running().size();
  if (sample.loop.oldest_waiting_ns > 0)
    sample.oldest_wait = std::max(
        absl::Nanoseconds(meta_->UnixNow() - sample.loop.oldest_waiting_ns), absl::ZeroDuration());
  co_return sample;
}

}  // namespace cairn
