// Which placement groups hold anything that is referred to: an empty one is no loss.
#pragma once

#include <cstdint>
#include <set>

#include "absl/status/statusor.h"
#include "common/task/task.h"
#include "server/meta/meta_engine.h"

namespace cairn {

// Those of `groups` that stripes of files are in, attempts that are under way included, as far as
// their ranks are done. Reads the run of stripes of each file until all are found: some hundred
// thousand a second.
Task<absl::StatusOr<std::set<uint32_t>>> GroupsInUse(MetaEngine& meta, std::set<uint32_t> groups);

}  // namespace cairn
