// Which keys cold objects may have, and how keys appear in messages. Method: keys of each kind.
#include "server/tier/cold_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace cairn {
namespace {

using ::testing::HasSubstr;

TEST(CheckColdKey, OrdinaryKeysAreTaken) {
  for (const std::string key : {"a", "a/b", "a/b.c/d", "..a", "a..", "a b", "a+b",
                                "\xc3\xa9t\xc3\xa9", "a/.cairn-tier", "%41", "~", "-"}) {
    EXPECT_TRUE(CheckColdKey(key).ok()) << key;
  }
  EXPECT_TRUE(CheckColdKey(std::string(255, 'x')).ok());
}

TEST(CheckColdKey, WhatLeadsElsewhereIsRefused) {
  for (const std::string key :
       {"", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "/"}) {
    EXPECT_EQ(CheckColdKey(key).code(), absl::StatusCode::kInvalidArgument) << key;
  }
}

TEST(CheckColdKey, WhatTheStoreUsesItselfIsRefused) {
  EXPECT_THAT(std::string(CheckColdKey(".cairn-tmp/a").message()), HasSubstr("begins with .cairn"));
}

TEST(CheckColdKey, LongOnesAreRefused) {
  EXPECT_FALSE(CheckColdKey(std::string(256, 'x')).ok());
  std::string key = "x";
  while (key.size() < 1023) key += "/x";
  EXPECT_TRUE(CheckColdKey(key).ok());
  EXPECT_FALSE(CheckColdKey(key + "/x").ok());
}

TEST(CheckColdKey, WhatIsNotUtf8IsRefused) {
  for (const std::string key : {"\xff", "a\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                                "\xf5\x80\x80\x80", "\xf0\x80\x80\x80"}) {
    EXPECT_FALSE(CheckColdKey(key).ok()) << key;
  }
  EXPECT_FALSE(CheckColdKey(std::string("a\0b", 3)).ok());
  EXPECT_FALSE(CheckColdKey("a\nb").ok());
  EXPECT_FALSE(CheckColdKey("a\x7f").ok());
}

TEST(QuotedKey, NothingUnprintableIsShown) {
  EXPECT_EQ(QuotedKey("a\n\"\xff"), "\"a\\x0a\\x22\\xff\"");
  EXPECT_EQ(QuotedKey(std::string(300, 'x')).size(), 205u);
}

}  // namespace
}  // namespace cairn
