// A read that does not wait for a slow target: when it takes longer than most, the bytes are made
// of the stripe's other fragments as well, and whatever comes first serves.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "client/io/fragment_read.h"

namespace cairn {

struct ReadOutcome {
  // Of reading the fragment itself. OK: the pieces hold what is wanted.
  absl::Status held;
  // Of reading around it, if that was tried. OK: the pieces hold what is wanted.
  std::optional<absl::Status> around;
};

// As ReadHeld() of the read's own fragment. The bytes of the other way arrive in memory of their
// own and are copied when they have won: until the first node has answered, or has been hung up on,
// it may still write to the pieces. `to` and `read` outlive the call.
Task<ReadOutcome> ReadHedged(const Delivery& to, const FragmentRead& read, Deadline& deadline);

}  // namespace cairn
