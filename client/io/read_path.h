// The restore, client side: ranges → fragments → one READ_FRAGMENT each, pushed by the servers into
// the caller's memory → CRCs checked here. Nothing is copied. Next: server/service/chunk_service.h.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "client/io/read_plan.h"
#include "client/io/session.h"

namespace cairn {

// Fills every range, several fragments at once. On error the destinations are undefined; on return
// no server writes to them any more. `timeout` bounds each fragment from its turn in the windows
// on, retries included, and the wait for a turn while no transfer of the session ends well.
// DATA_LOSS: bytes that do not match their checksum, twice; the message names the stripe.
Task<absl::Status> ReadRanges(Session& session, std::span<const wire::ExtentRun> extents,
                              uint64_t size_bytes, std::vector<WantedRange> ranges,
                              absl::Duration timeout);

}  // namespace cairn
