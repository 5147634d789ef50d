// The chunk engine's nouns: fragments, runs of them, and the extents of a device where they lie.
#pragma once

#include <compare>
#include <cstdint>
#include <ostream>
#include <utility>

#include "common/base/ids.h"
#include "common/base/units.h"

namespace cairn {

// Space on a device is given out in these: also the largest alignment that direct I/O needs.
inline constexpr uint64_t kUnitBytes = 4 * kKiB;

// One piece of one stripe.
struct FragmentKey {
  StripeId stripe;
  uint32_t index = 0;  // 0..k-1 data, k..k+m-1 parity; 0 for a replica

  friend auto operator<=>(const FragmentKey&, const FragmentKey&) = default;
  template <class H>
  friend H AbslHashValue(H state, const FragmentKey& key) {
    return H::combine(std::move(state), key.stripe, key.index);
  }
  friend std::ostream& operator<<(std::ostream& out, const FragmentKey& key) {
    return out << key.stripe << '.' << key.index;
  }
};

// `count` stripes first, first + stride, ...; one fragment of each. REQUIRES: stride > 0.
struct FragmentRun {
  StripeId first_stripe;
  uint32_t count = 0;
  uint32_t stride = 1;
  uint32_t index = 0;

  FragmentKey key(uint32_t i) const {
    return {StripeId(first_stripe.value() + uint64_t{i} * stride), index};
  }
};

// Of fragments that the service has made again from others of their stripe: no writer's. Never
// granted, and never live.
inline constexpr LeaseId kRestoreLease{UINT64_MAX};

// What the index says of a sealed fragment.
struct HeldFragment {
  FragmentKey key;
  LeaseId lease;
  uint32_t length_bytes = 0;
  bool damaged = false;  // its record is, so the rest is unknown
};

// Bytes of a device, from its start; offset and length are multiples of kUnitBytes.
struct Extent {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;

  uint64_t end() const { return offset_bytes + length_bytes; }
  friend bool operator==(const Extent&, const Extent&) = default;
};

// How much of an extent a fragment of `length` bytes takes.
constexpr uint64_t ExtentBytes(uint64_t length) { return AlignUp(length, kUnitBytes); }

}  // namespace cairn
