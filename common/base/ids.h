// Strong ids: a number that names one kind of thing cannot be passed where another kind is meant.
#pragma once

#include <compare>
#include <cstdint>
#include <ostream>

#include "absl/hash/hash.h"

namespace cairn {

template <class Tag, class Rep = uint64_t>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  friend constexpr auto operator<=>(StrongId, StrongId) = default;
  template <class H>
  friend H AbslHashValue(H state, StrongId id) {
    return H::combine(std::move(state), id.value_);
  }
  friend std::ostream& operator<<(std::ostream& out, StrongId id) { return out << id.value_; }

 private:
  Rep value_{};
};

using NodeId = StrongId<struct NodeIdTag, uint32_t>;
using TargetId = StrongId<struct TargetIdTag, uint32_t>;
// A placement group. Stripes are assigned to PGs, never to targets.
using PgId = StrongId<struct PgIdTag, uint32_t>;
// An immutable stripe. Ids are granted by the metadata in ranges and never used twice.
using StripeId = StrongId<struct StripeIdTag>;
using LeaseId = StrongId<struct LeaseIdTag>;
using InodeId = StrongId<struct InodeIdTag>;
using AttemptId = StrongId<struct AttemptIdTag>;
// One client's hello to one node. Ends when its control connection closes.
using SessionId = StrongId<struct SessionIdTag>;

}  // namespace cairn
