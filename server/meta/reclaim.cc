#include "server/meta/reclaim.h"

#include <algorithm>

namespace cairn {

std::vector<StripeSpan> SubtractLive(StripeSpan range, std::span<const StripeSpan> live) {
  std::vector<StripeSpan> free;
  uint64_t at = range.first;
  for (const StripeSpan& span : live) {
    if (span.first >= range.end() || at >= range.end()) break;
    if (span.count == 0 || span.end() <= at) continue;
    if (span.first > at) free.push_back({at, span.first - at});
    at = span.end();
  }
  if (at < range.end()) free.push_back({at, range.end() - at});
  return free;
}

std::vector<StripeSpan> MergeAdjacent(std::vector<StripeSpan> spans) {
  std::sort(spans.begin(), spans.end(),
            [](const StripeSpan& a, const StripeSpan& b) { return a.first < b.first; });
  std::vector<StripeSpan> merged;
  for (const StripeSpan& span : spans) {
    if (span.count == 0) continue;
    if (!merged.empty() && span.first <= merged.back().end()) {
      merged.back().count = std::max(merged.back().end(), span.end()) - merged.back().first;
    } else {
      merged.push_back(span);
    }
  }
  return merged;
}

}  // namespace cairn
