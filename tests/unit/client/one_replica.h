// For tests of plans that are not about redundancy.
#pragma once

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/placement/redundancy.h"

namespace cairn {

// Every group keeps one copy.
inline absl::StatusOr<Redundancy> OneReplica(PgId) { return Redundancy(); }

}  // namespace cairn
