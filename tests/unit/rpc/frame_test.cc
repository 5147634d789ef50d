// The RPC frame: what is encoded is decoded, and every single flipped or missing byte is noticed.
#include "common/rpc/frame.h"

#include <gtest/gtest.h>

#include "common/base/random.h"
#include "proto/wire/rpc.pb.h"

namespace cairn {
namespace {

ConstBytes BytesOf(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string Encoded() {
  wire::RequestHeader header;
  header.set_method(wire::PING);
  header.set_call(42);
  header.add_bulks()->set_key(7);
  auto frame = EncodeFrame(FrameKind::kRequest, header, "the body");
  EXPECT_TRUE(frame.ok());
  return *frame;
}

TEST(RpcFrame, EncodedFrameIsDecoded) {
  const std::string bytes = Encoded();
  const absl::StatusOr<Frame> frame = DecodeFrame(BytesOf(bytes));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(frame->kind, FrameKind::kRequest);
  EXPECT_EQ(frame->body, "the body");
  wire::RequestHeader header;
  ASSERT_TRUE(header.ParseFromString(std::string(frame->header)));
  EXPECT_EQ(header.call(), 42u);
  EXPECT_FALSE(LooksLikeReply(BytesOf(bytes)));
}

TEST(RpcFrame, EmptyPartsAreAllowed) {
  const auto bytes = EncodeFrame(FrameKind::kReply, wire::ReplyHeader(), "");
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->size(), kFrameHeaderBytes);
  EXPECT_TRUE(LooksLikeReply(BytesOf(*bytes)));
  const absl::StatusOr<Frame> frame = DecodeFrame(BytesOf(*bytes));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_TRUE(frame->header.empty() && frame->body.empty());
}

TEST(RpcFrame, EveryFlippedBitIsNoticed) {
  const std::string bytes = Encoded();
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeFrame(BytesOf(damaged)).status())) << bit;
  }
}

TEST(RpcFrame, EveryTruncationAndExtensionIsNoticed) {
  const std::string bytes = Encoded();
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(DecodeFrame(BytesOf(bytes).first(length)).ok()) << length;
  }
  EXPECT_FALSE(DecodeFrame(BytesOf(bytes + "x")).ok());
}

TEST(RpcFrame, FrameOfTheLargestSizeFitsAndOneByteMoreDoesNot) {
  const std::string body(kMaxMessageBytes - kFrameHeaderBytes, 'b');
  const auto largest = EncodeFrame(FrameKind::kReply, wire::ReplyHeader(), body);
  ASSERT_TRUE(largest.ok()) << largest.status();
  EXPECT_EQ(largest->size(), kMaxMessageBytes);
  EXPECT_TRUE(DecodeFrame(BytesOf(*largest)).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(
      EncodeFrame(FrameKind::kReply, wire::ReplyHeader(), body + "b").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeFrame(BytesOf(*largest + "x")).status()));
}

TEST(RpcFrame, RandomBytesAreRefused) {
  const uint64_t seed = ::testing::UnitTest::GetInstance()->random_seed();
  SeededRandom random(seed);
  for (int i = 0; i < 2000; ++i) {
    // Half of them with a right magic and version, to get further.
    std::string bytes = i % 2 == 0 ? Encoded().substr(0, 6) : "";
    const size_t length = random.Below(200);
    while (bytes.size() < length) bytes.push_back(static_cast<char>(random.Next()));
    EXPECT_FALSE(DecodeFrame(BytesOf(bytes)).ok()) << "seed " << seed << ", " << i;
  }
}

}  // namespace
}  // namespace cairn
