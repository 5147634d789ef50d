#include "server/repair/free_spans.h"

#include <utility>

namespace cairn {
namespace {

// Fragments freed in one call, which is one synced index batch: 128 KiB of keys and as much log.
constexpr size_t kFragmentsAtOnce = 8192;

// Takes what the target holds of `span`, from `*from` on, until the batch is full; `*from` is where
// to go on then. OK with a batch that is not full: the span is done.
Task<absl::Status> Collect(Target& target, StripeSpan span, FragmentKey* from,
                           std::vector<FragmentRun>* batch) {
  const size_t limit = kFragmentsAtOnce - batch->size();
  absl::StatusOr<std::vector<FragmentKey>> keys =
      co_await target.ListFragments(*from, StripeId(span.end()), limit);
  if (!keys.ok()) co_return keys.status();
  for (const FragmentKey& key : *keys) batch->push_back({key.stripe, 1, 1, key.index});
  if (!keys->empty()) *from = {keys->back().stripe, keys->back().index + 1};
  co_return absl::OkStatus();
}

}  // namespace

Task<absl::Status> FreeSpans(Target& target, std::vector<StripeSpan> spans) {
  // They may have passed their check of the lease before it ended, and seal what would not be found
  // yet.
  co_await target.SealsUnderWay();
  // Many spans share a batch: mostly they are short, or hold nothing here.
  std::vector<FragmentRun> batch;
  for (const StripeSpan& span : MergeAdjacent(std::move(spans))) {
    FragmentKey from{StripeId(span.first), 0};
    while (true) {
      absl::Status collected = co_await Collect(target, span, &from, &batch);
      if (!collected.ok()) co_return collected;
      if (batch.size() < kFragmentsAtOnce) break;
      absl::Status freed = co_await target.Free(std::exchange(batch, {}));
      if (!freed.ok()) co_return freed;
    }
  }
  if (batch.empty()) co_return absl::OkStatus();
  absl::Status freed = co_await target.Free(std::move(batch));
  co_return freed;
}

}  // namespace cairn
