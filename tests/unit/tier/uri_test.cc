// Percent-encoding, endpoints and the pauses between tries. Method: values of each kind; the pauses
// are drawn from a seed.
#include "server/tier/uri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/tier/retry.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(PercentEncode, OnlyUnreservedBytesStay) {
  EXPECT_EQ(PercentEncode("aZ09-._~", Slashes::kEncode), "aZ09-._~");
  EXPECT_EQ(PercentEncode("a/b c+d=\xc3\xa9", Slashes::kKeep), "a/b%20c%2Bd%3D%C3%A9");
  EXPECT_EQ(PercentEncode("a/b", Slashes::kEncode), "a%2Fb");
}

TEST(PercentDecode, IsTheInverse) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(PercentDecode(PercentEncode(all, Slashes::kEncode)), all);
}

TEST(PercentDecode, BrokenOnesAreRefused) {
  for (const char* text : {"%", "%1", "%G0", "a%0", "%%41"}) {
    EXPECT_FALSE(PercentDecode(text).has_value()) << text;
  }
}

TEST(CanonicalQuery, SortedByEncodedNamesThenValues) {
  EXPECT_EQ(CanonicalQuery({{"b", ""}, {"a", "2"}, {"a", "1"}, {"a b", "&"}}),
            "a=1&a=2&a%20b=%26&b=");
}

TEST(ParseEndpoint, SchemesPortsAndAddressesAreTaken) {
  EXPECT_EQ(ParseEndpoint("https://S3.Example.com/")->Url(), "https://s3.example.com");
  EXPECT_EQ(ParseEndpoint("https://a:8443")->Authority(), "a:8443");
  EXPECT_EQ(ParseEndpoint("http://a:80")->Authority(), "a");
  EXPECT_EQ(ParseEndpoint("http://[::1]:9000")->Authority(), "[::1]:9000");
  EXPECT_EQ(ParseEndpoint("http://[::1]")->port, 80);
  EXPECT_TRUE(ParseEndpoint("http://127.0.0.1:1")->IsLoopback());
  EXPECT_FALSE(ParseEndpoint("http://127.evil.com")->IsLoopback());
}

TEST(ParseEndpoint, OthersAreRefused) {
  for (const char* url : {"", "a", "ftp://a", "https://", "https://a/b", "https://a:0",
                          "https://a:x", "https://a:65536", "https://a?b", "https://a b",
                          "https://[::1", "https://:1", "https://[]", "https://a:+80"}) {
    EXPECT_EQ(ParseEndpoint(url).status().code(), absl::StatusCode::kInvalidArgument) << url;
  }
}

TEST(ParseEndpoint, APasswordIsNotRepeated) {
  EXPECT_THAT(std::string(ParseEndpoint("https://user:hunter2@a").status().message()),
              Not(HasSubstr("hunter2")));
}

TEST(PauseBefore, IsDrawnUpToADoublingLimit) {
  const RetryPolicy policy{
      .attempts = 9, .pause = absl::Milliseconds(100), .pause_max = absl::Seconds(1)};
  SeededRandom random(7);
  absl::Duration longest_first, longest_third, longest_late;
  for (int i = 0; i < 1000; ++i) {
    longest_first = std::max(longest_first, PauseBefore(policy, 1, std::nullopt, random));
    longest_third = std::max(longest_third, PauseBefore(policy, 3, std::nullopt, random));
    longest_late = std::max(longest_late, PauseBefore(policy, 1'000'000, std::nullopt, random));
  }
  EXPECT_LE(longest_first, absl::Milliseconds(100));
  EXPECT_GT(longest_first, absl::Milliseconds(90));
  EXPECT_LE(longest_third, absl::Milliseconds(400));
  EXPECT_GT(longest_third, absl::Milliseconds(360));
  EXPECT_LE(longest_late, absl::Seconds(1));
}

TEST(PauseBefore, IsNotLessThanTheServerAsksFor) {
  SeededRandom random(7);
  EXPECT_GE(PauseBefore({}, 1, absl::Seconds(30), random), absl::Seconds(30));
}

TEST(ParseRetryAfter, SecondsAndDatesCount) {
  const absl::Time now = absl::FromCivil(absl::CivilDay(2013, 5, 24), absl::UTCTimeZone());
  EXPECT_EQ(ParseRetryAfter("7", now), absl::Seconds(7));
  EXPECT_EQ(ParseRetryAfter("Fri, 24 May 2013 00:00:09 GMT", now), absl::Seconds(9));
  EXPECT_EQ(ParseRetryAfter("Thu, 23 May 2013 00:00:09 GMT", now), absl::ZeroDuration());
  for (const char* value : {"", "-1", "soon", "1.5"}) {
    EXPECT_EQ(ParseRetryAfter(value, now), std::nullopt) << value;
  }
}

}  // namespace
}  // namespace cairn
