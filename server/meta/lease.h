// When leases run out. Only in memory: which leases exist is in the log (attempt.cc, file.cc), how
// long they still live is not, so a heartbeat costs no write. Owned by MetaEngine.
#pragma once

#include <list>
#include <set>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/ids.h"

namespace cairn {

// Lives on one executor. Measures on the monotonic clock, so a step of the wall clock ends no
// lease; and only the time in which renewals could be heard: whoever owns it looks at it often, and
// a long time between two looks (a stopped process, a virtual machine on the move) is given back to
// all leases.
class LeaseTable {
 public:
  LeaseTable(const Clock& clock, absl::Duration ttl)
      : clock_(clock), ttl_(ttl), looked_at_(clock.Now()) {}

  // How often Expired() has to be asked, at least.
  absl::Duration look_interval() const { return ttl_ / 8; }

  // A new lease, or a sign of life of a known one: a full TTL from now. One that has run out stays
  // so.
  void Grant(LeaseId lease);
  // False when the lease is unknown or Expired() has named it. Late is early enough before that.
  bool Renew(LeaseId lease);
  // It is known, and not run out by the last look.
  bool IsLive(LeaseId lease) const { return entries_.contains(lease); }
  // As IsLive(), or run out and not ended yet.
  bool IsKnown(LeaseId lease) const { return IsLive(lease) || expired_.contains(lease); }
  // Whether one is known that is below `bound`.
  bool AnyBelow(LeaseId bound) const;
  // Its end has been applied.
  void End(LeaseId lease);

  // Leases that have run out and are not ended yet, oldest first, at most `limit`. From now on they
  // cannot be renewed.
  std::vector<LeaseId> Expired(size_t limit);

  size_t size() const { return entries_.size() + expired_.size(); }

 private:
  struct Entry {
    LeaseId lease;
    MonoTime expires_at;
  };
  void GiveBackGap();
  void MoveExpired();

  const Clock& clock_;
  const absl::Duration ttl_;
  MonoTime looked_at_;
  // By time of expiry, which is the order of renewal since all have the same TTL.
  std::list<Entry> order_;
  absl::flat_hash_map<LeaseId, std::list<Entry>::iterator> entries_;
  std::set<LeaseId> expired_;
};

}  // namespace cairn
