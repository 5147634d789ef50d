// Pure: what the cluster map becomes when there are new targets or a new redundancy. The result is
// stored in the metadata, so that groups made once mean the same targets for ever. Who is a member:
// membership.h.
#pragma once

#include <cstdint>
#include <set>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/placement/redundancy.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// `stored` with the nodes and targets of `present` added or brought up to date: what the founding
// node does at its start. New targets get `groups_per_target` groups each, with ids after all
// existing ones; groups that exist are never touched. What `present` leaves open of a node (rack,
// name) stays, and so does what an operator wants of it and of its targets, but its state is the
// one of `present`. The version grows if and only if something changed. FAILED_PRECONDITION, naming
// it: a stored target of a present node is not among `present`'s, so its data would be unreachable;
// a new target has failed before it held anything; or a present target has the id of another
// node's, which has joined or has been removed.
absl::StatusOr<wire::ClusterMap> MergeClusterMap(const wire::ClusterMap& stored,
                                                 const wire::ClusterMap& present,
                                                 uint32_t groups_per_target);

// `map` with placement groups for `redundancy`, fragments apart by `level`, over all usable
// targets: `groups_per_target` for each, give or take a few. A target is usable when it has not
// failed, is not joining, its node is UP or SUSPECT, and no operator wants it or its node empty. As
// it is when it has some already. The version grows if something changed. FAILED_PRECONDITION when
// there are too few domains, saying what would fit, or when racks are asked for and a usable
// target's node has not said its own.
absl::StatusOr<wire::ClusterMap> AddGroupsFor(const wire::ClusterMap& map,
                                              const Redundancy& redundancy, wire::DomainLevel level,
                                              uint32_t groups_per_target);

// Adds groups for usable targets that have none yet: of "replica:1", and of every other redundancy
// and level that has groups. Node `heard` counts as UP, whatever the map says. New targets are in
// at least `groups_per_target` groups of each, and in more until they are in three quarters as many
// as the others are on average, as long as groups bring them nearer to that, and those of a
// redundancy are no more than four times `groups_per_target` for each target of the map.
//
// Passed over, until the next call: a redundancy that has too few usable domains now; of groups
// apart by rack, targets whose node has not said its rack. Groups that exist are never touched; the
// version stays.
void AddGroupsForNewTargets(wire::ClusterMap* map, uint32_t heard, uint32_t groups_per_target);

// Makes the version of `after`, made from `before`, the next one if anything else differs, and else
// the same. Returns whether it differs.
bool BumpVersionIfChanged(const wire::ClusterMap& before, wire::ClusterMap* after);

// With fewer usable failure domains nothing can be written: one would get more fragments of a
// stripe than may be lost.
uint32_t FewestDomains(const Redundancy& redundancy);

// Sees to it that every redundancy which has groups has one that can be written to, as far as the
// targets that are up allow. Where too few failure domains are, a domain gets several fragments of
// a stripe, but never more than may be lost, so that the stripe still survives the loss of any one
// of them. Those groups are crowded; what is written to them is whole.
void AddUsableGroups(wire::ClusterMap* map, uint32_t groups_per_target);

// As AddUsableGroups() for one redundancy, for a writer to whom `avoid` are out of reach although
// they are up for the cluster.
void AddGroupsWithout(const std::set<uint32_t>& avoid, std::string_view redundancy,
                      uint32_t groups_per_target, wire::ClusterMap* map);

}  // namespace cairn
