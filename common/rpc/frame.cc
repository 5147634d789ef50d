// Encoding and decoding of RPC frames. Nothing here trusts a length before it is checked.
#include "common/rpc/frame.h"

#include <span>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/little_endian.h"

namespace cairn {
namespace {

constexpr uint32_t kMagic = 0x4d4e5243;  // "CRNM" on the wire
constexpr size_t kCrcAt = 16;

// Over everything but the checksum itself.
uint32_t FrameCrc(ConstBytes frame) {
  return ExtendCrc32c(Crc32c(frame.first(kCrcAt)), frame.subspan(kFrameHeaderBytes));
}

}  // namespace

absl::StatusOr<std::string> EncodeFrame(FrameKind kind, const google::protobuf::MessageLite& header,
                                        std::string_view body) {
  const size_t header_bytes = header.ByteSizeLong();
  if (header_bytes > kMaxMessageBytes || body.size() > kMaxMessageBytes ||
      kFrameHeaderBytes + header_bytes + body.size() > kMaxMessageBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("a message of ", header_bytes, " + ",
                                                     body.size(), " bytes is over the limit of ",
                                                     kMaxMessageBytes));
  }
  std::string frame(kFrameHeaderBytes, '\0');
  frame.reserve(kFrameHeaderBytes + header_bytes + body.size());
  StoreLittleEndian<uint32_t>(&frame[0], kMagic);
  StoreLittleEndian<uint8_t>(&frame[4], kFrameVersion);
  StoreLittleEndian<uint8_t>(&frame[5], static_cast<uint8_t>(kind));
  StoreLittleEndian<uint32_t>(&frame[8], static_cast<uint32_t>(header_bytes));
  StoreLittleEndian<uint32_t>(&frame[12], static_cast<uint32_t>(body.size()));
  if (!header.AppendToString(&frame))
    return absl::InternalError("a header could not be serialized");
  frame.append(body);
  StoreLittleEndian<uint32_t>(&frame[kCrcAt], FrameCrc(std::as_bytes(std::span(frame))));
  return frame;
}

absl::StatusOr<Frame> DecodeFrame(ConstBytes message) {
  if (message.size() < kFrameHeaderBytes) return absl::InvalidArgumentError("a frame is cut short");
  if (message.size() > kMaxMessageBytes) return absl::InvalidArgumentError("a frame is too long");
  if (LoadLittleEndian<uint32_t>(message.data()) != kMagic) {
    return absl::InvalidArgumentError("a frame has a wrong magic number");
  }
  const uint8_t version = LoadLittleEndian<uint8_t>(message.data() + 4);
  if (version != kFrameVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat("frame version ", version, " is not spoken here"));
  }
  if (LoadLittleEndian<uint16_t>(message.data() + 6) != 0) {
    return absl::InvalidArgumentError("a frame's reserved bytes are not zero");
  }
  const uint64_t header_bytes = LoadLittleEndian<uint32_t>(message.data() + 8);
  const uint64_t body_bytes = LoadLittleEndian<uint32_t>(message.data() + 12);
  if (kFrameHeaderBytes + header_bytes + body_bytes != message.size()) {
    return absl::InvalidArgumentError("a frame's lengths do not add up");
  }
  if (LoadLittleEndian<uint32_t>(message.data() + kCrcAt) != FrameCrc(message)) {
    return absl::InvalidArgumentError("a frame's checksum is wrong");
  }
  const uint8_t kind = LoadLittleEndian<uint8_t>(message.data() + 5);
  if (kind != static_cast<uint8_t>(FrameKind::kRequest) &&
      kind != static_cast<uint8_t>(FrameKind::kReply)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown kind of frame: ", kind));
  }
  const auto* const rest = reinterpret_cast<const char*>(message.data()) + kFrameHeaderBytes;
  return Frame{
      static_cast<FrameKind>(kind), {rest, header_bytes}, {rest + header_bytes, body_bytes}};
}

bool LooksLikeReply(ConstBytes message) {
  return message.size() >= kFrameHeaderBytes &&
         LoadLittleEndian<uint8_t>(message.data() + 5) == static_cast<uint8_t>(FrameKind::kReply);
}

}  // namespace cairn
