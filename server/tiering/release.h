// Lets go of the space that copied checkpoints and files have on the targets, once it is sure that
// the copy is there.
#pragma once

#include "common/task/task.h"
#include "server/tiering/tier_shared.h"

namespace cairn {

// Looks for each object of the copy in its store first: what somebody has deleted there is noted,
// and the subject is copied again. Ends with FinishTierStep.
Task<void> Release(TierShared* shared, TierTask task, TierProgress* progress);

}  // namespace cairn
