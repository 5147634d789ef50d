// Any bytes from a stranger as a hello, cut anywhere: a frame, a length to wait for, or words.

#include <cstdint>
#include <span>
#include <string>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/little_endian.h"
#include "common/fabric/hello_frame.h"
#include "common/fabric/net.h"
#include "proto/wire/rpc.pb.h"

namespace {

void Check(const std::string& bytes) {
  const auto all = std::as_bytes(std::span(bytes));
  const absl::StatusOr<size_t> length = cairn::HelloFrameLength(all);
  if (length.ok()) CAIRN_CHECK(*length <= cairn::kHelloHeaderBytes + cairn::kMaxHelloBytes);
  const absl::StatusOr<cairn::HelloFrame> frame = cairn::DecodeHello(all);
  if (!frame.ok()) {
    CAIRN_CHECK(!frame.status().message().empty());
    return;
  }
  CAIRN_CHECK(frame->payload.data() + frame->payload.size() == bytes.data() + bytes.size());
  if (frame->kind == cairn::HelloKind::kRefusal) {
    CAIRN_CHECK(!cairn::DecodeRefusal(frame->payload).ok());
    return;
  }
  cairn::wire::HelloRequest request;
  (void)request.ParseFromArray(frame->payload.data(), static_cast<int>(frame->payload.size()));
  cairn::wire::HelloReply reply;
  (void)reply.ParseFromArray(frame->payload.data(), static_cast<int>(frame->payload.size()));
  CAIRN_CHECK(cairn::EncodeHello(frame->kind, frame->payload) == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  Check(bytes);
  // Random input never has a right checksum: once more with one, to reach what comes after it.
  if (size < cairn::kHelloHeaderBytes) return 0;
  const auto whole = std::as_bytes(std::span(bytes));
  const uint32_t crc =
      cairn::ExtendCrc32c(cairn::Crc32c(whole.first(12)), whole.subspan(cairn::kHelloHeaderBytes));
  cairn::StoreLittleEndian<uint32_t>(&bytes[12], crc);
  Check(bytes);
  return 0;
}
