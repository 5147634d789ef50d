// Pure: single targets that an operator wants empty, or out of the cluster. As for nodes (moves.h):
// what is wanted is in the map, and planning the moves does the rest.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/cluster/moves.h"

namespace cairn {

// Notes what is to become of a target that is there: anything but TARGET_ADD. A removed one that
// cannot be read now counts as lost. `usage` is that of MoveFacts; `lost_groups`: those of
// GroupsLostWithTarget() (losses.h) that hold data. NOT_FOUND: no such target. INVALID_ARGUMENT: no
// action. FAILED_PRECONDITION without `force`: what it holds would be lost with it; or, unless it
// is to be replaced, would have nowhere to go, saying what is missing.
absl::Status SetTargetIntent(wire::ClusterMap* map, const wire::SetTargetRequest& request,
                             const std::map<uint32_t, MoveFacts::Usage>& usage,
                             const std::set<uint32_t>& lost_groups);

// Takes targets that are being removed, and that no group and no move names any more, out of the
// map. Their nodes remember the numbers. Returns their ids.
std::vector<uint32_t> RemoveEmptyTargets(wire::ClusterMap* map);

}  // namespace cairn
