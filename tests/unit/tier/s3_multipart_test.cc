// Uploads in parts: how objects are cut, and what is left when a step fails. Method: a server on
// the loopback that keeps uploads as a service does, and fails where the test says.
#include "server/tier/s3_multipart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "server/tier/s3_xml.h"
#include "tests/unit/tier/s3_fixture.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kPart = 5 * kMiB;

TEST(PartBytesFor, SmallWishesAreRaised) {
  EXPECT_EQ(PartBytesFor(0, 1), kPart);
  EXPECT_EQ(PartBytesFor(100 * kMiB, 64 * kMiB), 64 * kMiB);
  EXPECT_EQ(PartBytesFor(100 * kMiB, 64 * kMiB + 1), 65 * kMiB);
}

TEST(PartBytesFor, NoObjectHasMoreThanTenThousandParts) {
  for (const uint64_t size :
       {uint64_t{1}, 50'000 * kMiB, 50'000 * kMiB + 1, 1024 * kGiB + 7, kS3ObjectBytesMax}) {
    const uint64_t part = PartBytesFor(size, kPart);
    EXPECT_LE(DivideUp(size, part), kS3PartsMax) << size;
    EXPECT_LE(part, kS3PartBytesMax);
    EXPECT_EQ(part % kMiB, 0u);
  }
}

// Keeps one upload; `fault_` may answer instead.
class MultipartTest : public S3StoreTest {
 protected:
  MultipartTest() : content_(2 * kPart + 12345, 'x') {
    for (size_t i = 0; i < content_.size(); i += 997) content_[i] = static_cast<char>('a' + i % 26);
    Serve(FaultServer::Handler([this](const SeenRequest& request) { return Answer(request); }));
  }

  Reply Answer(const SeenRequest& request) {
    if (fault_) {
      if (std::optional<Reply> reply = fault_(request)) return *reply;
    }
    if (request.method == "POST" && request.target.ends_with("?uploads=")) {
      return Reply::Of(200,
                       "<InitiateMultipartUploadResult><UploadId>up</UploadId>"
                       "</InitiateMultipartUploadResult>");
    }
    if (request.method == "PUT") {
      const int number = std::stoi(request.Query("partNumber"));
      parts_[number] = request.body;
      return Reply::Of(200, "", {{"ETag", "\"" + Hex(Md5(request.body)) + "\""}});
    }
    if (request.method == "DELETE") {
      aborted_ = true;
      return parts_.empty() && completed_ ? Reply::Error(404, "NoSuchUpload") : Reply::Of(204);
    }
    if (request.method == "HEAD") {
      return completed_ ? HeadReply(object_.size(), etag_) : Reply::Of(404);
    }
    return Complete(request);
  }

  Reply Complete(const SeenRequest& request) {
    if (completed_) return Reply::Error(404, "NoSuchUpload");
    std::vector<std::string> md5s;
    for (const auto& [number, body] : parts_) {
      EXPECT_THAT(request.body, HasSubstr("<PartNumber>" + std::to_string(number) +
                                          "</PartNumber><ETag>\"" + Hex(Md5(body)) + "\""));
      object_ += body;
      md5s.push_back(Md5(body));
    }
    etag_ = MultipartEtag(md5s);
    parts_.clear();
    completed_ = true;
    return Reply::Of(200, "<CompleteMultipartUploadResult><ETag>\"" + etag_ +
                              "\"</ETag></CompleteMultipartUploadResult>");
  }

  absl::StatusOr<std::string> PutContent(int parallel = 1) {
    return Put("a", content_, {.part_bytes = kPart, .parallel_parts = parallel});
  }

  std::function<std::optional<Reply>(const SeenRequest&)> fault_;
  std::string content_;
  std::map<int, std::string> parts_;
  std::string object_;
  std::string etag_;
  bool completed_ = false;
  bool aborted_ = false;
};

TEST_F(MultipartTest, PartsMakeTheWholeObject) {
  const auto etag = PutContent();
  ASSERT_TRUE(etag.ok()) << etag.status();
  EXPECT_TRUE(object_ == content_);
  EXPECT_EQ(*etag, etag_);
  EXPECT_THAT(*etag, ::testing::EndsWith("-3"));
  EXPECT_FALSE(aborted_);
}

TEST_F(MultipartTest, PartsGoUpInParallel) {
  ASSERT_TRUE(PutContent(3).ok());
  EXPECT_TRUE(object_ == content_);
  EXPECT_FALSE(PutContent(0).ok());
  EXPECT_FALSE(PutContent(65).ok());
}

TEST_F(MultipartTest, AFailedPartIsTriedAgain) {
  int failures = 2;
  fault_ = [&](const SeenRequest& request) -> std::optional<Reply> {
    if (request.Query("partNumber") != "2" || failures-- <= 0) return std::nullopt;
    return Reply::Error(503, "SlowDown");
  };
  ASSERT_TRUE(PutContent(2).ok());
  EXPECT_TRUE(object_ == content_);
}

TEST_F(MultipartTest, APartThatKeepsFailingAbortsTheUpload) {
  fault_ = [](const SeenRequest& request) -> std::optional<Reply> {
    if (request.Query("partNumber") != "2") return std::nullopt;
    return Reply::Error(403, "AccessDenied");
  };
  const absl::Status status = PutContent(2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("put part 2 of \"tier/a\""));
  EXPECT_TRUE(aborted_);
  EXPECT_FALSE(completed_);
}

TEST_F(MultipartTest, ADamagedPartIsNeverCompleted) {
  fault_ = [](const SeenRequest& request) -> std::optional<Reply> {
    if (request.Query("partNumber") != "3") return std::nullopt;
    return Reply::Of(200, "", {{"ETag", "\"" + Hex(Md5("truncated")) + "\""}});
  };
  EXPECT_EQ(PutContent().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(aborted_);
  EXPECT_FALSE(completed_);
}

TEST_F(MultipartTest, AnErrorInA200OfCompleteIsTriedAgain) {
  int failures = 1;
  fault_ = [&](const SeenRequest& request) -> std::optional<Reply> {
    if (request.method != "POST" || request.Query("uploadId") == "-" || failures-- <= 0)
      return std::nullopt;
    return Reply::Of(200, "  <Error><Code>InternalError</Code><Message>m</Message></Error>");
  };
  ASSERT_TRUE(PutContent().ok());
  EXPECT_TRUE(object_ == content_);
}

TEST_F(MultipartTest, AnErrorInA200OfCompleteThatStaysFails) {
  fault_ = [](const SeenRequest& request) -> std::optional<Reply> {
    if (request.method != "POST" || request.Query("uploadId") == "-") return std::nullopt;
    return Reply::Of(200, "<Error><Code>InternalError</Code></Error>");
  };
  EXPECT_EQ(PutContent().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(aborted_);
}

TEST_F(MultipartTest, ALostAnswerOfCompleteIsFoundOutByTheEtag) {
  bool lost = false;
  fault_ = [&](const SeenRequest& request) -> std::optional<Reply> {
    if (request.method != "POST" || request.Query("uploadId") == "-" || lost) return std::nullopt;
    lost = true;
    return Complete(request).CutBy(10, Reply::Then::kReset);
  };
  const auto etag = PutContent();
  ASSERT_TRUE(etag.ok()) << etag.status();
  EXPECT_EQ(*etag, etag_);
  EXPECT_FALSE(aborted_);
}

TEST_F(MultipartTest, MalformedXmlOfCompleteIsFoundOutByTheEtag) {
  fault_ = [&](const SeenRequest& request) -> std::optional<Reply> {
    if (request.method != "POST" || request.Query("uploadId") == "-") return std::nullopt;
    if (!completed_) (void)Complete(request);
    return Reply::Of(200, "<CompleteMultipartUploadResult><ETag>");
  };
  EXPECT_TRUE(PutContent().ok());
}

TEST_F(MultipartTest, AShorterObjectThanWasSentIsDataLoss) {
  fault_ = [&](const SeenRequest& request) -> std::optional<Reply> {
    if (request.method != "HEAD") return std::nullopt;
    return HeadReply(content_.size() - 1, etag_);
  };
  EXPECT_EQ(PutContent().status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(MultipartTest, AnUploadThatCannotBeAbortedIsNamed) {
  fault_ = [](const SeenRequest& request) -> std::optional<Reply> {
    if (request.Query("partNumber") == "-" && request.method != "DELETE") return std::nullopt;
    return Reply::Error(403, "AccessDenied");
  };
  EXPECT_THAT(std::string(PutContent().status().message()), HasSubstr("kept as upload up"));
}

TEST_F(MultipartTest, AStopAbortsTheUpload) {
  std::atomic<bool> stop = false;
  fault_ = [&](const SeenRequest& request) -> std::optional<Reply> {
    if (request.Query("partNumber") == "2") stop = true;
    return std::nullopt;
  };
  const ConstBytes pieces[] = {BytesOf(content_)};
  const auto etag = store_->Put("a", pieces, {.part_bytes = kPart}, {.stop = &stop});
  EXPECT_EQ(etag.status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(aborted_);
  EXPECT_FALSE(completed_);
}

}  // namespace
}  // namespace cairn
