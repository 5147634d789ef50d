// One fragment of a stripe: from the target that holds it, or from the others. Every byte is
// compared with its checksum here. When to do which: hedged_read.h and read_path.h.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "client/io/read_plan.h"
#include "client/io/session.h"

namespace cairn {

using Regions = std::vector<std::unique_ptr<MemoryRegion>>;

// How bytes get into memory: `regions` is what the pieces of a read are registered as, by range.
struct Delivery {
  Session& session;
  const Regions& regions;
  // For a turn in a node's window, while no transfer of the session ends well.
  absl::Duration patience;
  // For reaching the node.
  absl::Duration reach_within = absl::Seconds(20);
};

// Reads what `read` wants, but of fragment `index` of its stripe, from the target that has it or,
// just after another has taken over, from the former one. Moves `deadline` on by the time spent
// waiting for the node's window. On return no node writes to the memory any more. DATA_LOSS: the
// bytes do not match their checksum. NOT_FOUND: its target does not hold it.
Task<absl::Status> ReadHeld(const Delivery& to, const FragmentRead& read, uint32_t index,
                            Deadline& deadline);

// Reads what `read` wants without its fragment: from another copy, or made of any k others. As
// ReadHeld(), and the reason of one of the others when too few are left. REQUIRES: width > 1.
Task<absl::Status> ReadWithoutFragment(const Delivery& to, const FragmentRead& read,
                                       Deadline& deadline);

// Copies what the pieces lack. `from` begins at byte `from_offset` of the fragment.
void CopyToPieces(const FragmentRead& read, ConstBytes from, uint64_t from_offset);

}  // namespace cairn
