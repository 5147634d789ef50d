// How the bytes of a bucket survive: as copies or by an erasure code. A value, written "replica:n"
// or "ec:k+m" wherever people and records name it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace cairn {

struct Redundancy {
  enum class Scheme { kReplica, kErasureCode };

  // Above these a group has more members than anybody profits from, and a lost one costs more reads
  // than it saved space.
  static constexpr uint32_t kReplicasMax = 8;
  static constexpr uint32_t kDataMax = 32;
  static constexpr uint32_t kParityMax = 8;

  Scheme scheme = Scheme::kReplica;
  uint32_t data_fragments = 1;    // k; of replicas 1: each is the whole stripe
  uint32_t parity_fragments = 0;  // m; of n replicas n - 1

  // Fragments of a stripe, each in a failure domain of its own.
  uint32_t width() const { return data_fragments + parity_fragments; }
  // Domains that may be lost at once.
  uint32_t tolerance() const { return parity_fragments; }
  // Data fragment i of a stripe holds its bytes from i * FragmentSpan() on, as many at most. Spans
  // are whole blocks, so that the stripe's block checksums are its fragments'; hence a short stripe
  // may leave data fragments empty, and those are not stored.
  uint64_t FragmentSpan(uint64_t stripe_length_bytes) const;
  // What fragment `index` holds. Parity is as long as the longest data fragment; to encode, shorter
  // ones count as if filled with zeros.
  uint64_t FragmentLength(uint64_t stripe_length_bytes, uint32_t index) const;
  // What is stored for a byte of content, parity included.
  double overhead() const { return static_cast<double>(width()) / data_fragments; }

  friend bool operator==(const Redundancy&, const Redundancy&) = default;
};

// INVALID_ARGUMENT in words for everything but "replica:1" to "replica:8" and "ec:k+m" with
// 2 <= k <= 32 and 1 <= m <= 8.
absl::StatusOr<Redundancy> ParseRedundancy(std::string_view text);
std::string FormatRedundancy(const Redundancy& redundancy);

}  // namespace cairn
