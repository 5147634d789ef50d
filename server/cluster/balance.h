// Pure: how evenly targets are filled, and an operator's wish to have them more even. The moves are
// planned with all others (moves.h).
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/cluster/moves.h"

namespace cairn {

// Notes that targets are to differ by at most so many percent of their capacity. INVALID_ARGUMENT:
// not 1 to 99.
absl::Status StartRebalance(wire::ClusterMap* map, uint32_t threshold_percent);
// Takes that back, and every move that evens out and has not switched its member yet. Returns
// whether that is a change.
bool StopRebalance(wire::ClusterMap* map);

// How full the targets are that take data, what is under way, and what it would take to even them
// out to `threshold_percent`, if nothing else came in between.
wire::RebalanceReply DescribeBalance(const wire::ClusterMap& map, MoveFacts facts,
                                     uint32_t threshold_percent);

}  // namespace cairn
