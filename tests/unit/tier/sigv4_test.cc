// Signatures against those that AWS has published: the examples of the S3 API reference ("Signature
// Calculations for the Authorization Header") and cases of the Signature Version 4 test suite.
#include "server/tier/sigv4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/tier/digest.h"

namespace cairn {
namespace {

using ::testing::EndsWith;
using ::testing::Eq;
using ::testing::HasSubstr;

constexpr char kEmptySha256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// Of the S3 API reference.
class S3Examples : public ::testing::Test {
 protected:
  std::string Sign(const std::string& method, const std::string& path, QueryParameters query,
                   HttpHeaders headers, const std::string& payload_sha256) {
    headers.emplace_back("Host", "examplebucket.s3.amazonaws.com");
    headers.emplace_back("x-amz-date", "20130524T000000Z");
    headers.emplace_back("x-amz-content-sha256", payload_sha256);
    return SigV4Authorization({.method = method,
                               .path = path,
                               .query = std::move(query),
                               .headers = std::move(headers),
                               .payload_sha256 = payload_sha256},
                              scope_, credentials_);
  }
  const Credentials credentials_{
      .access_key_id = "AKIAIOSFODNN7EXAMPLE",
      .secret_access_key = Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")};
  const SigV4Scope scope_{.time = absl::FromCivil(absl::CivilDay(2013, 5, 24), absl::UTCTimeZone()),
                          .region = "us-east-1",
                          .service = "s3"};
};

TEST_F(S3Examples, GetObjectWithARange) {
  EXPECT_EQ(Sign("GET", "/test.txt", {}, {{"Range", "bytes=0-9"}}, kEmptySha256),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST_F(S3Examples, PutObject) {
  const std::string sha256 = Hex(Sha256("Welcome to Amazon S3."));
  EXPECT_EQ(sha256, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
  EXPECT_THAT(Sign("PUT", PercentEncode("/test$file.text", Slashes::kKeep), {},
                   {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                    {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                   sha256),
              EndsWith("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST_F(S3Examples, GetBucketLifecycle) {
  EXPECT_THAT(Sign("GET", "/", {{"lifecycle", ""}}, {}, kEmptySha256),
              EndsWith("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST_F(S3Examples, ListObjectsWithQueryInAnyOrder) {
  EXPECT_THAT(Sign("GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, {}, kEmptySha256),
              EndsWith("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

// Of the test suite.
class SuiteCases : public ::testing::Test {
 protected:
  std::string Sign(const std::string& method, QueryParameters query, HttpHeaders headers = {}) {
    headers.emplace_back("Host", "example.amazonaws.com");
    headers.emplace_back("X-Amz-Date", "20150830T123600Z");
    return SigV4Authorization(
        {.method = method,
         .path = "/",
         .query = std::move(query),
         .headers = std::move(headers),
         .payload_sha256 = kEmptySha256},
        {.time = time_, .region = "us-east-1", .service = "service"},
        {.access_key_id = "AKIDEXAMPLE",
         .secret_access_key = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")});
  }
  const absl::Time time_ =
      absl::FromCivil(absl::CivilSecond(2015, 8, 30, 12, 36, 0), absl::UTCTimeZone());
};

TEST_F(SuiteCases, GetVanilla) {
  EXPECT_THAT(Sign("GET", {}),
              EndsWith("5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"));
}

TEST_F(SuiteCases, PostVanilla) {
  EXPECT_THAT(Sign("POST", {}),
              EndsWith("5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"));
}

TEST_F(SuiteCases, GetVanillaQueryOrderKeyCase) {
  EXPECT_THAT(Sign("GET", {{"Param2", "value2"}, {"Param1", "value1"}}),
              EndsWith("b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"));
}

TEST(SigV4CanonicalRequest, RepeatedHeadersAreJoinedAndBlanksTrimmed) {
  EXPECT_THAT(SigV4CanonicalRequest({.method = "GET",
                                     .path = "/",
                                     .query = {},
                                     .headers = {{"B", " x   y "}, {"A", "1"}, {"b", "z"}},
                                     .payload_sha256 = "-"}),
              Eq("GET\n/\n\na:1\nb:x y,z\n\na;b\n-"));
}

TEST(SigV4Authorization, TheSecretIsNotInIt) {
  const std::string authorization = SigV4Authorization(
      {.method = "GET", .path = "/", .query = {}, .headers = {}, .payload_sha256 = "-"},
      {.time = absl::UnixEpoch(), .region = "r", .service = "s3"},
      {.access_key_id = "id", .secret_access_key = Secret("verysecret")});
  EXPECT_THAT(authorization, ::testing::Not(HasSubstr("verysecret")));
}

TEST(Digest, PayloadInPiecesIsThatOfAll) {
  const std::string text(200'000, 'x');
  const ConstBytes bytes = BytesOf(text);
  const ConstBytes pieces[] = {bytes.first(1), ConstBytes(), bytes.subspan(1, 70'000),
                               bytes.subspan(70'001)};
  const PayloadDigest digest = DigestPayload(pieces);
  EXPECT_EQ(digest.sha256, Sha256(text));
  EXPECT_EQ(digest.md5, Md5(text));
  EXPECT_EQ(Hex(Md5("")), "d41d8cd98f00b204e9800998ecf8427e");
}

}  // namespace
}  // namespace cairn
