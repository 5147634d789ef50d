// Frees whatever a target holds of ranges of stripes. Ranges come from leases and are mostly empty,
// so the index is scanned instead of asked for each id.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "common/task/task.h"
#include "server/chunk/target.h"
#include "server/meta/reclaim.h"

namespace cairn {

// On the target's executor. Durable when it returns OK; errors are the target's.
Task<absl::Status> FreeSpans(Target& target, std::vector<StripeSpan> spans);

}  // namespace cairn
