// See format.h.
#include "client/cli/format.h"

#include <array>
#include <cctype>
#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace cairn::cli {
namespace {

// Three significant digits; 9.995 and above would round up to a fourth.
std::string ThreeDigits(double value) {
  if (value < 9.995) return absl::StrFormat("%.2f", value);
  if (value < 99.95) return absl::StrFormat("%.1f", value);
  return absl::StrFormat("%.0f", value);
}

absl::Status BadBytes(std::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(
      "'", std::string(text), "' is not a size; write it like 4096, 64KiB, 1.5GiB or 1GB"));
}

absl::Status BadDuration(std::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(
      "'", std::string(text), "' is not a duration; write it like 90s, 30m, 1h30m, 7d or 2w"));
}

// Length of the valid UTF-8 sequence at the start of `text`; 0 when there is none. Overlong forms
// and surrogates are refused with the rest of what is invalid.
size_t Utf8Length(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  size_t length = byte(0) < 0x80                      ? 1
                  : byte(0) >= 0xc2 && byte(0) < 0xe0 ? 2
                  : byte(0) >= 0xe0 && byte(0) < 0xf0 ? 3
                  : byte(0) >= 0xf0 && byte(0) < 0xf5 ? 4
                                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (length == 3 && byte(0) == 0xe0 && byte(1) < 0xa0) return 0;
  if (length == 3 && byte(0) == 0xed && byte(1) >= 0xa0) return 0;
  if (length == 4 && byte(0) == 0xf0 && byte(1) < 0x90) return 0;
  if (length == 4 && byte(0) == 0xf4 && byte(1) >= 0x90) return 0;
  return length;
}

}  // namespace

std::string HumanBytes(uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  static constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // 999.5 would print as 1000 of the smaller unit.
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return absl::StrCat(ThreeDigits(value), " ", kUnits[unit]);
}

std::string HumanRate(uint64_t bytes, absl::Duration elapsed) {
  const double seconds = absl::ToDoubleSeconds(elapsed);
  if (seconds <= 0) return "-";
  double value = static_cast<double>(bytes) / seconds / 1000;
  static constexpr std::array kUnits = {"kB/s", "MB/s", "GB/s", "TB/s"};
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return absl::StrCat(ThreeDigits(value), " ", kUnits[unit]);
}

std::string HumanFrequency(double per_second) {
  if (per_second < 0.005) return "-";
  static constexpr std::array kUnits = {"", "k", "M", "G"};
  size_t unit = 0;
  while (per_second >= 999.5 && unit + 1 < kUnits.size()) {
    per_second /= 1000;
    ++unit;
  }
  return absl::StrCat(ThreeDigits(per_second), kUnits[unit], "/s");
}

std::string HumanDuration(absl::Duration duration) {
  if (duration < absl::ZeroDuration()) return absl::StrCat("-", HumanDuration(-duration));
  const double seconds = absl::ToDoubleSeconds(duration);
  if (seconds < 0.001) return absl::StrFormat("%.0f us", seconds * 1e6);
  if (seconds < 0.9995) return absl::StrCat(ThreeDigits(seconds * 1e3), " ms");
  if (seconds < 60) return absl::StrCat(ThreeDigits(seconds), " s");
  const int64_t whole = absl::ToInt64Seconds(duration);
  if (whole < 3600) return absl::StrFormat("%dm %02ds", whole / 60, whole % 60);
  if (whole < 86400) return absl::StrFormat("%dh %02dm", whole / 3600, whole / 60 % 60);
  return absl::StrFormat("%dd %dh", whole / 86400, whole / 3600 % 24);
}

std::string ClockTime(absl::Duration duration) {
  const int64_t whole = std::max<int64_t>(0, absl::ToInt64Seconds(duration));
  if (whole < 3600) return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
  return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string PercentText(uint64_t part, uint64_t whole) {
  if (whole == 0) return "-";
  return absl::StrCat(
      static_cast<int>(100.0 * static_cast<double>(part) / static_cast<double>(whole) + 0.5), "%");
}

std::string HumanAge(absl::Time then, absl::Time now) {
  if (then <= absl::UnixEpoch()) return "-";
  const int64_t seconds = absl::ToInt64Seconds(now - then);
  // Clocks of two machines differ; a time slightly ahead is not worth a puzzle.
  if (seconds < 1) return "now";
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) return absl::StrCat(seconds / 60, "m");
  if (seconds < 86400) return absl::StrCat(seconds / 3600, "h");
  if (seconds < 2 * 365 * int64_t{86400}) return absl::StrCat(seconds / 86400, "d");
  return absl::StrCat(seconds / (365 * int64_t{86400}), "y");
}

std::string UtcTime(absl::Time time) {
  if (time <= absl::UnixEpoch()) return "";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

std::string CrcText(uint32_t crc) { return absl::StrFormat("%08x", crc); }

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && (absl::ascii_isdigit(text[digits]) || text[digits] == '.')) {
    ++digits;
  }
  double value = 0;
  const std::string number(text.substr(0, digits));
  if (digits == 0 || !absl::SimpleAtod(number, &value)) return BadBytes(text);
  std::string unit = absl::AsciiStrToLower(absl::StripLeadingAsciiWhitespace(
      absl::string_view(text.data() + digits, text.size() - digits)));
  static constexpr std::string_view kPrefixes = "kmgtpe";
  double factor = 1;
  if (!unit.empty() && unit != "b") {
    const size_t power = kPrefixes.find(unit[0]);
    if (power == std::string_view::npos) return BadBytes(text);
    const std::string rest = unit.substr(1);
    if (rest != "" && rest != "b" && rest != "ib") return BadBytes(text);
    factor = std::pow(rest == "b" ? 1000.0 : 1024.0, static_cast<double>(power + 1));
  }
  // A whole number of bytes goes past the 53 bits of a double unharmed.
  uint64_t exact = 0;
  if (factor == 1 && absl::SimpleAtoi(number, &exact)) return exact;
  if (value * factor >= std::ldexp(1.0, 63)) return BadBytes(text);
  return static_cast<uint64_t>(std::llround(value * factor));
}

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  if (text.empty()) return BadDuration(text);
  absl::Duration total = absl::ZeroDuration();
  size_t at = 0;
  while (at < text.size()) {
    size_t end = at;
    while (end < text.size() && (absl::ascii_isdigit(text[end]) || text[end] == '.')) ++end;
    double value = 0;
    if (end == at || !absl::SimpleAtod(std::string(text.substr(at, end - at)), &value)) {
      return BadDuration(text);
    }
    at = end;
    while (end < text.size() && absl::ascii_isalpha(text[end])) ++end;
    const std::string_view unit = text.substr(at, end - at);
    absl::Duration one = absl::ZeroDuration();
    if (unit == "ms") one = absl::Milliseconds(1);
    if (unit == "s" || unit.empty()) one = absl::Seconds(1);
    if (unit == "m") one = absl::Minutes(1);
    if (unit == "h") one = absl::Hours(1);
    if (unit == "d") one = absl::Hours(24);
    if (unit == "w") one = absl::Hours(24 * 7);
    if (one == absl::ZeroDuration()) return BadDuration(text);
    total += value * one;
    at = end;
  }
  return total;
}

std::string Printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const size_t length = Utf8Length(text.substr(i));
    // C1 controls (U+0080 to U+009F) are obeyed by terminals too.
    const bool c1 = length == 2 && byte == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (length == 0 || byte < 0x20 || byte == 0x7f || c1) {
      absl::StrAppendFormat(&out, "\\x%02x", byte);
      if (c1) absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(text[i + 1]));
      i += c1 ? 2 : 1;
      continue;
    }
    out.append(text.substr(i, length));
    i += length;
  }
  return out;
}

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return width;
}

}  // namespace cairn::cli
