// Path validation is pure: each rule with a path that just passes and one that just does not.
#include "server/meta/paths.h"

#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;

TEST(Paths, SplitsComponents) {
  EXPECT_THAT(*SplitPath("bucket"), ElementsAre("bucket"));
  EXPECT_THAT(*SplitPath("b/dir/na me"), ElementsAre("b", "dir", "na me"));
  EXPECT_THAT(*SplitPath("b/.hidden/..."), ElementsAre("b", ".hidden", "..."));
}

TEST(Paths, RefusesSlashesOutOfPlace) {
  EXPECT_THAT(SplitPath(""), Fails(kInvalid, "empty"));
  EXPECT_THAT(SplitPath("/b"), Fails(kInvalid, "starts with a slash"));
  EXPECT_THAT(SplitPath("b/"), Fails(kInvalid, "ends with a slash"));
  EXPECT_THAT(SplitPath("b//x"), Fails(kInvalid, "contains \"//\""));
}

TEST(Paths, RefusesDots) {
  EXPECT_THAT(SplitPath("b/../x"), Fails(kInvalid, "\"..\" is not allowed"));
  EXPECT_THAT(SplitPath("./x"), Fails(kInvalid, "\".\" is not allowed"));
  EXPECT_THAT(SplitPath(".."), Fails(kInvalid, "not allowed"));
}

TEST(Paths, RefusesNul) {
  EXPECT_THAT(SplitPath(std::string_view("b/a\0b", 5)),
              Fails(kInvalid, "\"a\\x00b\" contains a NUL byte"));
}

TEST(Paths, LimitsAComponentTo255Bytes) {
  EXPECT_THAT(SplitPath("b/" + std::string(255, 'x')), IsOk());
  EXPECT_THAT(SplitPath("b/" + std::string(256, 'x')),
              Fails(kInvalid, "has 256 bytes; at most 255"));
}

TEST(Paths, LimitsThePathTo4096Bytes) {
  std::string path = "b";
  while (path.size() + 100 < kMaxPathBytes) path += "/" + std::string(99, 'x');
  path += "/" + std::string(kMaxPathBytes - path.size() - 1, 'y');
  ASSERT_EQ(path.size(), kMaxPathBytes);
  EXPECT_THAT(SplitPath(path), IsOk());
  EXPECT_THAT(SplitPath(path + "y"), Fails(kInvalid, "has 4097 bytes; at most 4096"));
}

TEST(Paths, TakesUtf8AndNothingElse) {
  for (const std::string good :
       {"\u00e9", "\u65e5\u672c", "\U0001f600", "\x7f", "\u0800", "\uffff", "\U0010ffff"}) {
    EXPECT_THAT(SplitPath("b/" + good), IsOk());
  }
  for (const std::string bad :
       {"\x80", "\xc3", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x82", "\xe2\x28\xa1"}) {
    EXPECT_THAT(SplitPath("b/" + bad), Fails(kInvalid, "not valid UTF-8"));
  }
}

TEST(Paths, PrintsAnythingSafely) {
  EXPECT_EQ(Printable("ok \u00e9"), "ok \u00e9");
  EXPECT_EQ(Printable("\x1b[2J\n\xff"), "\\x1b[2J\\x0a\\xff");
  EXPECT_EQ(Printable(std::string(500, 'a')), std::string(200, 'a') + "...");
}

TEST(Paths, FindsTheStepInAName) {
  EXPECT_EQ(StepOfName("step-000100"), 100u);
  EXPECT_EQ(StepOfName("42"), 42u);
  EXPECT_EQ(StepOfName("v2-final"), std::nullopt);
  EXPECT_EQ(StepOfName("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(StepOfName("18446744073709551616"), std::nullopt);
}

}  // namespace
}  // namespace cairn
