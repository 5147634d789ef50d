// Memory and messages of a job, counted by making them.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/scale/study.h"
#include "proto/wire/meta.pb.h"

namespace cairn::scale {

// `extents`: of a rank's shard. `sessions`: of the node that has most, in one save.
Footprint FootprintOf(const Case& study, const wire::ClusterMap& map,
                      const std::vector<wire::ExtentRun>& extents, uint32_t sessions,
                      double session_bytes);

}  // namespace cairn::scale
