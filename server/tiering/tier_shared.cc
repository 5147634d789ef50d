#include "server/tiering/tier_shared.h"

#include <algorithm>

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

Task<absl::Status> TierShared::KeepPace(const wire::TierInfo& tier, uint64_t bytes) {
  const Clock& clock = Executor::Current().clock();
  const uint64_t limit = LimitAt(tier.control(), MinuteOfDay(clock.WallNow()));
  const absl::Duration wait = pace_.Wait(tier.spec().name(), bytes, limit, clock.Now());
  if (wait <= absl::ZeroDuration()) co_return absl::OkStatus();
  co_return co_await SleepFor(wait, stop_);
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
