#include "server/meta/lease.h"

#include <algorithm>
#include <iterator>

namespace cairn {

// Whoever was not heard in the gap may have spoken. A quarter of the TTL is twice the time between
// two looks of a healthy owner, and what a lease can do without.
void LeaseTable::GiveBackGap() {
  const MonoTime now = clock_.Now();
  const absl::Duration gap = now - looked_at_;
  looked_at_ = now;
  if (gap <= ttl_ / 4) return;
  for (Entry& entry : order_) entry.expires_at = entry.expires_at + gap;
}

void LeaseTable::Grant(LeaseId lease) {
  GiveBackGap();
  if (expired_.contains(lease)) return;
  if (const auto known = entries_.find(lease); known != entries_.end()) order_.erase(known->second);
  order_.push_back({lease, clock_.Now() + ttl_});
  entries_[lease] = std::prev(order_.end());
}

bool LeaseTable::Renew(LeaseId lease) {
  if (!entries_.contains(lease)) return false;
  Grant(lease);
  return true;
}

void LeaseTable::End(LeaseId lease) {
  expired_.erase(lease);
  const auto known = entries_.find(lease);
  if (known == entries_.end()) return;
  order_.erase(known->second);
  entries_.erase(known);
}

bool LeaseTable::AnyBelow(LeaseId bound) const {
  return (!expired_.empty() && *expired_.begin() < bound) ||
         std::any_of(order_.begin(), order_.end(),
                     [bound](const Entry& entry) { return entry.lease < bound; });
}

std::vector<LeaseId> LeaseTable::Expired(size_t limit) {
  GiveBackGap();
  MoveExpired();
  std::vector<LeaseId> result;
  for (const LeaseId lease : expired_) {
    if (result.size() == limit) break;
    result.push_back(lease);
  }
  return result;
}

void LeaseTable::MoveExpired() {
  const MonoTime now = clock_.Now();
  while (!order_.empty() && order_.front().expires_at <= now) {
    expired_.insert(order_.front().lease);
    entries_.erase(order_.front().lease);
    order_.pop_front();
  }
}

}  // namespace cairn
