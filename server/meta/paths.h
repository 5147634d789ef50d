// What a path may be: "bucket/dir/name". Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cairn {

inline constexpr size_t kMaxNameBytes = 255;
inline constexpr size_t kMaxPathBytes = 4096;

// One component: 1 to 255 bytes of UTF-8 without NUL and "/", not "." or "..". INVALID_ARGUMENT
// says what is wrong with which.
absl::Status CheckName(std::string_view name);

// The components; they view into `path`. INVALID_ARGUMENT: empty, over 4,096 bytes, a leading,
// trailing or double slash, or a bad component.
absl::StatusOr<std::vector<std::string_view>> SplitPath(std::string_view path);

// `text` as it may appear in an error message: control bytes and broken UTF-8 as \xNN, long ones
// cut.
std::string Printable(std::string_view text);
// The same in double quotes.
std::string Quoted(std::string_view text);

// "a", "b" → "a/b"; "", "b" → "b".
std::string JoinPath(std::string_view directory, std::string_view name);

// The number that the digits at the end of a name make: "step-000100" → 100. None without digits,
// or over 64 bits.
std::optional<uint64_t> StepOfName(std::string_view name);

}  // namespace cairn
