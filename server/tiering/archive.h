// Copies checkpoints and files into a cold tier: their runs as objects, then manifests that tell
// what lies in these, and only then the note that they are copied.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "common/task/task.h"
#include "server/tiering/object_packer.h"
#include "server/tiering/tier_shared.h"

namespace cairn {

// All of `tasks` together, so that small files share objects. Ends with FinishTierStep for each.
// Everything that was copied stays so when it fails, and is not copied again. `progress` and
// `shared` outlive it.
Task<void> Archive(TierShared* shared, std::vector<TierTask> tasks, TierProgress* progress);

// Makes one object and notes it, on some node, tried again elsewhere while that may help.
Task<absl::Status> CopyObject(TierShared* shared, wire::TierInfo tier, PackedObject packed,
                              TierProgress* progress);

// Tells the metadata how a step has ended.
Task<void> FinishStep(TierShared* shared, disk::FinishTierStep finish, absl::Status outcome);

}  // namespace cairn
