// Pure: whether what is to leave has somewhere to go.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// Nodes and targets alone: groups are most of a map.
wire::ClusterMap WithoutGroups(const wire::ClusterMap& map);

// Whether everything that the targets `leaving` hold by the groups of `map` can go elsewhere, with
// the nodes and targets of `after`, where they are leaving. FAILED_PRECONDITION: not all of it,
// saying which redundancy needs how many domains. `who`: "node 3"; `todo`: what helps, "add nodes".
absl::Status CheckRoom(const wire::ClusterMap& map, const wire::ClusterMap& after,
                       const std::set<uint32_t>& leaving, const std::string& who,
                       const std::string& todo);

}  // namespace cairn
