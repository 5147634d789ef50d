// Pure: what the node with the metadata tells of its cluster to whoever scrapes its metrics: nodes,
// targets, health, rebuild and scrub.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/telemetry/metrics.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/cluster/moves.h"

namespace cairn {

// Of one moment, copied where the map lives.
struct ClusterSample {
  std::shared_ptr<const wire::ClusterMap> map;  // of its version; without what targets use
  std::map<uint32_t, MoveFacts::Usage> usage;   // by target
  std::vector<std::string> warnings;            // the metadata's
  std::vector<wire::HealthItem> tier_health;
  wire::RebuildStatusReply rebuild;  // with the scrub's status
  absl::Duration scrub_interval;     // infinite: it is off
};

// A map may be wrong in any way.
void TellCluster(const ClusterSample& sample, MetricSet* set);

}  // namespace cairn
