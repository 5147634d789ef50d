// What a placement group of the cluster map says of its redundancy.
#pragma once

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/placement/redundancy.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// Groups and replies from before there was a choice name none.
inline constexpr char kDefaultRedundancy[] = "replica:1";

inline std::string RedundancyTextOf(const wire::PlacementGroup& group) {
  return group.redundancy().empty() ? kDefaultRedundancy : group.redundancy();
}

inline absl::StatusOr<Redundancy> RedundancyOf(const wire::PlacementGroup& group) {
  return ParseRedundancy(RedundancyTextOf(group));
}

// The groups of a map, for many look-ups. Refers to the map.
class GroupTable {
 public:
  explicit GroupTable(const wire::ClusterMap& map) {
    for (const wire::PlacementGroup& group : map.groups()) groups_.emplace(group.id(), &group);
  }
  // FAILED_PRECONDITION: the map has no such group.
  absl::StatusOr<Redundancy> Find(PgId id) const {
    const auto found = groups_.find(id.value());
    if (found == groups_.end()) {
      return absl::FailedPreconditionError(
          StrCat("the cluster map has no placement group ", id.value()));
    }
    return RedundancyOf(*found->second);
  }

 private:
  absl::flat_hash_map<uint32_t, const wire::PlacementGroup*> groups_;
};

}  // namespace cairn
