#include "server/meta/lease.h"

#include <algorithm>
#include <iterator>

namespace cairn {

void LeaseTable::Grant(LeaseId lease) {
  if (expired_.contains(lease)) return;
  if (const auto known = entries_.find(lease); known != entries_.end()) order_.erase(known->second);
  order_.push_back({lease, clock_.Now() + ttl_});
  entries_[lease] = std::prev(order_.end());
}

bool LeaseTable::Renew(LeaseId lease) {
  MoveExpired();
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

std::vector<LeaseId> LeaseTable::Expired(size_t limit) {
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
