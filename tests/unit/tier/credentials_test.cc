// Credentials from files, variables and endpoints' answers, and that secrets stay hidden. Method:
// texts right and wrong; files with modes of every kind.
#include "server/tier/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace cairn {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kFile[] = R"(# keys
[default]
aws_access_key_id = AKID1
aws_secret_access_key=s3cr3t/1+=
region = eu-central-1
s3 =
  max_concurrent_requests = 20

; another
[profile cold]
AWS_ACCESS_KEY_ID=AKID2
aws_secret_access_key = s3cr3t2
aws_session_token = t0k3n
[broken]
aws_access_key_id = AKID3
)";

TEST(ParseCredentialsFile, ProfilesAreFound) {
  const auto one = ParseCredentialsFile(kFile, "default", "f");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->access_key_id, "AKID1");
  EXPECT_EQ(one->secret_access_key.reveal(), "s3cr3t/1+=");
  EXPECT_TRUE(one->session_token.empty());
  const auto other = ParseCredentialsFile(kFile, "cold", "f");
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->access_key_id, "AKID2");
  EXPECT_EQ(other->session_token.reveal(), "t0k3n");
}

TEST(ParseCredentialsFile, LineEndsAndMarksOfOtherSystemsAreTaken) {
  const auto one = ParseCredentialsFile(
      "\xef\xbb\xbf[default]\r\naws_access_key_id = a\r\naws_secret_access_key = b\r\n", "default",
      "f");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->access_key_id, "a");
}

TEST(ParseCredentialsFile, AMissingProfileIsNamed) {
  const auto none = ParseCredentialsFile(kFile, "gone", "/etc/keys");
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("/etc/keys has no profile \"gone\""));
}

TEST(ParseCredentialsFile, AMissingSecretIsNamed) {
  const auto broken = ParseCredentialsFile(kFile, "broken", "f");
  EXPECT_EQ(broken.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(broken.status().message()), HasSubstr("aws_secret_access_key"));
}

TEST(ParseCredentialsFile, ErrorsShowNoValues) {
  const auto wrong = ParseCredentialsFile("[default]\ns3cr3t-on-its-own\n", "default", "f");
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("f:2"));
  EXPECT_THAT(std::string(wrong.status().message()), Not(HasSubstr("s3cr3t")));
  const auto split = ParseCredentialsFile(
      "[default]\naws_access_key_id=a\naws_secret_access_key=s3cr3t two\n", "default", "f");
  EXPECT_EQ(split.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(split.status().message()), Not(HasSubstr("s3cr3t")));
}

class CredentialsFileTest : public ::testing::Test {
 protected:
  CredentialsFileTest() {
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    path_ = directory_ + "/keys";
    std::ofstream(path_) << kFile;
  }
  ~CredentialsFileTest() override { std::filesystem::remove_all(directory_); }
  absl::Status ReadWithMode(mode_t mode) {
    EXPECT_EQ(chmod(path_.c_str(), mode), 0);
    return ReadCredentialsFile(path_, "default").status();
  }
  std::string directory_ = std::filesystem::temp_directory_path() / "cairn_credentials_test_XXXXXX";
  std::string path_;
};

TEST_F(CredentialsFileTest, PrivateOnesAreRead) {
  EXPECT_TRUE(ReadWithMode(0600).ok());
  EXPECT_TRUE(ReadWithMode(0400).ok());
  EXPECT_TRUE(ReadWithMode(0640).ok());
}

TEST_F(CredentialsFileTest, WhatOthersReadIsRefusedWithTheRemedy) {
  for (const mode_t mode : {0644, 0604, 0620, 0602, 0666}) {
    const absl::Status status = ReadWithMode(mode);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << mode;
    EXPECT_THAT(std::string(status.message()), HasSubstr("chmod 600"));
  }
}

TEST_F(CredentialsFileTest, WhatIsNoFileIsRefused) {
  EXPECT_EQ(ReadCredentialsFile(directory_, "default").status().code(),
            absl::StatusCode::kFailedPrecondition);
  const std::string pipe = directory_ + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(ReadCredentialsFile(pipe, "default").status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadCredentialsFile(directory_ + "/gone", "default").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(CredentialsFileTest, AHugeOneIsRefused) {
  std::filesystem::resize_file(path_, 2 << 20);
  EXPECT_EQ(ReadWithMode(0600).code(), absl::StatusCode::kInvalidArgument);
}

TEST(CredentialsFromEnvironment, AllThreeVariablesAreTaken) {
  std::map<std::string, std::string> variables = {{"AWS_ACCESS_KEY_ID", "id"},
                                                  {"AWS_SECRET_ACCESS_KEY", "s3cr3t"},
                                                  {"AWS_SESSION_TOKEN", "token"}};
  const auto lookup = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  const auto credentials = CredentialsFromEnvironment(lookup);
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(credentials->session_token.reveal(), "token");

  variables.erase("AWS_SECRET_ACCESS_KEY");
  const absl::Status missing = CredentialsFromEnvironment(lookup).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("AWS_SECRET_ACCESS_KEY"));

  variables["AWS_SECRET_ACCESS_KEY"] = "s3cr3t\r\nx-injected: 1";
  const absl::Status wrong = CredentialsFromEnvironment(lookup).status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(wrong.message()), Not(HasSubstr("s3cr3t")));
}

TEST(ParseCredentialsAnswer, AllFieldsAreTaken) {
  const auto credentials = ParseCredentialsAnswer(
      R"({"Code":"Success","AccessKeyId":"id","SecretAccessKey":"secret","Token":"token",
          "Expiration":"2026-01-02T03:04:05Z"})",
      "x");
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(absl::ToUnixSeconds(credentials->expires), 1767323045);
}

TEST(ParseCredentialsAnswer, OthersAreRefusedWithoutShowingThem) {
  for (const char* json :
       {"", "null", "[]", "{", R"({"Code":"Failed"})", R"({"AccessKeyId":"id"})",
        R"({"AccessKeyId":1,"SecretAccessKey":"s3cr3t"})",
        R"({"AccessKeyId":"id","SecretAccessKey":"s3cr3t","Expiration":"tomorrow"})",
        R"({"AccessKeyId":"i d","SecretAccessKey":"s3cr3t"})"}) {
    const absl::Status status = ParseCredentialsAnswer(json, "the endpoint").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << json;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("s3cr3t")));
  }
}

TEST(ParseCredentialsSource, ReadsWhatItWrites) {
  for (const std::string text : {"env", "instance", "container", "file:/etc/keys",
                                 "file:/etc/keys#cold", "file:/a#b#default"}) {
    const auto source = ParseCredentialsSource(text);
    ASSERT_TRUE(source.ok()) << source.status();
    EXPECT_EQ(FormatCredentialsSource(*source), text);
  }
}

TEST(ParseCredentialsSource, OthersAreRefused) {
  for (const std::string text : {"", "envx", "file:", "file:keys", "file:/a#", "AKID:secret"}) {
    EXPECT_EQ(ParseCredentialsSource(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(Secret, IsHiddenHoweverItIsPrinted) {
  const Credentials credentials{.access_key_id = "AKID", .secret_access_key = Secret("s3cr3t")};
  std::ostringstream stream;
  stream << credentials << credentials.secret_access_key;
  EXPECT_THAT(stream.str(), Not(HasSubstr("s3cr3t")));
  EXPECT_EQ(fmt::format("{}", credentials.secret_access_key), "(hidden)");
  EXPECT_EQ(::testing::PrintToString(credentials.secret_access_key), "(hidden)");
}

}  // namespace
}  // namespace cairn
