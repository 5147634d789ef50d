// Pure: what the cluster map becomes when a node brings its targets. The result is stored in the
// metadata, so that groups made once mean the same targets for ever.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/placement/redundancy.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// `stored` with the nodes and targets of `present` added or brought up to date. New targets get
// `groups_per_target` groups each, with ids after all existing ones; groups that exist are never
// touched. The version grows if and only if something changed. FAILED_PRECONDITION, naming it: a
// stored target of a present node is not among `present`'s, so its data would be unreachable; or a
// new target has failed before it held anything.
absl::StatusOr<wire::ClusterMap> MergeClusterMap(const wire::ClusterMap& stored,
                                                 const wire::ClusterMap& present,
                                                 uint32_t groups_per_target);

// `map` with placement groups for `redundancy`, fragments apart by `level`, over all targets that
// have not failed: `groups_per_target` for each, give or take a few. As it is when it has some
// already. The version grows if something changed. FAILED_PRECONDITION when there are too few
// domains, saying what would fit.
absl::StatusOr<wire::ClusterMap> AddGroupsFor(const wire::ClusterMap& map,
                                              const Redundancy& redundancy, wire::DomainLevel level,
                                              uint32_t groups_per_target);

}  // namespace cairn
