// Any bytes as a message from the fabric: decoded to parts inside of it, or refused with words.
// What passes is encoded again to the same bytes.

#include <cstdint>
#include <span>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/little_endian.h"
#include "common/rpc/frame.h"
#include "proto/wire/rpc.pb.h"

namespace {

void Check(const std::string& bytes) {
  const absl::StatusOr<cairn::Frame> frame = cairn::DecodeFrame(std::as_bytes(std::span(bytes)));
  if (!frame.ok()) {
    CAIRN_CHECK(!frame.status().message().empty());
    return;
  }
  CAIRN_CHECK(frame->header.data() >= bytes.data());
  CAIRN_CHECK(frame->body.data() + frame->body.size() == bytes.data() + bytes.size());
  cairn::wire::RequestHeader request;
  (void)request.ParseFromArray(frame->header.data(), static_cast<int>(frame->header.size()));
  cairn::wire::ReplyHeader reply;
  if (!reply.ParseFromArray(frame->header.data(), static_cast<int>(frame->header.size()))) return;
  const auto again = cairn::EncodeFrame(frame->kind, reply, frame->body);
  // Protobuf may write fewer bytes than it read, never more than fit.
  if (again.ok()) CAIRN_CHECK(cairn::DecodeFrame(std::as_bytes(std::span(*again))).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  Check(bytes);
  // Random input never has a right checksum: once more with one, to reach what comes after it.
  if (size < cairn::kFrameHeaderBytes) return 0;
  const auto whole = std::as_bytes(std::span(bytes));
  const uint32_t crc =
      cairn::ExtendCrc32c(cairn::Crc32c(whole.first(16)), whole.subspan(cairn::kFrameHeaderBytes));
  cairn::StoreLittleEndian<uint32_t>(&bytes[16], crc);
  Check(bytes);
  return 0;
}
