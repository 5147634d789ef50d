#include "server/tiering/tier_directory.h"

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

constexpr absl::Duration kKnownFor = absl::Seconds(10);
// What is known is good enough when the metadata does not answer at once.
constexpr absl::Duration kAskTimeout = absl::Seconds(1);

}  // namespace

bool TierDirectory::IsFresh(const std::string& name) const {
  return tiers_.contains(name) && Executor::Current().clock().Now() - asked_at_ < kKnownFor;
}

Task<absl::StatusOr<wire::TierSpec>> TierDirectory::Find(std::string name, Deadline deadline) {
  if (IsFresh(name)) co_return tiers_.at(name);
  CO_RETURN_IF_ERROR(co_await asking_.Acquire(1, deadline));
  if (!IsFresh(name)) {
    const Clock& clock = Executor::Current().clock();
    const Deadline until =
        tiers_.contains(name) ? Earlier(deadline, Deadline::After(clock, kAskTimeout)) : deadline;
    const absl::StatusOr<wire::ListTiersReply> reply = co_await ask_(until);
    if (reply.ok()) {
      tiers_.clear();
      for (const wire::TierInfo& tier : reply->tiers())
        tiers_.emplace(tier.spec().name(), tier.spec());
      asked_at_ = clock.Now();
    } else if (tiers_.contains(name)) {
      asked_at_ = clock.Now();  // not again for a while
    } else {
      asking_.Release(1);
      co_return reply.status();
    }
  }
  asking_.Release(1);
  const auto found = tiers_.find(name);
  if (found == tiers_.end())
    co_return absl::NotFoundError(StrCat("there is no tier \"", name, "\""));
  co_return found->second;
}

}  // namespace cairn
