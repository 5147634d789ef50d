// The stripes that something refers to and that are on targets, in the order of their ids: what
// rebuild and fsck go through.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "server/meta/reclaim.h"
#include "server/meta/transaction.h"

namespace cairn {

// A run of stripes of a file, or the part of it [part.first, part.end()) that is on a page.
struct StripeRunPart {
  uint64_t run_first = 0;
  uint32_t run_count = 0;
  uint32_t stripe_bytes = 0;
  uint64_t run_length_bytes = 0;
  std::vector<uint32_t> groups;
  StripeSpan part;

  // REQUIRES: `stripe` is in the run.
  uint32_t GroupOf(uint64_t stripe) const { return groups[(stripe - run_first) % groups.size()]; }
  uint64_t LengthOf(uint64_t stripe) const;
};

struct StripePage {
  std::vector<StripeRunPart> parts;  // in order
  uint64_t end = 0;                  // all of the stripes below it are here; the next page's `from`
  bool last = false;
  uint64_t next_unused = 0;  // no id from here on has been given out
  // Asked for: what in [from, end) waits to be freed.
  std::vector<StripeSpan> pending;
};

// From `from` on, about `stripes_max` stripes. What loses its last reference while this looks is on
// the page, or pending, or both.
absl::StatusOr<StripePage> WalkStripes(const Transaction& txn, uint64_t from, uint64_t stripes_max,
                                       bool with_pending);

}  // namespace cairn
