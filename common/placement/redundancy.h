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
  // Each fragment of a stripe of so many bytes; 0 of none. The last data fragment of a short stripe
  // may hold less, and counts as if filled with zeros.
  uint64_t FragmentBytes(uint64_t stripe_length_bytes) const;
  // What is stored for a byte of content, parity included.
  double overhead() const { return static_cast<double>(width()) / data_fragments; }

  friend bool operator==(const Redundancy&, const Redundancy&) = default;
};

// INVALID_ARGUMENT in words for everything but "replica:1" to "replica:8" and "ec:k+m" with
// 2 <= k <= 32 and 1 <= m <= 8.
absl::StatusOr<Redundancy> ParseRedundancy(std::string_view text);
std::string FormatRedundancy(const Redundancy& redundancy);

}  // namespace cairn
