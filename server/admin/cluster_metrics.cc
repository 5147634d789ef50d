#include "server/admin/cluster_metrics.h"

#include <utility>

#include "common/base/strings.h"
#include "server/cluster/health.h"

namespace cairn {
namespace {

double Number(uint64_t value) { return static_cast<double>(value); }
double Flag(bool value) { return value ? 1 : 0; }

constexpr std::pair<wire::NodeState, const char*> kNodeStates[] = {
    {wire::NODE_UP, "up"},
    {wire::NODE_SUSPECT, "suspect"},
    {wire::NODE_DOWN, "down"},
    {wire::NODE_OUT, "out"},
};

void TellNode(const wire::NodeInfo& node, MetricSet* set) {
  const std::string id = StrCat(node.id());
  set->AddGauge(
      "cairn_cluster_node_info", "A node of the cluster; always 1.", 1,
      {{"node", id}, {"name", node.name()}, {"endpoint", node.endpoint()}, {"rack", node.rack()}});
  for (const auto& [state, name] : kNodeStates) {
    set->AddGauge("cairn_cluster_node_state", "1 for the state that the cluster sees the node in.",
                  Flag(node.state() == state), {{"node", id}, {"state", name}});
  }
  set->AddGauge("cairn_cluster_node_draining", "1 while an operator wants the node empty.",
                Flag(node.draining() || node.removing()), {{"node", id}});
}

void TellTarget(const wire::TargetInfo& target, MetricSet* set) {
  const MetricLabels labels = {{"node", StrCat(target.node())}, {"target", StrCat(target.id())}};
  set->AddGauge("cairn_cluster_target_up", "1 while the target works, as its node said last.",
                Flag(target.state() == wire::TARGET_UP), labels);
  set->AddGauge("cairn_cluster_target_draining", "1 while an operator wants the target empty.",
                Flag(target.draining() || target.removing()), labels);
  set->AddGauge("cairn_cluster_target_capacity_bytes", "What the target can hold.",
                Number(target.capacity_bytes()), labels);
  set->AddGauge("cairn_cluster_target_used_bytes", "What of it is not free.",
                Number(target.used_bytes()), labels);
}

void TellHealth(const std::vector<wire::HealthItem>& items, MetricSet* set) {
  std::map<std::pair<std::string, bool>, uint64_t> counts;  // by code and whether an error
  uint64_t errors = 0;
  for (const wire::HealthItem& item : items) {
    const bool is_error = item.severity() == wire::HEALTH_ERROR;
    errors += is_error ? 1 : 0;
    ++counts[{item.code(), is_error}];
  }
  for (const auto& [kind, count] : counts) {
    const auto& [code, is_error] = kind;
    set->AddGauge("cairn_health_items", "What `cairn health` finds, by code; absent: nothing.",
                  Number(count), {{"code", code}, {"severity", is_error ? "error" : "warning"}});
  }
  set->AddGauge("cairn_health_errors", "Errors that `cairn health` finds.", Number(errors));
  set->AddGauge("cairn_health_warnings", "Warnings that `cairn health` finds.",
                Number(items.size() - errors));
}

void TellRebuild(const wire::RebuildStatusReply& rebuild, MetricSet* set) {
  set->AddGauge("cairn_rebuild_moves", "Members of placement groups on the move.",
                rebuild.moves_copying(), {{"phase", "copying"}});
  set->AddGauge("cairn_rebuild_moves", "Members of placement groups on the move.",
                rebuild.moves_settling(), {{"phase", "settling"}});
  set->AddGauge("cairn_rebuild_lost_members",
                "Members that have to be elsewhere, and there is nowhere or nothing to make them "
                "of.",
                rebuild.members_lost());
  set->AddGauge("cairn_rebuild_waiting_nodes", "Nodes that are to take over and cannot be reached.",
                rebuild.waiting_nodes_size());
  set->AddCounter("cairn_rebuild_restored_fragments_total", "Fragments made again or moved.",
                  Number(rebuild.restored_fragments()));
  set->AddCounter("cairn_rebuild_restored_bytes_total", "Bytes of these.",
                  Number(rebuild.restored_bytes()));
  set->AddCounter("cairn_rebuild_passes_total", "Looks at all stripes that have ended.",
                  Number(rebuild.passes()));
  set->AddGauge("cairn_rebuild_failed_fragments",
                "Fragments that the last pass could not make; they are tried again.",
                Number(rebuild.failed_fragments()));
  set->AddGauge("cairn_rebuild_pass_stripes", "Stripes of the pass under way, about.",
                Number(rebuild.pass_stripes()));
  set->AddGauge("cairn_rebuild_pass_stripes_done", "So many of these have been looked at.",
                Number(rebuild.pass_stripes_done()));
}

void TellScrub(const wire::ScrubStatus& scrub, absl::Duration interval, MetricSet* set) {
  set->AddGauge("cairn_scrub_running", "1 while everything is read and compared.",
                Flag(scrub.running()));
  set->AddGauge("cairn_scrub_last_end_timestamp_seconds",
                "When the last scrub ended, as Unix time; 0: none has since the start.",
                static_cast<double>(scrub.ended_at_ns()) * 1e-9);
  set->AddGauge("cairn_scrub_interval_seconds", "How often it is to run; 0: never.",
                interval == absl::InfiniteDuration() ? 0 : absl::ToDoubleSeconds(interval));
  set->AddGauge("cairn_scrub_stripes", "Stripes of the scrub under way, or of the last; about.",
                Number(scrub.stripes()));
  set->AddGauge("cairn_scrub_stripes_done", "So many of these have been read.",
                Number(scrub.stripes_done()));
  set->AddGauge("cairn_scrub_verified_bytes", "Bytes that it has read.",
                Number(scrub.verified_bytes()));
  set->AddGauge("cairn_scrub_findings", "Fragments that it found missing, damaged or left over.",
                Number(scrub.findings()));
  set->AddGauge("cairn_scrub_repaired", "So many of these are mended.", Number(scrub.repaired()));
  set->AddCounter("cairn_scrub_reported_stripes_total",
                  "Stripes that clients had to read around something.", Number(scrub.reported()));
}

}  // namespace

void TellCluster(const ClusterSample& sample, MetricSet* set) {
  wire::ClusterMap map = *sample.map;
  for (wire::TargetInfo& target : *map.mutable_targets()) {
    const auto usage = sample.usage.find(target.id());
    if (usage == sample.usage.end()) continue;
    target.set_capacity_bytes(usage->second.capacity_bytes);
    target.set_used_bytes(usage->second.used_bytes);
    target.set_fragments(usage->second.fragments);
  }
  set->AddGauge("cairn_cluster_placement_groups", "Placement groups of the map.",
                map.groups_size());
  for (const wire::NodeInfo& node : map.nodes()) TellNode(node, set);
  for (const wire::TargetInfo& target : map.targets()) TellTarget(target, set);
  std::vector<wire::HealthItem> health = JudgeHealth(map, sample.warnings);
  health.insert(health.end(), sample.tier_health.begin(), sample.tier_health.end());
  TellHealth(health, set);
  TellRebuild(sample.rebuild, set);
  TellScrub(sample.rebuild.scrub(), sample.scrub_interval, set);
}

}  // namespace cairn
