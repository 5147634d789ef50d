// The hello frame: what is encoded is decoded, every damaged byte is noticed, refusals keep their
// words.
#include "common/fabric/hello_frame.h"

#include <gtest/gtest.h>

#include <span>

#include "common/fabric/host_port.h"
#include "common/fabric/net.h"

namespace cairn {
namespace {

ConstBytes BytesOf(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(HelloFrame, EncodedFrameIsDecoded) {
  for (const std::string& payload :
       {std::string(), std::string("hi"), std::string(kMaxHelloBytes, 'h')}) {
    const std::string bytes = EncodeHello(HelloKind::kReply, payload);
    EXPECT_EQ(*HelloFrameLength(BytesOf(bytes)), bytes.size());
    const absl::StatusOr<HelloFrame> frame = DecodeHello(BytesOf(bytes));
    ASSERT_TRUE(frame.ok()) << frame.status();
    EXPECT_EQ(frame->kind, HelloKind::kReply);
    EXPECT_EQ(frame->payload, payload);
  }
}

TEST(HelloFrame, LengthIsUnknownUntilTheHeaderIsThere) {
  const std::string bytes = EncodeHello(HelloKind::kRequest, "payload");
  for (size_t length = 0; length < kHelloHeaderBytes; ++length) {
    EXPECT_EQ(*HelloFrameLength(BytesOf(bytes).first(length)), 0u);
    EXPECT_FALSE(DecodeHello(BytesOf(bytes).first(length)).ok());
  }
}

TEST(HelloFrame, EveryFlippedBitIsNoticed) {
  const std::string bytes = EncodeHello(HelloKind::kRequest, "payload");
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeHello(BytesOf(damaged)).ok()) << bit;
  }
}

TEST(HelloFrame, OtherVersionIsToldApartFromGarbage) {
  std::string other = EncodeHello(HelloKind::kRequest, "payload");
  other[4] = 2;
  EXPECT_TRUE(absl::IsFailedPrecondition(HelloFrameLength(BytesOf(other)).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(HelloFrameLength(BytesOf("GET / HTTP/1.1\r\nHost: x\r\n")).status()));
  std::string huge = EncodeHello(HelloKind::kRequest, "payload");
  huge[11] = '\x7f';
  EXPECT_TRUE(absl::IsInvalidArgument(HelloFrameLength(BytesOf(huge)).status()));
}

TEST(HelloFrame, RefusalKeepsCodeAndWords) {
  const absl::Status refusal = absl::ResourceExhaustedError("no room");
  EXPECT_EQ(DecodeRefusal(EncodeRefusal(refusal)), refusal);
  EXPECT_EQ(
      DecodeRefusal(EncodeRefusal(absl::UnavailableError(std::string(5000, 'w')))).message().size(),
      1024u);
  // A refusal is never OK, whatever the bytes say.
  EXPECT_FALSE(DecodeRefusal(std::string(4, '\0')).ok());
  EXPECT_FALSE(DecodeRefusal("").ok());
  EXPECT_FALSE(DecodeRefusal("\xff\xff\xff\xffwords").ok());
}

TEST(HostPort, TextsAreParsed) {
  EXPECT_EQ(ParseHostPort("host:7440")->host, "host");
  EXPECT_EQ(ParseHostPort("[::1]:7440")->host, "::1");
  EXPECT_EQ(ParseHostPort(":0")->host, "");
  EXPECT_EQ(ParseHostPort("host:007")->port, "7");
  for (const char* wrong : {"", "host", "host:", "host:x", "host:65536", "::1:80", "host:-1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseHostPort(wrong).status())) << wrong;
  }
}

TEST(HostPort, NumericAddressesResolveWithoutAsking) {
  const auto address = ResolveHost({"127.0.0.1", "80"}, NameLookup::kNumeric);
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(FormatAddress(address->front()), "127.0.0.1:80");
  EXPECT_TRUE(absl::IsNotFound(ResolveHost({"a.name", "80"}, NameLookup::kNumeric).status()));
}

}  // namespace
}  // namespace cairn
