#include "server/repair/reclaim_loop.h"

#include <utility>

#include "common/telemetry/log.h"

namespace cairn {
namespace {

// Spans a round frees: a round is one index batch a target.
constexpr size_t kSpansPerRound = 1024;
// Deleted space is not missed sooner than this, and an idle node does next to nothing.
constexpr absl::Duration kPause = absl::Seconds(1);
// What has failed is mostly a target that stays so until somebody looks after it.
constexpr absl::Duration kPauseAfterError = absl::Seconds(10);

}  // namespace

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
  absl::StatusOr<std::vector<ReclaimItem>> items = co_await meta_.NextReclaim(kSpansPerRound);
  if (!items.ok()) co_return items.status();
  if (items->empty()) co_return false;
  std::vector<StripeSpan> spans;
  for (const ReclaimItem& item : *items) {
    spans.insert(spans.end(), item.stripes.begin(), item.stripes.end());
  }
  if (!spans.empty()) {
    absl::Status freed = co_await targets_.free(std::move(spans));
    if (!freed.ok()) co_return freed;
  }
  absl::Status done = co_await meta_.ReclaimDone(*std::move(items));
  if (!done.ok()) co_return done;
  co_return true;
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
