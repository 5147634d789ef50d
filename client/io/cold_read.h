// Bytes that lie in a cold tier alone: any node reads them from the store, verifies them, and
// pushes them into the caller's memory. Next: server/tiering/cold_service.h.
#pragma once

#include "absl/status/status.h"
#include "client/io/fragment_read.h"
#include "client/io/read_plan.h"

namespace cairn {

// Asks one node, and others while it or the store does not answer, for `timeout`. NOT_FOUND: the
// object is not in its store any more. DATA_LOSS: it is damaged there, as two nodes say. On return
// no node writes to the memory any more.
Task<absl::Status> ReadCold(const Delivery& to, const ColdRead& read, absl::Duration timeout);

}  // namespace cairn
