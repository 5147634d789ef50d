// Locations and options as people write them. Method: right ones, which come back the same, and
// wrong ones, whose refusal must say what to do.
#include "server/tier/cold_store_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace cairn {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Options = std::vector<std::pair<std::string, std::string>>;

ColdStoreSpec Parse(const std::string& location, const Options& options = {}) {
  const auto spec = ParseColdStoreSpec({.location = location, .options = options});
  EXPECT_TRUE(spec.ok()) << location << ": " << spec.status();
  if (!spec.ok()) return {};
  const auto again = ParseColdStoreSpec(FormatColdStoreSpec(*spec));
  EXPECT_TRUE(again.ok()) << again.status();
  if (again.ok()) {
    EXPECT_EQ(*again, *spec);
  }
  return *spec;
}

std::string Refusal(const std::string& location, const Options& options = {}) {
  const auto spec = ParseColdStoreSpec({.location = location, .options = options});
  EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument) << location;
  return std::string(spec.status().message());
}

TEST(ParseColdStoreSpec, DirectoriesAreTaken) {
  EXPECT_EQ(Parse("dir:///mnt/cold").directory, "/mnt/cold");
  EXPECT_EQ(Parse("/mnt//cold/").directory, "/mnt/cold");
  EXPECT_EQ(Parse("dir:///mnt/a b").directory, "/mnt/a b");
}

TEST(ParseColdStoreSpec, OtherPathsAreRefused) {
  for (const std::string location :
       {"mnt/cold", "dir://mnt", "/", "/a/../b", "/a/./b", "", "file:///a", "dir:///", "/a\nb"}) {
    EXPECT_NE(Refusal(location), "") << location;
  }
  EXPECT_THAT(Refusal("/mnt/cold", {{"region", "eu-1"}}), HasSubstr("not for a directory"));
}

TEST(ParseColdStoreSpec, AwsIsFoundByItsRegion) {
  const ColdStoreSpec spec = Parse("s3://my-bucket/a/b/", {{"region", "eu-central-1"}});
  EXPECT_EQ(spec.bucket, "my-bucket");
  EXPECT_EQ(spec.prefix, "a/b");
  EXPECT_EQ(spec.endpoint.Url(), "https://s3.eu-central-1.amazonaws.com");
  EXPECT_EQ(spec.addressing, S3Addressing::kVirtualHost);
  EXPECT_EQ(Parse("s3://my.bucket", {{"region", "eu-central-1"}}).addressing, S3Addressing::kPath);
  EXPECT_EQ(Parse("s3://bucket", {{"region", "cn-north-1"}}).endpoint.host,
            "s3.cn-north-1.amazonaws.com.cn");
  EXPECT_THAT(Refusal("s3://my-bucket"), HasSubstr("region="));
}

TEST(ParseColdStoreSpec, OtherServicesAreFoundByTheirEndpoint) {
  const ColdStoreSpec spec = Parse("s3://bucket", {{"endpoint", "https://minio.local:9000"},
                                                   {"ca-file", "/etc/ca.pem"},
                                                   {"credentials", "file:/etc/keys#cold"},
                                                   {"etag", "opaque"}});
  EXPECT_EQ(spec.region, "us-east-1");
  EXPECT_EQ(spec.addressing, S3Addressing::kPath);
  EXPECT_EQ(spec.ca_file, "/etc/ca.pem");
  EXPECT_EQ(spec.credentials.profile, "cold");
  EXPECT_EQ(spec.etag, S3StoreOptions::Etag::kOpaque);
  EXPECT_EQ(Parse("s3://bucket", {{"endpoint", "http://a.b"}, {"path-style", "no"}}).addressing,
            S3Addressing::kVirtualHost);
  Parse("s3://bucket", {{"endpoint", "http://[::1]:9000"}, {"region", "RegionOne"}});
}

TEST(ParseColdStoreSpec, WhatCannotWorkIsRefused) {
  const std::pair<std::string, std::string> endpoint = {"endpoint", "https://a.b"};
  EXPECT_THAT(Refusal("s3://", {endpoint}), HasSubstr("s3://BUCKET/PREFIX"));
  for (const std::string& bucket :
       std::vector<std::string>{"a", "-ab", "a..b", "a b", std::string(64, 'a')})
    EXPECT_THAT(Refusal("s3://" + bucket, {endpoint}), HasSubstr("the bucket")) << bucket;
  EXPECT_THAT(Refusal("s3://bucket/a//b", {endpoint}), HasSubstr("two in a row"));
  EXPECT_THAT(Refusal("s3://bucket", {{"endpoint", "a.b"}}), HasSubstr("write https://"));
  EXPECT_THAT(Refusal("s3://bucket", {endpoint, {"region", "eu 1"}}), HasSubstr("the region"));
  EXPECT_THAT(Refusal("s3://bucket", {endpoint, {"path-style", "maybe"}}), HasSubstr("yes or no"));
  EXPECT_THAT(Refusal("s3://bucket", {endpoint, {"etag", "sha"}}), HasSubstr("md5 or opaque"));
  EXPECT_THAT(Refusal("s3://bucket", {endpoint, {"ca-file", "ca.pem"}}),
              HasSubstr("from the root"));
  EXPECT_THAT(Refusal("s3://bucket", {{"endpoint", "http://a"}, {"ca-file", "/ca"}}),
              HasSubstr("not https"));
  EXPECT_THAT(Refusal("s3://bucket", {endpoint, {"colour", "red"}}), HasSubstr("is unknown"));
  EXPECT_THAT(Refusal("s3://bucket", {endpoint, endpoint}), HasSubstr("given twice"));
  EXPECT_THAT(Refusal("s3://my.bucket", {endpoint, {"path-style", "no"}}),
              HasSubstr("path-style=yes"));
  EXPECT_THAT(Refusal("s3://My_bucket", {endpoint, {"path-style", "no"}}),
              HasSubstr("path-style=yes"));
  EXPECT_THAT(Refusal("s3://bucket", {{"endpoint", "http://1.2.3.4"}, {"path-style", "no"}}),
              HasSubstr("path-style=yes"));
}

TEST(ParseColdStoreSpec, APastedSecretIsNotRepeated) {
  EXPECT_THAT(Refusal("s3://bucket", {{"endpoint", "https://AKID:s3cr3t@a.b"}}),
              Not(HasSubstr("s3cr3t")));
}

}  // namespace
}  // namespace cairn
