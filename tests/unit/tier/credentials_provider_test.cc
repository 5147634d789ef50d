// Credentials of a store in use: fetched once, renewed in time, served on while renewing fails.
// Method: an endpoint on the loopback that answers as those of instances and containers do; the
// time of day is the test's.
#include "server/tier/credentials_provider.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include "tests/unit/tier/fault_server.h"

namespace cairn {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Kind = CredentialsSource::Kind;

// The machine's clocks, moved on by the test.
class MovedClock final : public Clock {
 public:
  MonoTime Now() const override { return system_.Now() + moved_; }
  absl::Time WallNow() const override { return system_.WallNow() + moved_; }
  void Move(absl::Duration duration) { moved_ += duration; }

 private:
  SystemClock system_;
  absl::Duration moved_;
};

class CredentialsProviderTest : public ::testing::Test {
 protected:
  std::unique_ptr<CredentialsProvider> Make(CredentialsSource source) {
    return std::make_unique<CredentialsProvider>(
        source, clock_, [this](const std::string& name) -> std::optional<std::string> {
          const auto found = variables_.find(name);
          return found == variables_.end() ? std::nullopt : std::optional(found->second);
        });
  }
  // What endpoints answer: keys number `n`, valid for an hour.
  std::string Answer(int n) {
    const std::string expires = absl::FormatTime(
        "%Y-%m-%dT%H:%M:%SZ", clock_.WallNow() + absl::Hours(1), absl::UTCTimeZone());
    return "{\"Code\":\"Success\",\"AccessKeyId\":\"id" + std::to_string(n) +
           "\",\"SecretAccessKey\":\"s3cr3t\",\"Token\":\"t0k3n\",\"Expiration\":\"" + expires +
           "\"}";
  }
  // IMDSv2: a token first, then the role, then its keys.
  Reply Instance(const SeenRequest& request) {
    if (request.method == "PUT") {
      EXPECT_EQ(request.target, "/latest/api/token");
      EXPECT_NE(request.Header("x-aws-ec2-metadata-token-ttl-seconds"), "");
      return Reply::Of(200, "tok");
    }
    if (request.Header("x-aws-ec2-metadata-token") != "tok") return Reply::Of(401);
    if (request.target.ends_with("/security-credentials/")) return Reply::Of(200, "my-role\n");
    EXPECT_TRUE(request.target.ends_with("/security-credentials/my-role")) << request.target;
    return Reply::Of(200, Answer(++fetches_));
  }

  MovedClock clock_;
  std::map<std::string, std::string> variables_;
  int fetches_ = 0;
};

TEST_F(CredentialsProviderTest, AnInstancesAreFetchedOnceAndRenewedBeforeTheyEnd) {
  FaultServer server([this](const SeenRequest& request) { return Instance(request); });
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url();
  const auto provider = Make({.kind = Kind::kInstance});
  const auto first = provider->Get({});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->access_key_id, "id1");
  EXPECT_EQ(first->session_token.reveal(), "t0k3n");
  clock_.Move(absl::Minutes(30));
  EXPECT_EQ(provider->Get({})->access_key_id, "id1");
  EXPECT_EQ(server.seen_count(), 3u);
  clock_.Move(absl::Minutes(26));
  EXPECT_EQ(provider->Get({})->access_key_id, "id2");
}

TEST_F(CredentialsProviderTest, OldOnesServeWhileRenewingFails) {
  bool broken = false;
  FaultServer server(
      [&](const SeenRequest& request) { return broken ? Reply::Of(500) : Instance(request); });
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url();
  const auto provider = Make({.kind = Kind::kInstance});
  ASSERT_TRUE(provider->Get({}).ok());
  broken = true;
  clock_.Move(absl::Minutes(57));
  EXPECT_EQ(provider->Get({})->access_key_id, "id1");
  const size_t asked = server.seen_count();
  EXPECT_EQ(provider->Get({})->access_key_id, "id1");
  EXPECT_EQ(server.seen_count(), asked) << "a failed renewal is not tried at every call";
  clock_.Move(absl::Minutes(4));
  EXPECT_EQ(provider->Get({}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(CredentialsProviderTest, AMachineWithoutARoleIsTold) {
  FaultServer server([](const SeenRequest& request) {
    return request.method == "PUT" ? Reply::Of(200, "tok") : Reply::Of(404);
  });
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url();
  const absl::Status status = Make({.kind = Kind::kInstance})->Get({}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("needs a role"));
}

TEST_F(CredentialsProviderTest, ATokenWithALineBreakIsNotSent) {
  FaultServer server({Reply::Of(200, "tok\r\nx-injected: 1")});
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url();
  EXPECT_EQ(Make({.kind = Kind::kInstance})->Get({}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(server.seen_count(), 1u);
}

TEST_F(CredentialsProviderTest, RefusedOnesAreFetchedAnew) {
  FaultServer server([this](const SeenRequest& request) { return Instance(request); });
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url();
  const auto provider = Make({.kind = Kind::kInstance});
  const auto first = provider->Get({});
  ASSERT_TRUE(first.ok()) << first.status();
  provider->Refused(*first);
  EXPECT_EQ(provider->Get({})->access_key_id, "id2");
  // Another thread's complaint about the old ones comes late.
  provider->Refused(*first);
  EXPECT_EQ(provider->Get({})->access_key_id, "id2");
}

TEST_F(CredentialsProviderTest, ManyThreadsFetchOnce) {
  FaultServer server([this](const SeenRequest& request) { return Instance(request); });
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url();
  const auto provider = Make({.kind = Kind::kInstance});
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] { EXPECT_EQ(provider->Get({})->access_key_id, "id1"); });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(CredentialsProviderTest, AContainersAreFetchedWithItsToken) {
  std::string path = std::filesystem::temp_directory_path() / "cairn_token_XXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  close(fd);
  std::ofstream(path) << "auth-token\n";
  FaultServer server([this](const SeenRequest& request) {
    EXPECT_EQ(request.target, "/creds");
    EXPECT_EQ(request.Header("authorization"), "auth-token");
    return Reply::Of(200, Answer(++fetches_));
  });
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url() + "/creds";
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = path;
  const auto credentials = Make({.kind = Kind::kContainer})->Get({});
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(credentials->access_key_id, "id1");
  std::filesystem::remove(path);
  EXPECT_EQ(Make({.kind = Kind::kContainer})->Get({}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CredentialsProviderTest, AContainersUriLeadsNowhereElse) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://evil.example/creds";
  EXPECT_EQ(Make({.kind = Kind::kContainer})->Get({}).status().code(),
            absl::StatusCode::kInvalidArgument);
  variables_.clear();
  EXPECT_EQ(Make({.kind = Kind::kContainer})->Get({}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CredentialsProviderTest, ErrorsShowNoSecret) {
  FaultServer server(
      {Reply::Of(200, R"({"AccessKeyId":"id","SecretAccessKey":"s3cr3t","Expiration":"x"})")});
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url() + "/creds";
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "t0k3n";
  const absl::Status status = Make({.kind = Kind::kContainer})->Get({}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(Not(HasSubstr("s3cr3t")), Not(HasSubstr("t0k3n"))));
}

TEST_F(CredentialsProviderTest, AChangedFileIsReadWithinAMinute) {
  std::string path = std::filesystem::temp_directory_path() / "cairn_keys_XXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  close(fd);
  std::ofstream(path) << "[default]\naws_access_key_id=one\naws_secret_access_key=x\n";
  const auto provider = Make({.kind = Kind::kFile, .file = path});
  EXPECT_EQ(provider->Get({})->access_key_id, "one");
  std::ofstream(path) << "[default]\naws_access_key_id=two\naws_secret_access_key=x\n";
  EXPECT_EQ(provider->Get({})->access_key_id, "one");
  clock_.Move(absl::Seconds(61));
  EXPECT_EQ(provider->Get({})->access_key_id, "two");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace cairn
