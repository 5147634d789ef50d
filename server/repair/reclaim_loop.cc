#include "server/repair/reclaim_loop.h"

#include <algorithm>
#include <utility>

#include "common/telemetry/log.h"

namespace cairn {
namespace {

// Spans a round frees: a round is one index batch a target.
constexpr size_t kSpansPerRound = 1024;
// Deleted space is not missed sooner than this, and an idle node does next to nothing.
constexpr absl::Duration kPause = absl::Seconds(1);
// The metadata refuses: it is full, or has failed.
constexpr absl::Duration kPauseAfterError = absl::Seconds(10);
// What a target refused is tried again soon, for it may have lacked space for a moment; later and
// later, for mostly it has failed and stays so until somebody looks after it.
constexpr absl::Duration kPatienceMin = absl::Seconds(10);
constexpr absl::Duration kPatienceMax = absl::Minutes(10);

}  // namespace

ReclaimLoop::ReclaimLoop(MetaEngine& meta, Targets targets)
    : meta_(meta), targets_(std::move(targets)), patience_(kPatienceMin) {}

Task<void> ReclaimLoop::Run() {
  while (!stop_.stop_requested()) {
    absl::StatusOr<bool> more = co_await FreeSome();
    absl::Status dropped = co_await DropEndedLeases();
    if (!more.ok() && !stop_.stop_requested()) {
      CAIRN_LOG_WARN("space could not be reclaimed, will be tried again: {}",
                     more.status().ToString());
    }
    if (!dropped.ok() && !stop_.stop_requested()) {
      CAIRN_LOG_WARN("unsealed fragments could not be dropped, will be tried again: {}",
                     dropped.ToString());
    }
    if (more.ok() && *more) continue;
    const absl::Duration pause = more.ok() && dropped.ok() ? kPause : kPauseAfterError;
    absl::Status slept = co_await SleepFor(pause, stop_);
    if (!slept.ok()) break;
  }
}

Task<absl::StatusOr<bool>> ReclaimLoop::FreeSome() {
  absl::StatusOr<std::vector<ReclaimItem>> items =
      co_await meta_.NextReclaim(kSpansPerRound, from_);
  if (!items.ok()) co_return items.status();
  if (items->empty()) {
    // The pass is over, however long it took: only now begins another.
    if (!passed_by_) patience_ = kPatienceMin;
    if (!passed_by_ || Executor::Current().clock().Now() < try_again_) co_return false;
    from_ = {};
    passed_by_ = false;
    co_return true;
  }
  std::vector<StripeSpan> spans;
  for (const ReclaimItem& item : *items) {
    spans.insert(spans.end(), item.stripes.begin(), item.stripes.end());
  }
  if (!spans.empty()) {
    absl::Status freed = co_await targets_.free(std::move(spans));
    if (!freed.ok()) {
      PassBy(*items, freed);
      co_return !stop_.stop_requested();
    }
  }
  if (passed_by_ && items->front().sequence == from_.sequence) {
    // The rest of an entry whose beginning was passed by: an entry is done from its start only.
    from_.stripe = items->front().next_stripe;
    items->erase(items->begin());
  }
  absl::Status done = co_await meta_.ReclaimDone(*std::move(items));
  if (!done.ok()) co_return done;
  co_return true;
}

void ReclaimLoop::PassBy(const std::vector<ReclaimItem>& items, const absl::Status& why) {
  from_ = {items.back().sequence, items.back().next_stripe};
  if (std::exchange(passed_by_, true)) return;
  // Once a pass: the reason is mostly the same for all.
  if (!stop_.stop_requested()) {
    CAIRN_LOG_WARN("space could not be reclaimed everywhere, will be tried again in {} s: {}",
                   absl::ToInt64Seconds(patience_), why.ToString());
  }
  try_again_ = Executor::Current().clock().Now() + patience_;
  patience_ = std::min(patience_ * 2, kPatienceMax);
}

Task<absl::Status> ReclaimLoop::DropEndedLeases() {
  const std::vector<LeaseId> pending = co_await targets_.pending_leases();
  for (LeaseId lease : pending) {
    if (meta_.LeaseIsLive(lease)) continue;
    absl::Status dropped = co_await targets_.drop_lease(lease);
    if (!dropped.ok()) co_return dropped;
  }
  co_return absl::OkStatus();
}

Task<void> ReclaimLoop::Stop() {
  stop_.RequestStop();
  co_await scope_.Join();
}

}  // namespace cairn
