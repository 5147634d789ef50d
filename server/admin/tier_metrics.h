// Pure: what a node tells of cold tiers to whoever scrapes its metrics: every node what it has
// moved, the one with the metadata how tiering goes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/telemetry/metrics.h"
#include "proto/wire/tier.pb.h"
#include "server/tiering/mover.h"
#include "server/tiering/tier_loop.h"

namespace cairn {

// Of one moment, copied where the metadata lives.
struct TieringSample {
  std::vector<wire::TierInfo> tiers;  // none while too many queries wait
  TierLoop::Counters loop;
  uint64_t running = 0;  // jobs
  absl::Duration oldest_wait;
};

// By tier.
void TellTierTraffic(const std::map<std::string, TierTraffic>& traffic, MetricSet* set);
void TellTiering(const TieringSample& sample, MetricSet* set);

}  // namespace cairn
