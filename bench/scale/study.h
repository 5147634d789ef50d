// One case of the study: a cluster, a job and a checkpoint of it, saved and restored.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "bench/scale/hardware.h"
#include "bench/scale/limits.h"
#include "bench/scale/placement_plan.h"
#include "bench/scale/simulation.h"

namespace cairn::scale {

struct Case {
  Hardware hardware;
  Software software;
  std::string shape_name;
  Shape shape;
  // Nodes that fail before the save, and between it and the restore.
  uint32_t down_at_save = 0;
  uint32_t down_at_restore = 0;
  uint64_t first_turn = 1;
  // Stripes to simulate, all ranks together; 0: all. Of a longer job so many at the most and half
  // as many are simulated, and the difference of the two tells what each further stripe takes.
  uint64_t stripes_max = 0;
};

// A save or a restore.
struct Measured {
  Limit limit;
  double seconds = 0;
  double bytes_per_second = 0;   // of content
  double efficiency = 0;         // of the limit, from the first call to the last reply
  double moving_efficiency = 0;  // of the limit, while bytes move
  uint64_t content_bytes = 0;
  ResourceKind busiest = ResourceKind::kDisk;
  double busiest_share = 0;  // of the simulated time
  double meta_share = 0;     // of the simulated time, the metadata's busiest thread
  Outcome simulated;         // of the longest run
  uint64_t simulated_bytes = 0;
};

// What serving the job costs a node and the node with the metadata.
struct Footprint {
  uint64_t map_bytes = 0;
  uint32_t groups = 0;
  uint64_t map_calls = 0;    // for each client, once
  uint64_t begin_bytes = 0;  // request and reply
  uint64_t rank_done_bytes = 0;
  uint64_t stat_bytes = 0;
  double renewals_per_second = 0;
  uint64_t fixed_memory_bytes = 0;  // slabs, receive buffers, the map
  // Of the sessions of one save; and when every rank has met every node, as after many saves.
  uint64_t memory_bytes = 0;
  uint64_t memory_bytes_max = 0;
};

struct CaseResult {
  Measured save;
  Measured restore;
  Footprint footprint;
};

// `map` is the cluster's before anything failed but what is down at the save; `plan`, by that map,
// may have longer shards. `session_bytes`: what a session takes of a server's memory.
absl::StatusOr<CaseResult> RunCase(const Case& study, const wire::ClusterMap& map,
                                   const PlacementPlan& plan, double session_bytes);

}  // namespace cairn::scale
