// Frees what nothing refers to on all nodes of the cluster.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "common/task/task.h"
#include "proto/wire/meta.pb.h"
#include "server/cluster/peers.h"
#include "server/meta/reclaim.h"

namespace cairn {

// On all nodes of `map` side by side: on `own_node` through `here`. Durable everywhere when it
// returns OK. A node that is down or does not answer holds up no other, but is an error: it may be
// back with all that it held, and nothing would look for these stripes again. `map` is looked at
// before the first await only; `peers` outlives the call.
Task<absl::Status> FreeEverywhere(
    Peers& peers, const wire::ClusterMap& map, uint32_t own_node, std::vector<StripeSpan> spans,
    const std::function<Task<absl::Status>(std::vector<StripeSpan>)>& here);

}  // namespace cairn
