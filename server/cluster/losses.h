// Pure: placement groups that nothing could be read of any more if nodes or targets were gone.
// Which of them hold anything, the metadata knows (server/repair/groups_in_use.h).
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "proto/wire/meta.pb.h"

namespace cairn {

// Groups that would lack more than they may while `nodes` are stopped, all at once. Counts those
// that are down already.
std::set<uint32_t> GroupsUnreadableWithout(const wire::ClusterMap& map,
                                           const std::vector<uint32_t>& nodes);

// Groups that would have lost more than they may, if what the node or the target holds counted as
// lost. None while it can be read: it is moved away then. What else is down may come back.
std::set<uint32_t> GroupsLostWithNode(const wire::ClusterMap& map, uint32_t node);
std::set<uint32_t> GroupsLostWithTarget(const wire::ClusterMap& map, uint32_t target);

// By redundancy, for people: "4 placement groups of replica:1".
std::vector<std::string> DescribeGroups(const wire::ClusterMap& map,
                                        const std::set<uint32_t>& groups);

}  // namespace cairn
