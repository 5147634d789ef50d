// The calls of a bucket, and what each fault of a service becomes. Method: a server on the loopback
// with scripted answers; pauses between tries are taken down instead of waited for.
#include "server/tier/s3_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/tier/digest.h"
#include "server/tier/s3_multipart.h"
#include "server/tier/s3_xml.h"
#include "tests/unit/tier/s3_fixture.h"

namespace cairn {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Then = Reply::Then;

std::string Md5Etag(const std::string& content) { return "\"" + Hex(Md5(content)) + "\""; }

Reply PutReply(const std::string& content) {
  return Reply::Of(200, "", {{"ETag", Md5Etag(content)}});
}

Reply RangeReply(const std::string& body, const std::string& range, const std::string& etag = "x") {
  return Reply::Of(206, body, {{"Content-Range", range}, {"ETag", "\"" + etag + "\""}});
}

TEST_F(S3StoreTest, APutIsSignedAndCarriesItsDigests) {
  Serve({PutReply("hello")});
  EXPECT_EQ(*Put("a/b c", "hello"), Hex(Md5("hello")));
  const SeenRequest seen = server_->seen().at(0);
  EXPECT_EQ(seen.method, "PUT");
  EXPECT_EQ(seen.target, "/bucket/tier/a/b%20c");
  EXPECT_EQ(seen.body, "hello");
  EXPECT_EQ(seen.Header("x-amz-content-sha256"), Hex(Sha256("hello")));
  EXPECT_EQ(seen.Header("content-md5"), Base64(Md5("hello")));
  EXPECT_EQ(seen.Header("x-amz-security-token"), "token");
  EXPECT_THAT(seen.Header("authorization"),
              HasSubstr("SignedHeaders=content-md5;content-type;host;x-amz-content-sha256;"
                        "x-amz-date;x-amz-security-token,"));
}

TEST_F(S3StoreTest, VirtualHostStylePutsTheBucketIntoTheHost) {
  options_.connection.addressing = S3Addressing::kVirtualHost;
  options_.connection.endpoint.host = "localhost";
  Serve({PutReply("x")});
  // libcurl takes all names below "localhost" for this machine.
  EXPECT_TRUE(Put("a", "x").ok());
  const SeenRequest seen = server_->seen().at(0);
  EXPECT_EQ(seen.Header("host"), "bucket.localhost:" + std::to_string(server_->port()));
  EXPECT_EQ(seen.target, "/tier/a");
}

TEST_F(S3StoreTest, AnEtagThatIsNotTheMd5IsDataLoss) {
  Serve({PutReply("other")});
  const absl::Status status = Put("a", "hello").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("etag=opaque"));
}

TEST_F(S3StoreTest, AnOpaqueEtagIsConfirmedByTheSize) {
  options_.etag = S3StoreOptions::Etag::kOpaque;
  Serve({PutReply("other"), HeadReply(5, Hex(Md5("other")))});
  EXPECT_TRUE(Put("a", "hello").ok());
  EXPECT_EQ(server_->seen().at(1).method, "HEAD");
  Serve({PutReply("other"), HeadReply(4, Hex(Md5("other")))});
  EXPECT_EQ(Put("a", "hello").status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(S3StoreTest, AnEncryptedObjectsEtagIsConfirmedByTheSize) {
  Serve({Reply::Of(200, "",
                   {{"ETag", Md5Etag("other")}, {"x-amz-server-side-encryption", "aws:kms"}}),
         HeadReply(5, Hex(Md5("other")))});
  EXPECT_TRUE(Put("a", "hello").ok());
}

TEST_F(S3StoreTest, ARangeIsAskedForAndPinned) {
  Serve({RangeReply("234", "bytes 2-4/10", "tag")});
  EXPECT_EQ(Read("a", 2, 3, "tag"), "234");
  EXPECT_EQ(server_->seen().at(0).Header("range"), "bytes=2-4");
  EXPECT_EQ(server_->seen().at(0).Header("if-match"), "\"tag\"");
}

TEST_F(S3StoreTest, AnotherContentThanThePinnedIsDataLoss) {
  Serve({Reply::Error(412, "PreconditionFailed")});
  EXPECT_EQ(Get("a", 0, 1, "tag").status().code(), absl::StatusCode::kDataLoss);
  // A service that does not know If-Match.
  Serve({RangeReply("0", "bytes 0-0/10", "else")});
  EXPECT_EQ(Get("a", 0, 1, "tag").status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(S3StoreTest, ARangeBeyondTheEndIsOutOfRange) {
  Serve({Reply::Error(416, "InvalidRange")});
  EXPECT_EQ(Get("a", 10, 1).status().code(), absl::StatusCode::kOutOfRange);
  Serve({RangeReply("89", "bytes 8-9/10")});
  EXPECT_EQ(Get("a", 8, 3).status().code(), absl::StatusCode::kOutOfRange);
  Serve({Reply::Error(400, "InvalidArgument"), HeadReply(10, "x")});
  EXPECT_EQ(Get("a", 8, 3).status().code(), absl::StatusCode::kOutOfRange);
  Serve({Reply::Error(400, "InvalidArgument"), HeadReply(11, "x")});
  EXPECT_EQ(Get("a", 8, 3).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(S3StoreTest, AnotherRangeThanAskedForIsDataLoss) {
  for (const Reply& reply : {RangeReply("123", "bytes 1-3/10"), RangeReply("012", "bytes */10"),
                             RangeReply("0123", "bytes 0-3/10"), RangeReply("012", "lines 0-2/10"),
                             RangeReply("01", "bytes 0-2/10"), Reply::Of(206, "012")}) {
    Serve({reply});
    EXPECT_EQ(Get("a", 0, 3).status().code(), absl::StatusCode::kDataLoss) << reply.bytes;
  }
  Serve({Reply::Of(200, "345")});
  EXPECT_EQ(Get("a", 3, 3).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(S3StoreTest, WrongBytesOfAWholeObjectAreDataLoss) {
  Serve({RangeReply("hellp", "bytes 0-4/5", Hex(Md5("hello")))});
  EXPECT_EQ(Get("a", 0, 5).status().code(), absl::StatusCode::kDataLoss);
  // Right at the second try: it was the network.
  Serve({RangeReply("hellp", "bytes 0-4/5", Hex(Md5("hello"))),
         RangeReply("hello", "bytes 0-4/5", Hex(Md5("hello")))});
  EXPECT_EQ(Read("a", 0, 5), "hello");
}

TEST_F(S3StoreTest, ATruncatedOrResetBodyIsReadAgain) {
  const Reply whole = RangeReply("0123456789", "bytes 0-9/100");
  Serve({whole.CutBy(4, Then::kClose), whole.CutBy(4, Then::kReset), whole});
  EXPECT_EQ(Read("a", 0, 10), "0123456789");
  Serve({whole.CutBy(4, Then::kClose)});
  EXPECT_EQ(Get("a", 0, 10).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_->seen_count(), 4u);
}

TEST_F(S3StoreTest, ATooLongBodyIsDataLoss) {
  Serve({RangeReply("0123456789", "bytes 0-2/10")});
  EXPECT_EQ(Get("a", 0, 3).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(S3StoreTest, AStormOf500And503IsWaitedOut) {
  Serve({Reply::Of(500), Reply::Error(503, "SlowDown"), Reply::Error(500, "InternalError"),
         PutReply("x")});
  EXPECT_TRUE(Put("a", "x").ok());
  EXPECT_EQ(pauses_.size(), 3u);
}

TEST_F(S3StoreTest, AStormThatDoesNotEndIsToldAfterTheLastTry) {
  Serve({Reply::Of(503)});
  const absl::Status status = Put("a", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("cannot put \"tier/a\""), HasSubstr("tried 4 times")));
  EXPECT_EQ(server_->seen_count(), 4u);
}

TEST_F(S3StoreTest, ThrottlingHonoursRetryAfter) {
  Serve({Reply::Of(429, "", {{"Retry-After", "17"}}), PutReply("x")});
  EXPECT_TRUE(Put("a", "x").ok());
  EXPECT_THAT(pauses_, ElementsAre(absl::Seconds(17)));
  Serve({Reply::Of(429, "", {{"Retry-After", "17"}})});
  EXPECT_EQ(Put("a", "x").status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(S3StoreTest, AWaitBeyondTheDeadlineIsNotBegun) {
  Serve({Reply::Of(503, "", {{"Retry-After", "3600"}})});
  const ConstBytes piece = BytesOf("x");
  const absl::Status status =
      store_->Put("a", {&piece, 1}, {}, {.deadline = Deadline::After(clock_, absl::Minutes(1))})
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("after the deadline"));
  EXPECT_EQ(server_->seen_count(), 1u);
}

TEST_F(S3StoreTest, RefusedCredentialsAreToldWithoutSecrets) {
  Serve({Reply::Error(403, "SignatureDoesNotMatch",
                      "<StringToSign>AWS4-HMAC-SHA256 s3cr3t</StringToSign>")});
  const absl::Status status = Put("a", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  const std::string message(status.message());
  EXPECT_THAT(message, AllOf(HasSubstr("secret key"), Not(HasSubstr("s3cr3t")),
                             Not(HasSubstr("Signature=")), Not(HasSubstr("token"))));
  EXPECT_EQ(server_->seen_count(), 1u);
}

TEST_F(S3StoreTest, AClockThatIsOffIsTold) {
  Serve({Reply::Error(403, "RequestTimeTooSkewed")});
  EXPECT_THAT(std::string(Put("a", "x").status().message()), HasSubstr("set the clocks by NTP"));
  const std::string date = absl::FormatTime(
      "%a, %d %b %Y %H:%M:%S GMT", clock_.WallNow() + absl::Minutes(30), absl::UTCTimeZone());
  Serve({Reply::Of(403, "", {{"Date", date}})});
  const absl::Status status = Put("a", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()),
              AnyOf(HasSubstr("30 minutes behind"), HasSubstr("29 minutes behind")));
}

TEST_F(S3StoreTest, AMissingObjectAndAMissingBucketAreNotTheSame) {
  Serve({Reply::Of(404), Reply::Of(200)});
  EXPECT_EQ(store_->Stat("a", {}).status().code(), absl::StatusCode::kNotFound);
  Serve({Reply::Of(404), Reply::Of(404)});
  EXPECT_EQ(store_->Stat("a", {}).status().code(), absl::StatusCode::kFailedPrecondition);
  Serve({Reply::Error(404, "NoSuchKey")});
  EXPECT_EQ(Get("a", 0, 1).status().code(), absl::StatusCode::kNotFound);
  Serve({Reply::Error(404, "NoSuchBucket")});
  EXPECT_EQ(Get("a", 0, 1).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(S3StoreTest, ARedirectNamesTheRegionAndIsNotFollowed) {
  Serve({Reply::Of(301, "",
                   {{"x-amz-bucket-region", "eu-west-7"},
                    {"Location", "http://elsewhere/?X-Amz-Signature=s3cr3t"}})});
  absl::Status status = Put("a", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("region \"eu-west-7\""));
  Serve({Reply::Of(307, "", {{"Location", "http://elsewhere/?X-Amz-Signature=s3cr3t"}})});
  status = Put("a", "x").status();
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("http://elsewhere/"), Not(HasSubstr("s3cr3t"))));
  Serve({Reply::Error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-7</Region>")});
  status = Put("a", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("region \"eu-west-7\""));
}

TEST_F(S3StoreTest, AFullServiceIsToldAtOnce) {
  Serve({Reply::Error(403, "QuotaExceeded")});
  EXPECT_EQ(Put("a", "x").status().code(), absl::StatusCode::kResourceExhausted);
  Serve({Reply::Error(507, "XMinioStorageFull")});
  EXPECT_EQ(Put("a", "x").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(server_->seen_count(), 1u);
}

TEST_F(S3StoreTest, StatTellsSizeNameAndTime) {
  Serve({Reply::Of(200, "",
                   {{"Content-Length", "12345678901"},
                    {"ETag", "\"t\""},
                    {"Last-Modified", "Fri, 24 May 2013 00:00:00 GMT"}})});
  const auto object = store_->Stat("a", {});
  ASSERT_TRUE(object.ok()) << object.status();
  EXPECT_EQ(object->size_bytes, 12345678901u);
  EXPECT_EQ(object->etag, "t");
  EXPECT_EQ(absl::ToUnixSeconds(object->modified), 1369353600);
}

std::string ListXml(const std::vector<std::string>& keys, const std::string& token) {
  std::string xml = "<ListBucketResult>";
  for (const std::string& key : keys)
    xml += "<Contents><Key>" + key + "</Key><Size>1</Size></Contents>";
  if (!token.empty())
    xml += "<IsTruncated>true</IsTruncated><NextContinuationToken>" + token +
           "</NextContinuationToken>";
  return xml + "</ListBucketResult>";
}

TEST_F(S3StoreTest, AListingGoesOnOverPages) {
  Serve({Reply::Of(200, ListXml({"tier/a", "tier/b"}, "t+1")),
         Reply::Of(200, ListXml({"tier/c/", "tier/d"}, ""))});
  const auto listing = store_->List({.prefix = "", .start_after = "0", .limit = 10}, {});
  ASSERT_TRUE(listing.ok()) << listing.status();
  std::vector<std::string> keys;
  for (const ColdObject& object : listing->objects) keys.push_back(object.key);
  EXPECT_THAT(keys, ElementsAre("a", "b", "d"));
  EXPECT_FALSE(listing->more);
  EXPECT_EQ(server_->seen().at(0).Query("start-after"), "tier%2F0");
  EXPECT_EQ(server_->seen().at(0).Query("prefix"), "tier%2F");
  EXPECT_EQ(server_->seen().at(1).Query("continuation-token"), "t%2B1");
}

TEST_F(S3StoreTest, AListingEndsAtItsLimit) {
  Serve({Reply::Of(200, ListXml({"tier/a", "tier/b"}, "t"))});
  const auto listing = store_->List({.limit = 2}, {});
  ASSERT_TRUE(listing.ok()) << listing.status();
  EXPECT_TRUE(listing->more);
  EXPECT_EQ(server_->seen_count(), 1u);
  EXPECT_EQ(server_->seen().at(0).Query("max-keys"), "2");
  Serve({Reply::Of(200, ListXml({"tier/a", "tier/b", "tier/c"}, ""))});
  EXPECT_TRUE(store_->List({.limit = 2}, {})->more);
}

TEST_F(S3StoreTest, AListingOutOfOrderOrOfOthersIsRefused) {
  for (const auto& keys : std::vector<std::vector<std::string>>{
           {"tier/b", "tier/a"}, {"tier/a", "tier/a"}, {"other/a"}, {"tier/0"}}) {
    Serve({Reply::Of(200, ListXml(keys, ""))});
    EXPECT_EQ(store_->List({.start_after = "1"}, {}).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
}

TEST_F(S3StoreTest, MalformedXmlIsTriedAgainThenUnavailable) {
  Serve({Reply::Of(200, "<ListBucketResult><Contents>"), Reply::Of(200, ListXml({}, ""))});
  EXPECT_TRUE(store_->List({}, {}).ok());
  Serve({Reply::Of(200, "<html>It works!</html>")});
  EXPECT_EQ(store_->List({}, {}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(S3StoreTest, DeletingOneThatIsNotThereIsFine) {
  Serve({Reply::Of(204)});
  EXPECT_EQ(Delete({"a"}), absl::OkStatus());
  Serve({Reply::Error(404, "NoSuchKey")});
  EXPECT_EQ(Delete({"a"}), absl::OkStatus());
  Serve({Reply::Error(404, "NoSuchBucket")});
  EXPECT_EQ(Delete({"a"}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Delete({}), absl::OkStatus());
}

TEST_F(S3StoreTest, ManyAreDeletedAtOnceAndErrorsOneByOne) {
  Serve({Reply::Of(200,
                   "<DeleteResult><Error><Key>tier/b</Key><Code>InternalError</Code></Error>"
                   "</DeleteResult>"),
         Reply::Of(204)});
  EXPECT_EQ(Delete({"a", "b", "c"}), absl::OkStatus());
  ASSERT_EQ(server_->seen_count(), 2u);
  EXPECT_EQ(server_->seen().at(0).method, "POST");
  EXPECT_EQ(server_->seen().at(0).Header("content-md5"), Base64(Md5(server_->seen().at(0).body)));
  EXPECT_EQ(server_->seen().at(1).target, "/bucket/tier/b");
}

TEST_F(S3StoreTest, AServiceWithoutBatchesIsAskedOneByOne) {
  Serve({Reply::Error(501, "NotImplemented"), Reply::Of(204)});
  EXPECT_EQ(Delete({"a", "b"}), absl::OkStatus());
  EXPECT_EQ(server_->seen_count(), 3u);
}

TEST_F(S3StoreTest, MoreThanABatchIsSplit) {
  Serve({Reply::Of(200, "<DeleteResult/>")});
  std::vector<std::string> keys;
  for (int i = 0; i < 1001; ++i) keys.push_back("k" + std::to_string(i));
  EXPECT_EQ(Delete(keys), absl::OkStatus());
  EXPECT_EQ(server_->seen_count(), 2u);
}

TEST_F(S3StoreTest, KeysThatDoNotFitWithThePrefixAreRefused) {
  Serve({Reply::Of(200)});
  std::string key = "x";
  while (key.size() < 1023) key += "/x";
  EXPECT_EQ(Put(key, "x").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Put("../x", "x").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(server_->seen_count(), 0u);
}

TEST_F(S3StoreTest, TheDescriptionHasNoSecret) {
  Serve({Reply::Of(200)});
  EXPECT_EQ(store_->Describe(), "s3://bucket/tier at " + server_->url() + ", region eu-test-1");
}

TEST_F(S3StoreTest, KeysThatWereChangedMeanwhileAreTakenUp) {
  Serve(FaultServer::Handler([this](const SeenRequest& request) {
    if (request.Header("authorization").find("Credential=NEWKEY/") != std::string::npos)
      return PutReply("x");
    variables_["AWS_ACCESS_KEY_ID"] = "NEWKEY";
    return Reply::Error(403, "InvalidAccessKeyId");
  }));
  EXPECT_TRUE(Put("a", "x").ok());
  EXPECT_EQ(server_->seen_count(), 2u);
}

TEST_F(S3StoreTest, AnArchivedObjectIsToldApart) {
  Serve({Reply::Error(403, "InvalidObjectState")});
  const absl::Status status = Get("a", 0, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("archived"));
}

}  // namespace
}  // namespace cairn
