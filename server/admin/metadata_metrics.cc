#include "server/admin/metadata_metrics.h"

namespace cairn {
namespace {

double Number(uint64_t value) { return static_cast<double>(value); }

void TellCounts(const MetaCounters& counters, MetricSet* set) {
  set->AddGauge("cairn_meta_checkpoints", "Committed checkpoints.", Number(counters.checkpoints));
  set->AddGauge("cairn_meta_files", "Files, shards of committed checkpoints included.",
                Number(counters.files));
  set->AddGauge("cairn_meta_pending_free_bytes",
                "Bytes that nothing refers to any more and that targets have not freed yet.",
                Number(counters.pending_free_bytes));
  set->AddGauge("cairn_meta_cleanup_backlog_tasks",
                "Removals that are answered, and whose records are still to be taken apart.",
                Number(counters.cleanup_backlog));
}

void TellWork(const MetadataSample& sample, MetricSet* set) {
  set->AddCounter("cairn_meta_mutations_total",
                  "Calls that change the metadata; renewals of leases are none.",
                  Number(sample.calls.mutations));
  set->AddCounter("cairn_meta_queries_total", "Calls that only read it.",
                  Number(sample.calls.queries));
  set->AddHistogram("cairn_meta_commit_seconds",
                    "From the beginning of a group of changes until it is durable.",
                    sample.groups.group_ns, kDeviceTimes);
  set->AddHistogram("cairn_meta_group_commands", "Changes that one synced write made durable.",
                    sample.groups.group_commands, kGroupSizes);
  set->AddCounter("cairn_meta_refused_commands_total",
                  "Changes that were told to come back because too many waited.",
                  Number(sample.groups.refused));
  set->AddGauge("cairn_meta_waiting_commands", "Changes that wait for the next group.",
                Number(sample.commands_waiting));
  set->AddGauge("cairn_meta_waiting_queries", "Calls that wait to read.",
                Number(sample.queries_waiting));
  set->AddGauge("cairn_meta_leases", "Writers that are alive.", Number(sample.leases));
  set->AddGauge("cairn_meta_store_bytes", "Files of the metadata's store.",
                Number(sample.store_bytes));
  set->AddCounter("cairn_meta_cleanup_failures_total", "Put-off work that has failed.",
                  Number(sample.health.cleanup_failures));
  set->AddGauge("cairn_meta_cleanup_set_aside_tasks",
                "Put-off work that has failed and waits for a restart; its space stays taken.",
                Number(sample.health.cleanup_set_aside));
  set->AddCounter("cairn_meta_clock_steps_total", "Jumps of the wall clock.",
                  Number(sample.health.clock_steps));
}

}  // namespace

void TellMetadata(const MetadataSample& sample, MetricSet* set) {
  if (sample.counters.has_value()) TellCounts(*sample.counters, set);
  TellWork(sample, set);
  set->AddGauge("cairn_save_open_attempts", "Checkpoints that are being written.",
                Number(sample.open_attempts));
  set->AddGauge("cairn_save_oldest_attempt_seconds",
                "How long the oldest of them has been open; 0 without any.",
                absl::ToDoubleSeconds(sample.oldest_attempt));
  set->AddCounter("cairn_save_commits_total", "Checkpoints committed.",
                  Number(sample.saves.committed));
  set->AddCounter("cairn_save_committed_bytes_total", "Bytes of these.",
                  Number(sample.saves.committed_bytes));
  set->AddCounter("cairn_save_aborts_total",
                  "Attempts that were aborted, superseded, or whose writers fell silent.",
                  Number(sample.saves.aborted));
  set->AddHistogram("cairn_save_duration_seconds",
                    "From the first rank's begin to the commit of a checkpoint.",
                    sample.saves.durations_ns, kSaveTimes);
  // Zero would be in 1970, and an alarm.
  if (sample.saves.last_commit_ns == 0) return;
  set->AddGauge("cairn_save_last_commit_timestamp_seconds",
                "When the last checkpoint was committed, as Unix time; absent before the first "
                "since the start.",
                static_cast<double>(sample.saves.last_commit_ns) * 1e-9);
}

}  // namespace cairn
