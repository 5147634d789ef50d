// What may be written for a redundancy, and what it means.
#include "common/placement/redundancy.h"

#include <gtest/gtest.h>

#include "common/base/crc32c.h"

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
  const auto replica = ParseRedundancy("replica:3");
  ASSERT_TRUE(replica.ok());
  EXPECT_EQ(replica->width(), 3u);
  EXPECT_EQ(replica->tolerance(), 2u);
  EXPECT_DOUBLE_EQ(replica->overhead(), 3.0);
}

TEST(RedundancyTest, FragmentsCoverTheStripe) {
  const auto ec = ParseRedundancy("ec:4+2");
  ASSERT_TRUE(ec.ok());
  EXPECT_EQ(ec->FragmentSpan(4 << 20), 1u << 20);
  for (uint64_t length :
       {uint64_t{0}, uint64_t{1}, kBlockBytes, 4 * kBlockBytes, 4 * kBlockBytes + 1,
        uint64_t{4 << 20}, uint64_t{(4 << 20) - 1}, uint64_t{3'333'333}}) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 4; ++i) {
      const uint64_t held = ec->FragmentLength(length, i);
      if (held > 0) {
        EXPECT_EQ(sum, i * ec->FragmentSpan(length));
      }
      sum += held;
      EXPECT_LE(held, ec->FragmentLength(length, 0));
    }
    EXPECT_EQ(sum, length);
    EXPECT_EQ(ec->FragmentLength(length, 4), ec->FragmentLength(length, 0));
    EXPECT_EQ(ec->FragmentLength(length, 5), ec->FragmentLength(length, 0));
  }
  // One block of content, and parity no longer than it.
  EXPECT_EQ(ec->FragmentLength(100, 0), 100u);
  EXPECT_EQ(ec->FragmentLength(100, 1), 0u);
  EXPECT_EQ(ec->FragmentLength(100, 5), 100u);
  const auto replica = ParseRedundancy("replica:2");
  ASSERT_TRUE(replica.ok());
  EXPECT_EQ(replica->FragmentLength(5, 0), 5u);
  EXPECT_EQ(replica->FragmentLength(5, 1), 5u);
}

TEST(RedundancyTest, RefusesEverythingElse) {
  for (const char* text : {"",
                           "replica",
                           "replica:",
                           "replica:0",
                           "replica:9",
                           "replica:03",
                           "replica:-1",
                           "replica: 3",
                           "replica:3 ",
                           "Replica:3",
                           "ec:",
                           "ec:4",
                           "ec:4+",
                           "ec:+2",
                           "ec:1+2",
                           "ec:0+2",
                           "ec:4+0",
                           "ec:33+2",
                           "ec:4+9",
                           "ec:4+2+1",
                           "ec:04+2",
                           "ec:4,2",
                           "ec:99999999999+2",
                           "rs:4+2",
                           "3"}) {
    const auto parsed = ParseRedundancy(text);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(parsed.status().message().find("ec:4+2"), absl::string_view::npos) << text;
  }
}

}  // namespace
}  // namespace cairn
