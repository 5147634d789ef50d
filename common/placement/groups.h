// Pure: which targets form which placement groups. The table is computed once, when targets join,
// and stored in the cluster map; it is never recomputed from code, so a new release cannot move
// data by accident.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/ids.h"

namespace cairn {

struct PlacementTarget {
  TargetId id;
  // Fragments of one group are never in the same domain (the node, or its rack).
  uint32_t failure_domain = 0;
};

struct PlacementGroupTargets {
  PgId id;
  std::vector<TargetId> targets;  // in fragment order
};

// `group_count` groups of `width` targets each, ids from `first_id` on. Within a group, domains are
// distinct; over all groups, each target is in as many as any other, give or take one where domains
// allow. `load`: how many each is in already, so that those in fewer are filled up first; who is
// not in it is in none. Rendezvous hashing with our own fixed hash breaks ties, so the same input
// gives the same table on every machine, and a smaller `group_count` a shorter one that begins
// alike. FAILED_PRECONDITION when there are fewer than `width` domains; the message says how many
// there are.
absl::StatusOr<std::vector<PlacementGroupTargets>> BuildGroups(
    std::span<const PlacementTarget> targets, uint32_t group_count, uint32_t width,
    uint32_t first_id, const std::map<TargetId, uint32_t>& load = {});

// Orders each group's targets so that of its first `data_fragments` members, which alone are read
// as long as all is well, every target is one as often as any other. `data_load`: how often each
// has been one before. Which targets are a group stays.
void SpreadData(uint32_t data_fragments, std::map<TargetId, uint32_t> data_load,
                std::vector<PlacementGroupTargets>* groups);

// How well a group and a target go together: breaks ties, the higher the better. Fixed for ever.
uint64_t PlacementScore(uint32_t group, TargetId target);

}  // namespace cairn
