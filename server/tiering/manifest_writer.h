// Manifests: what the objects of a tier are, told in the tier itself, so that the namespace can be
// made again of the tier alone.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "common/task/task.h"
#include "server/tiering/tier_shared.h"

namespace cairn {

// Puts manifests of all of `tasks` and adds them to `finish`, with what they tell of. What is not
// found is passed by. ABORTED: some of one is not copied.
Task<absl::Status> WriteManifests(TierShared* shared, const wire::TierInfo& tier,
                                  const std::vector<TierTask>& tasks, disk::FinishTierStep* finish);

}  // namespace cairn
