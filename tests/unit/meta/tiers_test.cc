// Goal: the metadata remembers the cold tiers that there are, and no two that are one. Method: the
// real engine on a simulated store.
#include "server/meta/tiers.h"

#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;

wire::TierSpec Spec(const std::string& name, const std::string& location,
                    const std::vector<std::pair<std::string, std::string>>& options = {}) {
  wire::TierSpec spec;
  spec.set_name(name);
  spec.set_location(location);
  for (const auto& [option, value] : options) {
    spec.add_options()->set_name(option);
    spec.mutable_options()->rbegin()->set_value(value);
  }
  return spec;
}

class TiersTest : public MetaTest {
 protected:
  absl::StatusOr<disk::AddTierReply> Add(const wire::TierSpec& spec) {
    disk::AddTier request;
    *request.mutable_spec() = spec;
    return Do(request);
  }
  absl::Status RemoveTier(const std::string& name) {
    disk::RemoveTier request;
    request.set_name(name);
    return Do(request).status();
  }
  std::vector<std::string> Tiers() {
    std::vector<std::string> texts;
    const auto reply = Ask(wire::ListTiersRequest());
    EXPECT_THAT(reply, IsOk());
    if (!reply.ok()) return texts;
    for (const wire::TierInfo& tier : reply->tiers()) {
      texts.push_back(StrCat(tier.spec().name(), " ", tier.spec().location()));
      for (const wire::TierOption& option : tier.spec().options())
        texts.back() += StrCat(" ", option.name(), "=", option.value());
      EXPECT_GT(tier.added_at_ns(), 0);
    }
    return texts;
  }
};

TEST_F(TiersTest, WhatIsAddedStaysUntilItIsRemoved) {
  EXPECT_THAT(Tiers(), IsEmpty());
  ASSERT_THAT(Add(Spec("b", "s3://x", {{"endpoint", "http://h:1"}, {"region", "r"}})), IsOk());
  ASSERT_THAT(Add(Spec("a", "dir:///mnt")), IsOk());
  Restart();
  EXPECT_THAT(Tiers(), ElementsAre("a dir:///mnt", "b s3://x endpoint=http://h:1 region=r"));
  EXPECT_THAT(RemoveTier("b"), IsOk());
  EXPECT_THAT(RemoveTier("b"), Fails(kNotFound, "\"b\""));
  EXPECT_THAT(Tiers(), ElementsAre("a dir:///mnt"));
}

TEST_F(TiersTest, ADryRunRemovesNothing) {
  ASSERT_THAT(Add(Spec("a", "/x")), IsOk());
  disk::RemoveTier request;
  request.set_name("a");
  request.set_dry_run(true);
  EXPECT_THAT(Do(request), IsOk());
  EXPECT_THAT(Tiers(), ElementsAre("a /x"));
  request.set_name("b");
  EXPECT_THAT(Do(request), Fails(kNotFound, "\"b\""));
}

TEST_F(TiersTest, TheSameOnceMoreIsNoError) {
  const auto first = Add(Spec("a", "s3://x", {{"region", "r"}}));
  ASSERT_THAT(first, IsOk());
  EXPECT_FALSE(first->existed());
  executor_.RunFor(absl::Seconds(5));
  const auto again = Add(Spec("a", "s3://x", {{"region", "r"}}));
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->existed());
  EXPECT_EQ(again->tier().added_at_ns(), first->tier().added_at_ns());
}

TEST_F(TiersTest, NoTwoAreOneName) {
  ASSERT_THAT(Add(Spec("a", "s3://x", {{"region", "r"}})), IsOk());
  EXPECT_THAT(Add(Spec("a", "s3://x", {{"region", "q"}})), Fails(kExists, "another tier a"));
  EXPECT_THAT(Add(Spec("a", "s3://y")), Fails(kExists, "at s3://x"));
}

TEST_F(TiersTest, NoTwoAreOneStore) {
  ASSERT_THAT(Add(Spec("a", "s3://x", {{"endpoint", "http://h:1"}, {"credentials", "env"}})),
              IsOk());
  EXPECT_THAT(Add(Spec("b", "s3://x", {{"endpoint", "http://h:1"}, {"credentials", "instance"}})),
              Fails(kExists, "tier a is at s3://x"));
  EXPECT_THAT(Add(Spec("b", "s3://x", {{"endpoint", "http://h:2"}})), IsOk());
  EXPECT_THAT(Add(Spec("c", "s3://x/prefix", {{"endpoint", "http://h:1"}})), IsOk());
}

TEST_F(TiersTest, NamesAreShortAndPlain) {
  for (const char* name : {"a", "a-1", "archive2"}) EXPECT_THAT(CheckTierName(name), IsOk());
  EXPECT_THAT(CheckTierName(std::string(63, 'a')), IsOk());
  for (const std::string& name :
       {std::string(), std::string("1a"), std::string("-a"), std::string("A"), std::string("a b"),
        std::string("a/b"), std::string("\xc3\xa4"), std::string(64, 'a')}) {
    EXPECT_THAT(CheckTierName(name), Fails(kInvalid, "no tier's name")) << name;
    EXPECT_THAT(Add(Spec(name, "/x")), Fails(kInvalid, "no tier's name"));
  }
}

TEST_F(TiersTest, ThereAreNotMoreThanAPersonKeepsTrackOf) {
  for (int i = 0; i < kTiersMax; ++i)
    ASSERT_THAT(Add(Spec(StrCat("t", i), StrCat("s3://b", i))), IsOk());
  EXPECT_THAT(Add(Spec("more", "s3://more")), Fails(kExhausted, "64 tiers"));
  EXPECT_THAT(RemoveTier("t7"), IsOk());
  EXPECT_THAT(Add(Spec("more", "s3://more")), IsOk());
}

}  // namespace
}  // namespace cairn
