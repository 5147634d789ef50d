// Goal: people and programs see how much is stored, by tier and bucket, and at a path. Method:
// command lines against a fake Admin.
#include <gmock/gmock.h>

#include <string>

#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kTiB = uint64_t{1} << 40;

class DfTest : public CliTest {
 protected:
  DfTest() {
    cluster_.status_json = R"({"map": {"targets": [
      {"id": 1, "node": 1, "state": "TARGET_UP", "capacityBytes": "4398046511104",
       "usedBytes": "1099511627776"},
      {"id": 2, "node": 2, "state": "TARGET_UP", "capacityBytes": "4398046511104",
       "usedBytes": "3298534883328"},
      {"id": 3, "node": 3, "state": "TARGET_FAILED", "capacityBytes": "4398046511104"}]}})";
    BucketInfo models{"models", "ec:4+2", 2 * kTiB, kTiB, 12, 3};
    models.overhead = 1.5;
    cluster_.buckets = {{"b", {"b", "replica:1"}}, {"models", models}};
    cluster_.directories["models"] = EntryType::kDirectory;
    admin_.tiers["archive"] = {{"archive", "s3://cold", {}}, 0, {}, 7, 5 * kTiB, 4 * kTiB};
    admin_.usage = {"", EntryType::kDirectory, 1000, 4, 2};
    admin_.places = {{4, 1000, 1000, 0, ""}};
  }
  testing::FakeAdmin& admin_ = cluster_.admin;
};

TEST_F(DfTest, TiersAndBucketsAreShown) {
  EXPECT_EQ(Run({"df"}).out,
            "TIER     CAPACITY      USED      FREE  USE%   LOGICAL  OBJECTS\n"
            "hot      8.00 TiB  4.00 TiB  4.00 TiB   50%  1.00 TiB        -\n"
            "archive         -  5.00 TiB         -     -  4.00 TiB        7\n"
            "\n"
            "BUCKET   LOGICAL  FILES  CHECKPOINTS     QUOTA  USE%  REDUNDANCY  PHYSICAL\n"
            "b            0 B      0            0      none     -  replica:1        0 B\n"
            "models  1.00 TiB     12            3  2.00 TiB   50%  ec:4+2      1.50 TiB\n");
}

TEST_F(DfTest, ProgramsGetBytes) {
  const auto json = Run({"df", "-o", "json"}).json();
  EXPECT_EQ(json["hot"]["targets"], 2);
  EXPECT_EQ(json["hot"]["free_bytes"], 4 * kTiB);
  EXPECT_EQ(json["hot"]["logical_bytes"], kTiB);
  EXPECT_EQ(json["tiers"][0]["live_bytes"], 4 * kTiB);
  EXPECT_EQ(json["buckets"][1]["physical_bytes"], kTiB + kTiB / 2);
  EXPECT_EQ(json["buckets"][1]["quota_bytes"], 2 * kTiB);
  EXPECT_TRUE(json["buckets"][0]["quota_bytes"].is_null());
}

TEST_F(DfTest, APathIsSummedOverAllSteps) {
  admin_.places = {{3, 700, 700, 100, "run/f"}, {1, 300, 300, 300, ""}};
  const RunResult shown = Run({"df", "cairn://b/run/"});
  EXPECT_EQ(shown.code, 0);
  EXPECT_THAT(shown.out, HasSubstr("b/run\n"));
  EXPECT_THAT(shown.out, HasSubstr("1000 B (100%)\n"));
  EXPECT_THAT(shown.out, HasSubstr("400 B (40%)\n"));
  const auto json = Run({"df", "b/run", "-o", "json"}).json();
  EXPECT_EQ(json["path"], "b/run");
  EXPECT_EQ(json["type"], "directory");
  EXPECT_EQ(json["size_bytes"], 1000);
  EXPECT_EQ(json["checkpoints"], 2);
  EXPECT_EQ(json["hot_bytes"], 1000);
  EXPECT_EQ(json["cold_bytes"], 400);
}

TEST_F(DfTest, WhatCannotBeSeenIsTold) {
  cluster_.errors["b/no"] = absl::NotFoundError("there is no \"b/no\"");
  const RunResult missing = Run({"df", "b/no"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("cairn: cannot see how much is in b/no: there is no"));
  cluster_.errors["places:b/x"] = absl::UnavailableError("too many queries");
  EXPECT_EQ(Run({"df", "b/x"}).code, 4);
  cluster_.errors["tiers"] = absl::UnimplementedError("no such method");
  EXPECT_EQ(Run({"df"}).code, 0);
}

}  // namespace
}  // namespace cairn::cli
