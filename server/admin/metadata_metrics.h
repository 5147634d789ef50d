// Pure: what the node with the metadata tells of it to whoever scrapes its metrics.
#pragma once

#include <cstdint>
#include <optional>

#include "common/telemetry/metrics.h"
#include "server/meta/meta_engine.h"
#include "server/service/meta_service.h"

namespace cairn {

// Of one moment, copied where the metadata lives.
struct MetadataSample {
  std::optional<MetaCounters> counters;  // none while too many queries wait
  MetaService::Counters calls;
  MetaHealth health;
  GroupCommitter::Counters groups;
  uint64_t commands_waiting = 0;
  uint64_t queries_waiting = 0;
  uint64_t leases = 0;
  SaveLog::Totals saves;
  uint64_t open_attempts = 0;
  absl::Duration oldest_attempt;  // how long it has been open; zero: none is
  uint64_t store_bytes = 0;
};

void TellMetadata(const MetadataSample& sample, MetricSet* set);

}  // namespace cairn
