// Pure: the part of health.h that is about members of placement groups on their way to other
// targets, or that ought to be.
#pragma once

#include <vector>

#include "proto/wire/meta.pb.h"

namespace cairn {

// Adds what there is to say: NODE_DRAINING, DATA_MOVING, REBUILD_BLOCKED.
void JudgeMoves(const wire::ClusterMap& map, std::vector<wire::HealthItem>* items);

}  // namespace cairn
