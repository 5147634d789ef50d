// The frame of one RPC message: pure encoding and decoding of untrusted bytes (fuzzed by
// tests/fuzz/rpc_frame_fuzz.cc). The layout is in proto/wire/WIRE.md. Used by RpcServer and
// RpcClient.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/units.h"
#include "common/fabric/net.h"
#include "google/protobuf/message_lite.h"

namespace cairn {

inline constexpr uint8_t kFrameVersion = 1;
inline constexpr size_t kFrameHeaderBytes = 20;
// Bulk descriptors of one call. A gather list longer than this goes in several calls.
inline constexpr size_t kMaxBulks = 1024;

enum class FrameKind : uint8_t { kRequest = 1, kReply = 2 };

struct Frame {
  FrameKind kind;
  std::string_view header;  // a serialized RequestHeader or ReplyHeader
  std::string_view body;    // a serialized message of the method
};

// RESOURCE_EXHAUSTED when header and body together do not fit kMaxMessageBytes: the caller has to
// page.
absl::StatusOr<std::string> EncodeFrame(FrameKind kind, const google::protobuf::MessageLite& header,
                                        std::string_view body);

// The parts point into `message`. INVALID_ARGUMENT, with the reason, when it is not exactly one
// intact frame.
absl::StatusOr<Frame> DecodeFrame(ConstBytes message);

// Whether a reply is meant, of a frame not checked yet.
bool LooksLikeReply(ConstBytes message);

}  // namespace cairn
