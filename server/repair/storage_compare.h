// Pure: what the metadata refers to, against what the targets hold.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <set>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/ids.h"
#include "proto/wire/cluster.pb.h"
#include "server/meta/stripe_walk.h"
#include "server/repair/map_view.h"

namespace cairn {

// What targets hold of a range of stripes.
struct HeldFragments {
  struct Fragment {
    uint32_t target = 0;
    uint32_t index = 0;
    uint64_t length_bytes = 0;
    LeaseId lease;
    bool damaged = false;
  };
  absl::flat_hash_map<uint64_t, std::vector<Fragment>> by_stripe;
  // Of these nothing is known.
  std::set<uint32_t> unreachable;
};

struct StorageDifference {
  wire::StorageFault fault = wire::STORAGE_FAULT_UNSPECIFIED;
  uint64_t stripe = 0;
  uint32_t group = 0;
  uint32_t index = 0;
  uint32_t target = 0;
  // Not part of what it is: for its repair.
  uint64_t stripe_length_bytes = 0;
  std::vector<uint32_t> elsewhere;  // targets that are no place for the fragment, and hold it

  friend bool operator==(const StorageDifference& a, const StorageDifference& b) {
    return a.Key() == b.Key();
  }
  friend auto operator<=>(const StorageDifference& a, const StorageDifference& b) {
    return a.Key() <=> b.Key();
  }

 private:
  std::tuple<uint64_t, int, uint32_t, uint32_t, uint32_t> Key() const {
    return {stripe, fault, group, index, target};
  }
};

// All differences of stripes in [range.first, range.end()), in order. `page` holds what is referred
// to there and what waits to be freed; it was made after `held`. Fragments that nothing refers to,
// of leases that are known still (`lease_is_known`, also asked after `held` was made), are nobody's
// fault. As long as the rightful place of an index has none that is good, others of that index are
// no orphans, wherever they lie. Where a group's member is just being replaced, rebuild sees to
// what is missing.
std::vector<StorageDifference> CompareStorage(const MapView& view, const StripePage& page,
                                              StripeSpan range, const HeldFragments& held,
                                              const std::function<bool(LeaseId)>& lease_is_known);

}  // namespace cairn
