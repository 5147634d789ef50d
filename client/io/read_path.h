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

// A file as it was opened.
struct OpenedFile {
  uint64_t inode = 0;
  uint64_t version = 0;
  uint64_t size_bytes = 0;
  std::span<const wire::ExtentRun> extents;  // all of it, in order
};

// Fills every range, several fragments at once. On error the destinations are undefined; on return
// no server writes to them any more. `timeout` bounds each fragment from its turn in the windows
// on, retries included, and the wait for a turn while no transfer of the session ends well.
// DATA_LOSS: bytes that do not match their checksum, twice, or a fragment that its target has lost;
// the message names the stripe. FAILED_PRECONDITION: the file was replaced or removed since it was
// opened. Extents that have changed since, because bytes have gone to a cold tier or have come from
// one, are asked for anew, and told in `newer` (null: nobody wants to know).
Task<absl::Status> ReadRanges(Session& session, OpenedFile file, std::vector<WantedRange> ranges,
                              absl::Duration timeout,
                              std::vector<wire::ExtentRun>* newer = nullptr);

// All extents of an opened file, as they are now. NOT_FOUND: it was replaced or removed.
Task<absl::StatusOr<std::vector<wire::ExtentRun>>> FetchExtents(Session& session, uint64_t inode,
                                                                uint64_t version,
                                                                uint64_t size_bytes,
                                                                Deadline deadline);

}  // namespace cairn
