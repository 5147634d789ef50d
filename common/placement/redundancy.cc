#include "common/placement/redundancy.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/base/crc32c.h"
#include "common/base/strings.h"
#include "common/base/units.h"

namespace cairn {
namespace {

constexpr std::string_view kReplica = "replica:";
constexpr std::string_view kErasureCode = "ec:";

// All of `text` as a plain number: no sign, no spaces, no leading zero.
std::optional<uint32_t> ParseNumber(std::string_view text) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

absl::Status Unknown(std::string_view text) {
  return absl::InvalidArgumentError(StrCat(
      "\"", std::string(text), "\" is no redundancy: write replica:N (1 to ",
      Redundancy::kReplicasMax, " copies) or ec:K+M (2 to ", Redundancy::kDataMax,
      " data and 1 to ", Redundancy::kParityMax, " parity fragments), as replica:3 or ec:4+2"));
}

}  // namespace

uint64_t Redundancy::FragmentSpan(uint64_t stripe_length_bytes) const {
  if (scheme == Scheme::kReplica) return stripe_length_bytes;
  return AlignUp(DivideUp(stripe_length_bytes, uint64_t{data_fragments}), kBlockBytes);
}

uint64_t Redundancy::FragmentLength(uint64_t stripe_length_bytes, uint32_t index) const {
  if (scheme == Scheme::kReplica) return stripe_length_bytes;
  const uint64_t span = FragmentSpan(stripe_length_bytes);
  if (index >= data_fragments) return std::min(span, stripe_length_bytes);
  const uint64_t begin = std::min(index * span, stripe_length_bytes);
  return std::min(span, stripe_length_bytes - begin);
}

absl::StatusOr<Redundancy> ParseRedundancy(std::string_view text) {
  if (text.starts_with(kReplica)) {
    const auto copies = ParseNumber(text.substr(kReplica.size()));
    if (!copies || *copies < 1 || *copies > Redundancy::kReplicasMax) return Unknown(text);
    return Redundancy{Redundancy::Scheme::kReplica, 1, *copies - 1};
  }
  if (!text.starts_with(kErasureCode)) return Unknown(text);
  const std::string_view numbers = text.substr(kErasureCode.size());
  const size_t plus = numbers.find('+');
  if (plus == numbers.npos) return Unknown(text);
  const auto data = ParseNumber(numbers.substr(0, plus));
  const auto parity = ParseNumber(numbers.substr(plus + 1));
  if (!data || !parity || *data < 2 || *data > Redundancy::kDataMax || *parity < 1 ||
      *parity > Redundancy::kParityMax) {
    return Unknown(text);
  }
  return Redundancy{Redundancy::Scheme::kErasureCode, *data, *parity};
}

std::string FormatRedundancy(const Redundancy& redundancy) {
  if (redundancy.scheme == Redundancy::Scheme::kReplica)
    return StrCat(kReplica, redundancy.width());
  return StrCat(kErasureCode, redundancy.data_fragments, "+", redundancy.parity_fragments);
}

}  // namespace cairn
