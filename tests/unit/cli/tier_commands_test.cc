// Goal: operators name cold stores by command and learn whether all nodes can use them, in text,
// JSON and exit codes. Method: command lines against a fake Admin.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class TierCommandTest : public CliTest {
 protected:
  TierCommandTest() {
    admin_.tiers["archive"] = {{"archive", "s3://cold", {{"region", "eu-1"}, {"etag", "md5"}}},
                               1'000'000'000'000};
  }
  testing::FakeAdmin& admin_ = cluster_.admin;
};

TEST_F(TierCommandTest, ATierIsAddedWithItsOptions) {
  const RunResult added = Run({"tier", "add", "minio", "s3://cairn/prod", "--endpoint",
                               "https://m:9000", "--region", "r", "--path-style", "no", "--ca-file",
                               "/ca.pem", "--credentials", "file:/c#p", "--etag", "opaque"});
  EXPECT_EQ(added.out, "tier minio is at s3://cairn/prod; 2 nodes have tried it\n");
  const TierSpec& spec = admin_.tiers.at("minio").spec;
  EXPECT_EQ(spec.location, "s3://cairn/prod");
  EXPECT_THAT(spec.options, ::testing::UnorderedElementsAre(
                                Pair("endpoint", "https://m:9000"), Pair("region", "r"),
                                Pair("path-style", "no"), Pair("ca-file", "/ca.pem"),
                                Pair("credentials", "file:/c#p"), Pair("etag", "opaque")));
  EXPECT_FALSE(admin_.tier_options.at(0).unchecked);
  EXPECT_EQ(Run({"tier", "add", "minio", "s3://cairn/prod"}).out,
            "tier minio is there already, at s3://cairn/prod\n");
  EXPECT_EQ(Run({"tier", "add", "disks", "/mnt/x", "--unchecked"}).out,
            "tier disks is at /mnt/x; try it with 'cairn tier check'\n");
  EXPECT_TRUE(admin_.tier_options.back().unchecked);
  const nlohmann::json json = Run({"tier", "add", "j", "/mnt/j", "-o", "json"}).json();
  EXPECT_EQ(json["name"], "j");
  EXPECT_EQ(json["existed"], false);
  EXPECT_EQ(json["nodes_ok"], 2);
}

TEST_F(TierCommandTest, WhatCannotBeAddedIsTold) {
  cluster_.errors["tier:x"] = absl::FailedPreconditionError("1 of 3 nodes cannot use it: node 2");
  const RunResult refused = Run({"tier", "add", "x", "/mnt/x"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("cairn: cannot add tier x: 1 of 3 nodes cannot use it"));
  EXPECT_EQ(Run({"tier", "add", "x"}).code, 1);
}

TEST_F(TierCommandTest, TiersAreListedAndShown) {
  EXPECT_EQ(Run({"tier", "ls"}).out,
            "TIER     AGE  OBJECTS  SIZE  LOCATION\narchive   1m        0   0 B  s3://cold\n");
  const nlohmann::json list = Run({"tier", "ls", "-o", "json"}).json();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["options"]["region"], "eu-1");
  EXPECT_EQ(list[0]["added_at"], "1970-01-01T00:16:40.000Z");
  const std::string shown = Run({"tier", "show", "archive"}).out;
  EXPECT_THAT(shown, HasSubstr("tier       archive\nlocation   s3://cold\nregion     eu-1\n"));
  EXPECT_EQ(Run({"tier", "info", "archive"}).out, shown);
  EXPECT_EQ(Run({"tier", "show", "archive", "-o", "json"}).json(), list[0]);
  EXPECT_EQ(Run({"tier", "show", "x"}).err,
            "cairn: cannot show tier x: there is none; 'cairn tier ls' lists the tiers\n");
}

TEST_F(TierCommandTest, ACheckShowsTheSlowestAndWhatFailed) {
  TierCheck& check = admin_.tier_check;
  check.tier = admin_.tiers["archive"];
  check.nodes_asked = check.nodes_ok = 3;
  check.steps = {{"open", absl::Milliseconds(1), 2}, {"put an object", absl::Milliseconds(40), 3}};
  const RunResult good = Run({"tier", "check", "archive"});
  EXPECT_EQ(good.code, 0);
  EXPECT_EQ(good.out,
            "tier archive at s3://cold: 3 of 3 nodes can use it\n\n"
            "SLOWEST  NODE  STEP\n1.00 ms     2  open\n40.0 ms     3  put an object\n");
  check.nodes_ok = 1;
  check.nodes_away = 4;
  check.failures = {{2, "put an object", absl::PermissionDeniedError("403"), "check the rights"}};
  const RunResult bad = Run({"tier", "check", "archive"});
  EXPECT_EQ(bad.code, 1);
  EXPECT_THAT(bad.out, HasSubstr("1 of 3 nodes can use it (4 more are down)"));
  EXPECT_THAT(bad.out, HasSubstr("failed  node 2, put an object: 403\n        check the rights\n"));
  EXPECT_THAT(bad.out, HasSubstr("1 more node failed"));
  const RunResult as_json = Run({"tier", "check", "archive", "-o", "json"});
  EXPECT_EQ(as_json.code, 1);
  EXPECT_EQ(as_json.json()["failures"][0]["code"], "PERMISSION_DENIED");
  EXPECT_EQ(as_json.json()["steps"][1]["slowest_us"], 40'000);
  check.nodes_away = 1;
  EXPECT_THAT(Run({"tier", "check", "archive"}).out, HasSubstr("(1 more is down)"));
  cluster_.errors["tier:archive"] = absl::NotFoundError("there is no tier");
  EXPECT_THAT(Run({"tier", "check", "archive"}).err, HasSubstr("'cairn tier ls' lists the tiers"));
}

TEST_F(TierCommandTest, RemovingAsksFirst) {
  const RunResult unasked = Run({"tier", "rm", "archive"});
  EXPECT_EQ(unasked.code, 1);
  EXPECT_THAT(unasked.err, HasSubstr("--yes"));
  EXPECT_EQ(Run({"tier", "rm", "archive", "--dry-run"}).out, "would remove tier archive\n");
  EXPECT_EQ(admin_.tiers.size(), 1u);
  err_kind_ = StreamKind::kTerminal;
  typed_ = "n\n";
  EXPECT_EQ(Run({"tier", "rm", "archive"}).code, 1);
  EXPECT_EQ(admin_.tiers.size(), 1u);
  typed_ = "yes\n";
  const RunResult removed = Run({"tier", "rm", "archive"});
  EXPECT_EQ(removed.code, 0) << removed.err;
  EXPECT_THAT(admin_.tiers, IsEmpty());
  EXPECT_THAT(Run({"tier", "rm", "archive", "--yes"}).err, HasSubstr("cannot remove tier archive"));
}

}  // namespace
}  // namespace cairn::cli
