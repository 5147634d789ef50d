#include "server/repair/scrub_loop.h"

#include <algorithm>
#include <utility>

#include "common/telemetry/log.h"

namespace cairn {
namespace {

constexpr size_t kReportedMax = 10'000;
constexpr int kReportsAtOnce = 64;
constexpr absl::Duration kLook = absl::Seconds(1);
constexpr absl::Duration kPauseAfterError = absl::Seconds(30);

int64_t WallNow() { return absl::ToUnixNanos(Executor::Current().clock().WallNow()); }

}  // namespace

ScrubLoop::ScrubLoop(StorageCheck& check, Options options)
    : check_(check), options_(std::move(options)) {}

void ScrubLoop::Report(uint64_t stripe) {
  if (reported_.size() < kReportedMax && reported_.insert(stripe).second)
    status_.set_reported(status_.reported() + 1);
}

Task<void> ScrubLoop::Run() {
  const bool never = options_.interval == absl::InfiniteDuration();
  absl::Status waited =
      co_await Wait(never ? options_.interval : std::min(options_.first_after, options_.interval));
  while (waited.ok() && !stop_.stop_requested()) {
    absl::Status done = co_await RunPass();
    if (!done.ok() && !stop_.stop_requested())
      CAIRN_LOG_WARN("the scrub has stopped, will begin again: {}", done);
    waited = co_await Wait(done.ok() ? options_.interval : kPauseAfterError);
  }
}

Task<absl::Status> ScrubLoop::Wait(absl::Duration duration) {
  const Clock& clock = Executor::Current().clock();
  const MonoTime until = clock.Now() + duration;
  do {
    absl::Status mended = co_await MendReported();
    absl::Duration pause = std::min(kLook, until - clock.Now());
    if (!mended.ok()) pause = kPauseAfterError;
    absl::Status slept = co_await SleepFor(std::max(pause, absl::ZeroDuration()), stop_);
    if (!slept.ok()) co_return slept;
  } while (clock.Now() < until);
  co_return absl::OkStatus();
}

Task<absl::Status> ScrubLoop::Mend(wire::CheckStorageRequest request,
                                   wire::CheckStorageReply* reply) {
  request.set_verify(true);
  request.set_repair(true);
  absl::StatusOr<wire::CheckStorageReply> checked = co_await check_.Step(std::move(request));
  if (!checked.ok()) co_return checked.status();
  for (const wire::StorageFinding& finding : checked->findings()) {
    status_.set_findings(status_.findings() + 1);
    if (finding.repaired()) status_.set_repaired(status_.repaired() + 1);
    CAIRN_LOG_WARN("scrub: {}, stripe {}, fragment {}, target {}: {}",
                   wire::StorageFault_Name(finding.fault()), finding.stripe(), finding.index(),
                   finding.target(), finding.repaired() ? "mended" : "not mended");
  }
  *reply = *std::move(checked);
  co_return absl::OkStatus();
}

Task<absl::Status> ScrubLoop::MendReported() {
  // A few at a time: whoever reports without end must not hold up the scrub.
  for (int i = 0; i < kReportsAtOnce && !reported_.empty() && !stop_.stop_requested(); ++i) {
    // Out of the list first: what is reported from now on is looked at again.
    const uint64_t stripe = *reported_.begin();
    reported_.erase(reported_.begin());
    wire::CheckStorageRequest request;
    request.set_from(stripe);
    request.set_end(stripe + 1);
    wire::CheckStorageReply reply;
    absl::Status mended = co_await Mend(std::move(request), &reply);
    if (mended.ok()) continue;
    reported_.insert(stripe);
    co_return mended;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ScrubLoop::RunPass() {
  const Clock& clock = Executor::Current().clock();
  const uint64_t reported = status_.reported();
  const int64_t ended = status_.ended_at_ns();
  status_ = {};
  status_.set_reported(reported);
  status_.set_ended_at_ns(ended);
  status_.set_running(true);
  status_.set_began_at_ns(WallNow());
  uint64_t from = 0;
  absl::Status result;
  while (!stop_.stop_requested()) {
    const MonoTime began = clock.Now();
    wire::CheckStorageRequest request;
    request.set_from(from);
    wire::CheckStorageReply reply;
    result = co_await Mend(std::move(request), &reply);
    if (!result.ok()) break;
    status_.set_stripes_done(reply.next());
    status_.set_stripes(reply.last_stripe());
    status_.set_verified_bytes(status_.verified_bytes() + reply.verified_bytes());
    if (reply.done()) break;
    from = reply.next();
    const auto bandwidth = static_cast<double>(std::max<uint64_t>(options_.bandwidth(), 1));
    const absl::Duration share =
        absl::Seconds(static_cast<double>(reply.verified_bytes()) / bandwidth);
    result = co_await Wait(share - (clock.Now() - began));
    if (!result.ok()) break;
  }
  status_.set_running(false);
  if (!result.ok() || stop_.stop_requested()) co_return result;
  status_.set_stripes_done(status_.stripes());
  status_.set_ended_at_ns(WallNow());
  CAIRN_LOG_INFO("scrub: read {} bytes, found {}, mended {}", status_.verified_bytes(),
                 status_.findings(), status_.repaired());
  co_return absl::OkStatus();
}

void ScrubLoop::RequestStop() { stop_.RequestStop(); }

Task<void> ScrubLoop::Stop() {
  stop_.RequestStop();
  co_await scope_.Join();
}

}  // namespace cairn
