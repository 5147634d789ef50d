// What a placement group of the cluster map says of its redundancy.
#pragma once

#include <string>

#include "absl/status/statusor.h"
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

}  // namespace cairn
