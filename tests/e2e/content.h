// Bytes that follow from a seed, and shard names that carry it. A test that kills the writer can
// then still tell, from what is stored alone, whether a byte is right.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/random.h"

namespace cairn::e2e {

// `size_bytes` bytes; a longer content of the same seed begins with them.
inline std::vector<std::byte> SeededContent(uint64_t seed, uint64_t size_bytes) {
  std::vector<std::byte> content(size_bytes);
  SeededRandom random(seed);
  for (size_t at = 0; at < content.size(); at += sizeof(uint64_t)) {
    const uint64_t word = random.Next();
    memcpy(content.data() + at, &word, std::min(sizeof(word), content.size() - at));
  }
  return content;
}

// "rank3.seed41.bin"
inline std::string SeededName(uint32_t rank, uint64_t seed) {
  return absl::StrCat("rank", rank, ".seed", seed, ".bin");
}

inline std::optional<uint64_t> SeedOfName(const std::string& name) {
  constexpr std::string_view kMark = ".seed";
  const size_t mark = name.rfind(kMark);
  if (mark == std::string::npos) return std::nullopt;
  const size_t digits = mark + kMark.size();
  uint64_t seed = 0;
  if (!absl::SimpleAtoi(name.substr(digits, name.find('.', digits) - digits), &seed))
    return std::nullopt;
  return seed;
}

}  // namespace cairn::e2e
