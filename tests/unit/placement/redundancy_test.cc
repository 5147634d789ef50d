// What may be written for a redundancy, and what it means.
#include "common/placement/redundancy.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(RedundancyTest, IsWrittenAsItIsRead) {
  for (const char* text : {"replica:1", "replica:3", "replica:8", "ec:2+1", "ec:4+2", "ec:32+8"}) {
    const auto parsed = ParseRedundancy(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(FormatRedundancy(*parsed), text);
  }
}

TEST(RedundancyTest, SaysHowManyFragmentsAndHowMuch) {
  const auto ec = ParseRedundancy("ec:4+2");
  ASSERT_TRUE(ec.ok());
  EXPECT_EQ(ec->width(), 6u);
  EXPECT_EQ(ec->tolerance(), 2u);
  EXPECT_DOUBLE_EQ(ec->overhead(), 1.5);
  EXPECT_EQ(ec->FragmentBytes(4 << 20), 1u << 20);
  EXPECT_EQ(ec->FragmentBytes(5), 2u);
  EXPECT_EQ(ec->FragmentBytes(0), 0u);
  const auto replica = ParseRedundancy("replica:3");
  ASSERT_TRUE(replica.ok());
  EXPECT_EQ(replica->width(), 3u);
  EXPECT_EQ(replica->tolerance(), 2u);
  EXPECT_DOUBLE_EQ(replica->overhead(), 3.0);
  EXPECT_EQ(replica->FragmentBytes(5), 5u);
}

TEST(RedundancyTest, RefusesEverythingElse) {
  for (const char* text :
       {"", "replica", "replica:", "replica:0", "replica:9", "replica:03", "replica:-1", "replica: 3",
        "replica:3 ", "Replica:3", "ec:", "ec:4", "ec:4+", "ec:+2", "ec:1+2", "ec:0+2", "ec:4+0",
        "ec:33+2", "ec:4+9", "ec:4+2+1", "ec:04+2", "ec:4,2", "ec:99999999999+2", "rs:4+2", "3"}) {
    const auto parsed = ParseRedundancy(text);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(parsed.status().message().find("ec:4+2"), absl::string_view::npos) << text;
  }
}

}  // namespace
}  // namespace cairn
