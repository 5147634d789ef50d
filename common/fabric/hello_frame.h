// The frame of a hello on a control connection: pure encoding and decoding of untrusted bytes
// (fuzzed by tests/fuzz/hello_fuzz.cc). The layout is in proto/wire/WIRE.md. Used by
// control_plane.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/units.h"

namespace cairn {

inline constexpr uint16_t kHelloVersion = 1;
inline constexpr size_t kHelloHeaderBytes = 16;

enum class HelloKind : uint16_t {
  kRequest = 1,
  kReply = 2,
  kRefusal = 3,  // the payload is a status; its layout is the same in all versions
};

struct HelloFrame {
  HelloKind kind;
  std::string_view payload;  // points into the decoded bytes
};

// REQUIRES: the payload has at most kMaxHelloBytes.
std::string EncodeHello(HelloKind kind, std::string_view payload);

// The length of the whole frame that starts with `begin`, or 0 when these are too few bytes to
// tell. INVALID_ARGUMENT when this is no hello, FAILED_PRECONDITION when it is one of another
// version: both in words for the other side.
absl::StatusOr<size_t> HelloFrameLength(ConstBytes begin);

// INVALID_ARGUMENT when `bytes` is not exactly one intact frame.
absl::StatusOr<HelloFrame> DecodeHello(ConstBytes bytes);

// The payload of a refusal. Long messages are cut. Decoding never gives OK.
std::string EncodeRefusal(const absl::Status& refusal);
absl::Status DecodeRefusal(std::string_view payload);

}  // namespace cairn
