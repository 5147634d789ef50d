// The table of checkpoints that `ckpt ls` and `ckpt prune` print.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cairn/client.h"
#include "client/cli/table.h"

namespace cairn::cli {

std::string RenderCheckpoints(const std::vector<CheckpointInfo>& checkpoints, absl::Time now,
                              TextStyle style);

}  // namespace cairn::cli
