// What a key of a cold object may be: the same for every kind of store, so that what is in one can
// be copied into another with any tool. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace cairn {

// With the tier's prefix and the "/" between: what S3 allows.
inline constexpr size_t kColdKeyBytesMax = 1024;
// What file systems allow.
inline constexpr size_t kColdKeyPartBytesMax = 255;

// OK for parts of 1 to 255 bytes joined by single slashes, 1,024 bytes in all, in UTF-8 without
// control characters. No part is "." or "..", and the first does not begin with ".cairn", which
// names what a directory store keeps for itself. INVALID_ARGUMENT says what is wrong.
absl::Status CheckColdKey(std::string_view key);

// `text` in double quotes as it may appear in a message, cut where it is long: control characters
// and bytes beyond ASCII as \xNN.
std::string QuotedKey(std::string_view text);

}  // namespace cairn
