// Encoding and decoding of hello frames. Nothing here trusts a length before it is checked.
#include "common/fabric/hello_frame.h"

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/fabric/net.h"

namespace cairn {
namespace {

constexpr uint32_t kMagic = 0x484e5243;  // "CRNH" on the wire
constexpr size_t kCrcAt = 12;
// A refusal is read by people; what is longer tells them nothing more.
constexpr size_t kMaxRefusalBytes = 1024;

uint32_t FrameCrc(ConstBytes frame) {
  return ExtendCrc32c(Crc32c(frame.first(kCrcAt)), frame.subspan(kHelloHeaderBytes));
}

}  // namespace

std::string EncodeHello(HelloKind kind, std::string_view payload) {
  CAIRN_CHECK(payload.size() <= kMaxHelloBytes);
  std::string frame(kHelloHeaderBytes, '\0');
  StoreLittleEndian<uint32_t>(&frame[0], kMagic);
  StoreLittleEndian<uint16_t>(&frame[4], kHelloVersion);
  StoreLittleEndian<uint16_t>(&frame[6], static_cast<uint16_t>(kind));
  StoreLittleEndian<uint32_t>(&frame[8], static_cast<uint32_t>(payload.size()));
  frame.append(payload);
  StoreLittleEndian<uint32_t>(&frame[kCrcAt], FrameCrc(std::as_bytes(std::span(frame))));
  return frame;
}

absl::StatusOr<size_t> HelloFrameLength(ConstBytes begin) {
  if (begin.size() < kHelloHeaderBytes) return size_t{0};
  if (LoadLittleEndian<uint32_t>(begin.data()) != kMagic) {
    return absl::InvalidArgumentError("these bytes are not a hello of Cairn");
  }
  const uint16_t version = LoadLittleEndian<uint16_t>(begin.data() + 4);
  if (version != kHelloVersion) {
    return absl::FailedPreconditionError(absl::StrCat("hello version ", version,
                                                      " is not spoken here, but version ",
                                                      kHelloVersion, ": install the same release"));
  }
  const uint32_t length = LoadLittleEndian<uint32_t>(begin.data() + 8);
  if (length > kMaxHelloBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a hello of ", length, " bytes is over the limit of ", kMaxHelloBytes));
  }
  return kHelloHeaderBytes + length;
}

absl::StatusOr<HelloFrame> DecodeHello(ConstBytes bytes) {
  ASSIGN_OR_RETURN(const size_t length, HelloFrameLength(bytes));
  if (length == 0 || length != bytes.size()) {
    return absl::InvalidArgumentError("a hello's length is wrong");
  }
  if (LoadLittleEndian<uint32_t>(bytes.data() + kCrcAt) != FrameCrc(bytes)) {
    return absl::InvalidArgumentError("a hello's checksum is wrong");
  }
  const uint16_t kind = LoadLittleEndian<uint16_t>(bytes.data() + 6);
  if (kind < static_cast<uint16_t>(HelloKind::kRequest) ||
      kind > static_cast<uint16_t>(HelloKind::kRefusal)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown kind of hello: ", kind));
  }
  const char* const payload = reinterpret_cast<const char*>(bytes.data()) + kHelloHeaderBytes;
  return HelloFrame{static_cast<HelloKind>(kind), {payload, length - kHelloHeaderBytes}};
}

std::string EncodeRefusal(const absl::Status& refusal) {
  CAIRN_CHECK(!refusal.ok());
  std::string payload(4, '\0');
  StoreLittleEndian<uint32_t>(&payload[0], static_cast<uint32_t>(refusal.code()));
  payload.append(std::string(refusal.message().substr(0, kMaxRefusalBytes)));
  return payload;
}

absl::Status DecodeRefusal(std::string_view payload) {
  if (payload.size() < 4) return absl::InvalidArgumentError("a refusal without words");
  const uint32_t code = LoadLittleEndian<uint32_t>(payload.data());
  payload.remove_prefix(4);
  const std::string message(payload.substr(0, kMaxRefusalBytes));
  if (code == 0 || code > static_cast<uint32_t>(absl::StatusCode::kUnauthenticated)) {
    return absl::FailedPreconditionError(message);
  }
  return absl::Status(static_cast<absl::StatusCode>(code), message);
}

}  // namespace cairn
