#include "server/tier/cold_key.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "common/base/strings.h"

namespace cairn {
namespace {

// How much of a key a message shows.
constexpr size_t kShownBytesMax = 200;

absl::Status Wrong(std::string_view key, std::string_view why) {
  return absl::InvalidArgumentError(StrCat("the key ", QuotedKey(key), " ", why));
}

// The bytes of the UTF-8 character that `text` begins with; 0 where it is broken, overlong, a
// surrogate or beyond Unicode.
size_t CharacterBytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool unused = (lead == 0xed && byte(1) >= 0xa0) || (lead == 0xf4 && byte(1) >= 0x90);
  return overlong || unused ? 0 : length;
}

bool IsText(std::string_view text) {
  while (!text.empty()) {
    const size_t length = CharacterBytes(text);
    if (length == 0) return false;
    const auto first = static_cast<uint8_t>(text[0]);
    if (first < 0x20 || first == 0x7f) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

std::string QuotedKey(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, kShownBytesMax)) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
      out += c;
      continue;
    }
    char escaped[5];
    std::snprintf(escaped, sizeof(escaped), "\\x%02x", byte);
    out += escaped;
  }
  if (text.size() > kShownBytesMax) out += "...";
  return out + "\"";
}

absl::Status CheckColdKey(std::string_view key) {
  if (key.empty()) return absl::InvalidArgumentError("the key is empty");
  if (key.size() > kColdKeyBytesMax)
    return Wrong(key, StrCat("has more than ", kColdKeyBytesMax, " bytes"));
  if (!IsText(key)) return Wrong(key, "is not UTF-8 without control characters");
  if (key.starts_with(".cairn")) return Wrong(key, "begins with .cairn, which the store uses");
  for (size_t begin = 0; begin <= key.size();) {
    const size_t end = std::min(key.find('/', begin), key.size());
    const std::string_view part = key.substr(begin, end - begin);
    if (part.empty()) return Wrong(key, "has a slash at an end or two in a row");
    if (part == "." || part == "..") return Wrong(key, "has a part \".\" or \"..\"");
    if (part.size() > kColdKeyPartBytesMax)
      return Wrong(key, StrCat("has a part of more than ", kColdKeyPartBytesMax, " bytes"));
    begin = end + 1;
  }
  return absl::OkStatus();
}

}  // namespace cairn
