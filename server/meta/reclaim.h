// Which stripes may be freed: pure arithmetic on ranges of ids. pending_free.cc feeds it from the
// store.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cairn {

// Stripes [first, first + count).
struct StripeSpan {
  uint64_t first = 0;
  uint64_t count = 0;
  uint64_t end() const { return first + count; }
  friend bool operator==(const StripeSpan&, const StripeSpan&) = default;
};

// What of `range` no span in `live` covers, ascending, no two adjacent. `live` is sorted by `first`
// and may overlap itself and reach beyond the range.
std::vector<StripeSpan> SubtractLive(StripeSpan range, std::span<const StripeSpan> live);

// The same set with as few spans as possible, ascending.
std::vector<StripeSpan> MergeAdjacent(std::vector<StripeSpan> spans);

}  // namespace cairn
