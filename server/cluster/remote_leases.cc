#include "server/cluster/remote_leases.h"

#include <algorithm>
#include <utility>

#include "common/task/executor.h"

namespace cairn {
namespace {

constexpr absl::Duration kCountsAsLive = absl::Seconds(1);
// As many as a CHECK_LEASES takes.
constexpr size_t kLeasesPerCall = 4096;

}  // namespace

Task<absl::StatusOr<bool>> RemoteLeases::IsLive(LeaseId lease) {
  const auto known = live_until_.find(lease);
  if (known != live_until_.end() && Executor::Current().clock().Now() < known->second)
    co_return true;
  std::shared_ptr<Waiting>& slot = waiting_[lease];
  if (slot == nullptr) slot = std::make_shared<Waiting>();
  const std::shared_ptr<Waiting> waiting = slot;
  if (!std::exchange(asking_, true)) scope_.Spawn(AskAll());
  co_await waiting->answered;
  co_return waiting->live;
}

Task<void> RemoteLeases::AskAll() {
  while (!waiting_.empty()) {
    Round round;
    while (!waiting_.empty() && round.size() < kLeasesPerCall)
      round.insert(waiting_.extract(waiting_.begin()));
    std::vector<LeaseId> leases;
    for (const auto& [lease, waiting] : round) leases.push_back(lease);
    const uint64_t forgotten = forgotten_;
    const absl::StatusOr<std::vector<LeaseId>> live = co_await ask_(std::move(leases));
    // Who waits may go on: whoever frees waits for the seals that have begun. Nobody later may.
    Answer(round, live, forgotten == forgotten_);
  }
  asking_ = false;
}

void RemoteLeases::Answer(const Round& round, const absl::StatusOr<std::vector<LeaseId>>& live,
                          bool keep) {
  const MonoTime now = Executor::Current().clock().Now();
  absl::erase_if(live_until_, [now](const auto& entry) { return entry.second <= now; });
  for (const auto& [lease, waiting] : round) {
    if (!live.ok()) {
      waiting->live = live.status();
    } else {
      const bool found = std::find(live->begin(), live->end(), lease) != live->end();
      waiting->live = found;
      if (found && keep) live_until_[lease] = now + kCountsAsLive;
    }
    waiting->answered.Set();
  }
}

void RemoteLeases::Forget() {
  live_until_.clear();
  ++forgotten_;
}

}  // namespace cairn
