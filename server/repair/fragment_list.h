// What a node's targets hold, for whoever compares it with what the metadata refers to.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/task/task.h"
#include "proto/wire/cluster.pb.h"
#include "server/repair/fragment_maker.h"

namespace cairn {

// Fragments of stripes in [first, end) on `targets`, as many as fit a message: ListFragmentsReply
// says how far. A target that cannot be asked is named, and holds up no other. INVALID_ARGUMENT: a
// range that is none.
Task<absl::StatusOr<wire::ListFragmentsReply>> ListFragments(
    const wire::ListFragmentsRequest& request, std::vector<uint32_t> targets, OnTarget on_target);

// Frees them on their targets, durably. Those that are not there are freed already.
Task<absl::Status> FreeFragments(const wire::FreeFragmentsRequest& request, OnTarget on_target);

}  // namespace cairn
