#include "server/tiering/tier_shared.h"

#include <algorithm>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

// Objects under way on each node: one is read while another is put.
constexpr size_t kMovesPerNode = 2;
constexpr absl::Duration kHoldMin = absl::Seconds(2);
constexpr absl::Duration kHoldMax = absl::Minutes(5);

}  // namespace

bool MayRecover(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

bool IsTiersFault(const absl::Status& status) {
  return MayRecover(status) || absl::IsPermissionDenied(status) ||
         absl::IsResourceExhausted(status) || absl::IsFailedPrecondition(status);
}

absl::Status CancelledByOperator() { return absl::CancelledError("an operator has cancelled it"); }

absl::Status Superseded(const absl::Status& refused) {
  if (!absl::IsFailedPrecondition(refused)) return refused;
  return absl::AbortedError(refused.message());
}

TierShared::TierShared(MetaEngine& meta, TierNodes& nodes)
    : meta_(meta),
      nodes_(nodes),
      slots_([this] { return kMovesPerNode * nodes_.Alive().size(); }) {}

void TierShared::RequestStop() {
  stop_.RequestStop();
  slots_.Stop();
}

absl::StatusOr<wire::TierInfo> TierShared::FindTier(const std::string& name) const {
  const auto found = tiers_.find(name);
  if (found != tiers_.end()) return found->second;
  return absl::NotFoundError(StrCat("there is no tier \"", name, "\""));
}

void TierShared::SetTiers(const wire::ListTiersReply& tiers) {
  tiers_.clear();
  for (const wire::TierInfo& tier : tiers.tiers()) tiers_.emplace(tier.spec().name(), tier);
  std::erase_if(states_, [this](const auto& state) { return !tiers_.contains(state.first); });
}

absl::StatusOr<wire::NodeInfo> TierShared::NextNode() {
  std::vector<wire::NodeInfo> alive = nodes_.Alive();
  if (alive.empty()) return absl::UnavailableError("no node is alive");
  return alive[next_node_++ % alive.size()];
}

Task<absl::Status> TierShared::KeepPace(const wire::TierInfo& tier, Slots::Class of,
                                        uint64_t bytes) {
  std::unique_ptr<Semaphore>& line = pacing_[{tier.spec().name(), of}];
  if (line == nullptr) line = std::make_unique<Semaphore>(1);
  Semaphore& turn = *line;
  CO_RETURN_IF_ERROR(co_await turn.Acquire(1, Deadline::Infinite()));
  const Clock& clock = Executor::Current().clock();
  // The tier's limit as it is now.
  const absl::StatusOr<wire::TierInfo> now = FindTier(tier.spec().name());
  const wire::TierControl& control = now.ok() ? now->control() : tier.control();
  const uint64_t limit = LimitAt(control, MinuteOfDay(clock.WallNow()));
  const absl::Duration wait = pace_.Wait(tier.spec().name(), bytes, limit, clock.Now());
  absl::Status waited;
  if (wait > absl::ZeroDuration()) waited = co_await SleepFor(wait, stop_);
  turn.Release(1);
  co_return waited;
}

absl::Status TierShared::OfNode(const absl::Status& answered) const {
  if (!absl::IsCancelled(answered) || stop_.stop_requested()) return answered;
  return absl::UnavailableError(answered.message());
}

void TierShared::NoteOutcome(const std::string& tier, const absl::Status& outcome) {
  if (absl::IsCancelled(outcome)) return;
  if (outcome.ok()) {
    states_.erase(tier);
    return;
  }
  if (!IsTiersFault(outcome)) return;
  const Clock& clock = Executor::Current().clock();
  TierState& state = states_[tier];
  if (state.failures == 0) state.failing_since = clock.WallNow();
  // Those that were under way together have failed together: once counts.
  if (state.failures == 0 || clock.Now() >= state.hold_until) ++state.failures;
  state.error = outcome;
  state.failed_at = clock.Now();
  const absl::Duration hold =
      std::min(kHoldMax, kHoldMin * (1 << std::min(state.failures, 10u)) / 2);
  state.hold_until = clock.Now() + hold;
}

bool TierShared::IsHeld(const std::string& tier) const {
  const auto found = states_.find(tier);
  return found != states_.end() && Executor::Current().clock().Now() < found->second.hold_until;
}

}  // namespace cairn
