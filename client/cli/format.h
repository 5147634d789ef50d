// Sizes, durations and times as people read and type them. Pure functions, used by every command's
// table and by the progress bar; JSON output never uses them but for UtcTime.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cairn::cli {

// "0 B", "1023 B", "1.5 KiB", "12.3 GiB", "640 GiB": three significant digits, binary units.
std::string HumanBytes(uint64_t bytes);

// "1.50 GB/s": decimal units, as devices, networks and the benchmarks count; "-" for no time at
// all.
std::string HumanRate(uint64_t bytes, absl::Duration elapsed);

// "0.40/s", "800/s", "1.20k/s", "3.00M/s"; "-" of what happens less often than every few minutes.
std::string HumanFrequency(double per_second);

// "850 us", "12.3 ms", "4.2 s", "3m 20s", "5h 02m", "12d 3h".
std::string HumanDuration(absl::Duration duration);

// The remaining time of a progress bar: "0:07", "12:34", "3:07:02".
std::string ClockTime(absl::Duration duration);

// "42%", rounded; "-" of nothing.
std::string PercentText(uint64_t part, uint64_t whole);

// How long ago `then` was: "now", "35s", "12m", "5h", "3d", "2y"; "-" when it is not set (the
// epoch).
std::string HumanAge(absl::Time then, absl::Time now);

// RFC 3339 in UTC with milliseconds; empty when it is not set.
std::string UtcTime(absl::Time time);

// Eight hexadecimal digits, as `cairn` prints checksums everywhere.
std::string CrcText(uint32_t crc);

// "4096", "64KiB", "64K", "1.5GiB" (binary), "1GB" (decimal). INVALID_ARGUMENT says what is
// understood.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

// "90s", "1h30m", "7d", "2w"; a bare number is seconds. INVALID_ARGUMENT says what is understood.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);

// `text` with control characters and invalid UTF-8 written as \xNN: names come from other people,
// and a terminal obeys what it is sent.
std::string Printable(std::string_view text);

// Columns that `text` fills on a terminal, taking each UTF-8 character as one.
size_t DisplayWidth(std::string_view text);

}  // namespace cairn::cli
