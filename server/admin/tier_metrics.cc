#include "server/admin/tier_metrics.h"

namespace cairn {
namespace {

double Number(uint64_t value) { return static_cast<double>(value); }

}  // namespace

void TellTierTraffic(const std::map<std::string, TierTraffic>& traffic, MetricSet* set) {
  for (const auto& [name, bytes] : traffic) {
    const MetricLabels labels = {{"tier", name}};
    set->AddCounter("cairn_tier_archived_bytes_total", "Bytes the node has copied into the tier.",
                    Number(bytes.archived_bytes), labels);
    set->AddCounter("cairn_tier_recalled_bytes_total",
                    "Bytes the node has taken back from it to targets.",
                    Number(bytes.recalled_bytes), labels);
    set->AddCounter("cairn_tier_read_bytes_total",
                    "Bytes of it that clients have read through the node.",
                    Number(bytes.read_bytes), labels);
    set->AddCounter("cairn_tier_failures_total", "Moves and reads that have failed.",
                    Number(bytes.failures), labels);
  }
}

void TellTiering(const TieringSample& sample, MetricSet* set) {
  for (const wire::TierInfo& tier : sample.tiers) {
    const MetricLabels labels = {{"tier", tier.spec().name()}};
    set->AddGauge("cairn_tier_objects", "Objects that lie in the tier.", Number(tier.objects()),
                  labels);
    set->AddGauge("cairn_tier_stored_bytes", "Bytes of these.", Number(tier.stored_bytes()),
                  labels);
    set->AddGauge("cairn_tier_live_bytes", "Of these, what files refer to.",
                  Number(tier.live_bytes()), labels);
    set->AddGauge("cairn_tier_archive_paused", "1 while an operator has copying into it paused.",
                  tier.control().archive_paused() ? 1 : 0, labels);
    set->AddGauge("cairn_tier_recall_paused", "1 while an operator has fetching from it paused.",
                  tier.control().recall_paused() ? 1 : 0, labels);
  }
  set->AddGauge("cairn_tiering_waiting_steps",
                "Checkpoints and files that wait for a step of tiering, as far as was looked.",
                Number(sample.loop.waiting));
  set->AddGauge("cairn_tiering_oldest_wait_seconds",
                "How long the oldest of them has waited; 0 without any.",
                absl::ToDoubleSeconds(sample.oldest_wait));
  set->AddGauge("cairn_tiering_running_steps", "Steps under way.", Number(sample.running));
  set->AddCounter("cairn_tiering_steps_total", "Steps that were begun.",
                  Number(sample.loop.steps_begun));
  set->AddCounter("cairn_tiering_deleted_objects_total",
                  "Objects removed from tiers because nothing refers to them.",
                  Number(sample.loop.deleted_objects));
  set->AddCounter("cairn_tiering_compacted_bytes_total",
                  "Bytes copied out of objects that were mostly garbage.",
                  Number(sample.loop.compacted_bytes));
}

}  // namespace cairn
