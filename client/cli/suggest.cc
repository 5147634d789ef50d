// See suggest.h.
#include "client/cli/suggest.h"

#include <algorithm>
#include <array>
#include <utility>

namespace cairn::cli {
namespace {

// What other tools call it, and what it is called here.
constexpr std::array<std::pair<std::string_view, std::string_view>, 22> kOtherNames = {{
    {"add", "create"}, {"checkpoint", "ckpt"}, {"checkpoints", "ckpt"}, {"copy", "put"},
    {"cp", "put"},     {"del", "rm"},          {"delete", "rm"},        {"describe", "show"},
    {"destroy", "rm"}, {"download", "get"},    {"fetch", "get"},        {"get", "show"},
    {"info", "show"},  {"list", "ls"},         {"make", "create"},      {"mk", "create"},
    {"move", "mv"},    {"new", "create"},      {"remove", "rm"},        {"rename", "mv"},
    {"stat", "show"},  {"upload", "put"},
}};

// Edits between two words, a swap of neighbors counting as one (optimal string alignment).
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({change, last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

// Of short words a single letter, or anything would be like "ls".
size_t Tolerance(std::string_view word) { return word.size() <= 4 ? 1 : 2; }

}  // namespace

std::string Nearest(std::string_view typed, const std::vector<std::string>& words) {
  std::string nearest, begun;
  size_t least = Tolerance(typed) + 1, beginnings = 0;
  for (const std::string& word : words) {
    const size_t distance = Distance(typed, word);
    // A word of two letters has nothing left of it after two edits.
    if (distance < least && distance < std::max(typed.size(), word.size())) {
      nearest = word;
      least = distance;
    }
    if (typed.size() > 1 && word.starts_with(typed)) {
      begun = word;
      ++beginnings;
    }
  }
  if (beginnings == 1) return begun;
  for (const auto& [other, word] : kOtherNames) {
    const bool is_one =
        other == typed && std::find(words.begin(), words.end(), word) != words.end();
    if (is_one) return std::string(word);
  }
  return nearest;
}

}  // namespace cairn::cli
