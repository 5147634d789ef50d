// Goal: a configuration file does what it says or is refused with line and reason. Method: files as
// strings.

#include "server/main/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn {
namespace {

using testing::HasSubstr;

std::string Refusal(std::string_view toml) {
  config::Server config;
  const absl::Status status = ParseConfig(toml, "c.toml", &config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << toml;
  return std::string(status.message());
}

TEST(ParseConfig, EveryKindOfFieldIsRead) {
  config::Server config;
  const absl::Status status = ParseConfig(R"(
data = "/d"
reactors = 4
unsafe_no_sync = true
[[targets]]
path = "/dev/nvme0n1"
[[targets]]
path = "/t"
size = "2TiB"
)",
                                          "c.toml", &config);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(config.data(), "/d");
  EXPECT_EQ(config.reactors(), 4u);
  EXPECT_TRUE(config.unsafe_no_sync());
  ASSERT_EQ(config.targets_size(), 2);
  EXPECT_EQ(config.targets(1).size(), "2TiB");
}

TEST(ParseConfig, MistakesNameFileLineAndField) {
  EXPECT_THAT(Refusal("\ndata_dir = \"x\""), HasSubstr("c.toml:2: unknown setting \"data_dir\""));
  EXPECT_THAT(Refusal("reactors = \"4\""), HasSubstr("\"reactors\" must be a whole number"));
  EXPECT_THAT(Refusal("reactors = -1"), HasSubstr("a whole number"));
  EXPECT_THAT(Refusal("reactors = 4294967296"), HasSubstr("to 4294967295"));
  EXPECT_THAT(Refusal("reactors = 1.5"), HasSubstr("a whole number"));
  EXPECT_THAT(Refusal("reactors = 4.0"), HasSubstr("a whole number"));
  EXPECT_THAT(Refusal("reactors = 1e300"), HasSubstr("a whole number"));
  EXPECT_THAT(Refusal("data = 7"), HasSubstr("a string"));
  EXPECT_THAT(Refusal("targets = \"/t\""), HasSubstr("[[targets]]"));
  EXPECT_THAT(Refusal("[[targets]]\nsizes = \"1\""),
              HasSubstr("c.toml:2: unknown setting \"sizes\""));
  EXPECT_THAT(Refusal("data = "), HasSubstr("c.toml:1"));
}

TEST(ReadServerConfig, MissingFileIsNamed) {
  const auto config = ReadServerConfig("/nonexistent/c.toml");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("/nonexistent/c.toml"));
}

TEST(ParseSize, UnitsOf1000AndOf1024) {
  EXPECT_EQ(*ParseSize("4096"), 4096u);
  EXPECT_EQ(*ParseSize("64GiB"), 64ull << 30);
  EXPECT_EQ(*ParseSize(" 5 gb "), 5'000'000'000u);
  EXPECT_EQ(*ParseSize("3TB"), 3'000'000'000'000u);
  EXPECT_EQ(*ParseSize("1KiB"), 1024u);
}

TEST(ParseSize, WhatIsNoSizeIsRefused) {
  for (const char* text :
       {"", "GiB", "-1", "1.5GiB", "1 potato", "99999999999999999999", "20000000TiB"}) {
    EXPECT_EQ(ParseSize(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace cairn
