#include "server/repair/free_spans.h"

#include <optional>
#include <utility>

namespace cairn {
namespace {

// Fragments freed in one index batch.
constexpr size_t kFragmentsAtOnce = 1024;

// One seek finds the first fragment of a span; freeing goes on from there until the span's end.
Task<absl::Status> FreeSpan(Target& target, StripeSpan span) {
  std::optional<FragmentKey> after;
  if (span.first > 0) after = FragmentKey{StripeId(span.first - 1), UINT32_MAX};
  while (true) {
    absl::StatusOr<std::vector<ChunkIndex::Entry>> entries =
        co_await target.ListFragments(after, kFragmentsAtOnce);
    if (!entries.ok()) co_return entries.status();
    std::vector<FragmentRun> runs;
    for (const ChunkIndex::Entry& entry : *entries) {
      if (entry.key.stripe.value() >= span.end()) break;
      runs.push_back({entry.key.stripe, 1, 1, entry.key.index});
    }
    if (runs.empty()) co_return absl::OkStatus();
    const bool more = runs.size() == kFragmentsAtOnce;
    after = runs.back().key(0);
    absl::Status freed = co_await target.Free(std::move(runs));
    if (!freed.ok() || !more) co_return freed;
  }
}

}  // namespace

Task<absl::Status> FreeSpans(Target& target, std::vector<StripeSpan> spans) {
  // Ends after the seals under way, which passed their check of the lease before it ended: a
  // removal of nothing waits its turn behind them.
  absl::Status sealed = co_await target.Free({});
  if (!sealed.ok()) co_return sealed;
  for (const StripeSpan& span : spans) {
    absl::Status freed = co_await FreeSpan(target, span);
    if (!freed.ok()) co_return freed;
  }
  co_return absl::OkStatus();
}

}  // namespace cairn
