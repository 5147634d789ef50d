// The log: threshold, target and how ids and statuses look in it.
#include "common/telemetry/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace cairn {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class LogTest : public ::testing::Test {
 protected:
  void TearDown() override {
    ASSERT_TRUE(InitLog({.level = LogLevel::kWarn}).ok());
    std::filesystem::remove(path_);
  }
  std::string Contents() {
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }
  const std::string path_ = ::testing::TempDir() + "cairn_log_test." + std::to_string(getpid());
};

TEST_F(LogTest, FileGetsWhatReachesTheThreshold) {
  ASSERT_TRUE(InitLog({.level = LogLevel::kInfo, .file = path_}).ok());
  CAIRN_LOG_DEBUG("too fine");
  CAIRN_LOG_INFO("target {} says {}", TargetId(7), absl::DataLossError("bad block"));
  CAIRN_LOG_ERROR("no arguments");
  EXPECT_THAT(Contents(), AllOf(HasSubstr("target 7 says DATA_LOSS: bad block\n"), HasSubstr(" E "),
                                HasSubstr("log_test.cc:"), HasSubstr("no arguments\n"),
                                Not(HasSubstr("too fine"))));
}

TEST_F(LogTest, ArgumentsAreNotEvaluatedBelowTheThreshold) {
  ASSERT_TRUE(InitLog({.level = LogLevel::kOff, .file = path_}).ok());
  int evaluated = 0;
  CAIRN_LOG_ERROR("{}", ++evaluated);
  EXPECT_EQ(evaluated, 0);
}

TEST_F(LogTest, UnusableFileIsAnErrorThatNamesIt) {
  const absl::Status status = InitLog({.level = LogLevel::kInfo, .file = "/proc/no/such/file"});
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr("/proc/no/such/file"));
}

TEST_F(LogTest, LevelNamesAreParsed) {
  LogLevel level = LogLevel::kOff;
  EXPECT_TRUE(ParseLogLevel("warn", &level).ok());
  EXPECT_EQ(level, LogLevel::kWarn);
  EXPECT_THAT(ParseLogLevel("loud", &level).message(),
              AllOf(HasSubstr("loud"), HasSubstr("debug, info")));
}

}  // namespace
}  // namespace cairn
