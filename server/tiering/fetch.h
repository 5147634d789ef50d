// Brings what lies in a cold tier alone back to the targets: in parts on many nodes side by side,
// under a lease of its own; each extent is exchanged once all of it is sealed.
#pragma once

#include "common/task/task.h"
#include "server/tiering/tier_shared.h"

namespace cairn {

// Ends with FinishTierStep. What has been exchanged stays on the targets when it fails, and is not
// fetched again.
Task<void> Fetch(TierShared* shared, TierTask task, TierProgress* progress);

}  // namespace cairn
