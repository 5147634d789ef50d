// Tries everything that a tier needs of a cold store, with objects of its own: what tells an
// operator, before anything depends on it, that a store works, or what is in the way.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/units.h"
#include "server/tier/call_bounds.h"
#include "server/tier/cold_store.h"

namespace cairn {

struct ProbeStep {
  // For people: "put an object", "read it whole", ...
  std::string name;
  absl::Duration took;
  absl::Status status;
  // What to do about a status that is not OK.
  std::string hint;
};

struct ProbeReport {
  std::vector<ProbeStep> steps;
  bool ok() const;
};

struct ProbeOptions {
  // The first object goes up in one piece, the second in parts of `part_bytes`, the last of them
  // short. S3 takes no smaller parts.
  uint64_t whole_bytes = 3 * kMiB;
  uint64_t parts_bytes = 6 * kMiB + 1234;
  uint64_t part_bytes = 5 * kMiB;
};

// Puts two objects under "cairn-probe/", one of them in parts, looks at them, reads them whole and
// by ranges, lists and deletes them, and makes sure that they are gone. Steps after one that failed
// are left out, but for the last, "clean up", which then deletes both, also when `bounds` has
// ended, for 15 seconds at most. Blocks the thread.
ProbeReport ProbeColdStore(ColdStore& store, const ProbeOptions& options, const CallBounds& bounds,
                           const Clock& clock, Random& random);

}  // namespace cairn
