// Reed-Solomon over GF(2^8), from ISA-L: k data fragments and m parity fragments, any k of which
// give all the others. The matrix is Cauchy's, of which every square part can be inverted; it is
// part of the format, since stored parity was made with it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/units.h"

namespace cairn {

// A fragment of a stripe that has been read: data fragments are 0 to k - 1, parity k to k + m - 1.
struct CodedFragment {
  uint32_t index = 0;
  ConstBytes bytes;
};
struct WantedFragment {
  uint32_t index = 0;
  MutableBytes bytes;
};

// Immutable, hence thread-safe.
class ErasureCode {
 public:
  // Together as many as one byte can number, of which one is left free.
  static constexpr uint32_t kFragmentsMax = 255;

  // INVALID_ARGUMENT without data, and above kFragmentsMax.
  static absl::StatusOr<ErasureCode> Create(uint32_t data_fragments, uint32_t parity_fragments);

  uint32_t data_fragments() const { return data_; }
  uint32_t parity_fragments() const { return parity_; }

  // Fills `parity` from `data`. REQUIRES: k and m of them, all of one length. Data may be cut along
  // its length and encoded piece by piece: byte i of parity depends on byte i of each data fragment
  // only.
  void Encode(std::span<const ConstBytes> data, std::span<const MutableBytes> parity) const;

  // Fills `wanted` from `present`, of which the first k are used. DATA_LOSS with fewer than k.
  // REQUIRES: indexes below k + m, those of `present` distinct, all bytes of one length.
  absl::Status Reconstruct(std::span<const CodedFragment> present,
                           std::span<const WantedFragment> wanted) const;

 private:
  ErasureCode(uint32_t data, uint32_t parity);

  uint32_t data_;
  uint32_t parity_;
  std::vector<uint8_t> matrix_;         // k + m rows of k: the identity, then the parity's
  std::vector<uint8_t> encode_tables_;  // of the parity's rows
};

}  // namespace cairn
