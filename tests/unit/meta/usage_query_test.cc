// Goal: of every path it is told how much is there, and, page by page, in which tier. Method: the
// real engine on a simulated store, with objects of a cold tier noted as a mover would.
#include "server/meta/usage_query.h"

#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

class UsageQueryTest : public MetaTest {
 protected:
  absl::StatusOr<wire::GetUsageReply> Usage(const std::string& path, bool with_places = false,
                                            const std::string& start_after = "") {
    wire::GetUsageRequest request;
    request.set_path(path);
    request.set_with_places(with_places);
    request.set_start_after(start_after);
    return Ask(request);
  }
  std::string Text(const std::string& path) {
    const auto reply = Usage(path);
    if (!reply.ok()) return reply.status().ToString();
    return StrCat(reply->path(), ": ", reply->size_bytes(), " bytes, ", reply->files(), " files, ",
                  reply->checkpoints(), " checkpoints");
  }
  // `bytes` of the run at `first_stripe` are in an object of the tier "t", from its start on.
  void Archive(uint64_t first_stripe, uint64_t bytes) {
    disk::AddTier tier;
    tier.mutable_spec()->set_name("t");
    tier.mutable_spec()->set_location("s3://t");
    ASSERT_THAT(Do(tier), IsOk());
    disk::PlanColdObjects plan;
    plan.set_tier("t");
    plan.set_count(1);
    const auto planned = Do(plan);
    ASSERT_THAT(planned, IsOk());
    disk::NoteColdObject note;
    note.set_object(planned->first());
    note.set_size_bytes(bytes);
    auto* piece = note.add_pieces();
    piece->set_first_stripe(first_stripe);
    piece->set_length_bytes(bytes);
    ASSERT_THAT(Do(note), IsOk());
  }
  uint64_t FirstStripe(const std::string& path) {
    const auto stat = Stat(path);
    EXPECT_THAT(stat, IsOk());
    return stat.ok() && stat->extents_size() > 0 ? stat->extents(0).first_stripe() : 0;
  }
};

TEST_F(UsageQueryTest, EveryKindOfPathIsCounted) {
  ASSERT_THAT(Save("default/run/step-1", 100), IsOk());
  const auto begun = Begin("default/run/step-2");
  ASSERT_THAT(begun, IsOk());
  const uint64_t stripe = begun->stripes().first();
  ASSERT_THAT(
      Done("default/run/step-2", begun->attempt(), 0,
           {Shard("a/x", 10, stripe), Shard("a/b/y", 20, stripe + 1), Shard("z", 30, stripe + 2)}),
      IsOk());
  EXPECT_EQ(Text("default/run"), "default/run: 100 bytes, 1 files, 1 checkpoints");
  ASSERT_THAT(Commit("default/run/step-2", begun->attempt()), IsOk());
  ASSERT_THAT(PutFile("other/f", 7), Fails(kNotFound, "no bucket"));
  ASSERT_THAT(MakeDirectory("other"), IsOk());
  ASSERT_THAT(PutFile("other/f", 7), IsOk());
  EXPECT_EQ(Text(""), ": 167 bytes, 5 files, 2 checkpoints");
  EXPECT_EQ(Text("default/run"), "default/run: 160 bytes, 4 files, 2 checkpoints");
  EXPECT_EQ(Text("default/run/latest"), "default/run/step-2: 60 bytes, 3 files, 1 checkpoints");
  EXPECT_EQ(Text("default/run/step-2/a"), "default/run/step-2/a: 30 bytes, 2 files, 0 checkpoints");
  EXPECT_EQ(Text("default/run/step-2/a/b/y"),
            "default/run/step-2/a/b/y: 20 bytes, 1 files, 0 checkpoints");
  EXPECT_EQ(Text("other/f"), "other/f: 7 bytes, 1 files, 0 checkpoints");
  EXPECT_THAT(Usage("default/no"), Fails(kNotFound, "there is no"));
}

TEST_F(UsageQueryTest, WithoutColdTiersAllIsHotAndNothingIsWalked) {
  ASSERT_THAT(Save("default/run/step-1", 100), IsOk());
  const auto reply = Usage("default", true);
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->page_hot_bytes(), 100u);
  EXPECT_EQ(reply->page_cold_bytes(), 0u);
  EXPECT_EQ(reply->page_files(), 1u);
  EXPECT_EQ(reply->next(), "");
}

TEST_F(UsageQueryTest, WhatLiesInAColdTierIsTold) {
  ASSERT_THAT(PutFile("default/d/f", 100), IsOk());
  ASSERT_THAT(PutFile("default/d/g", 1000), IsOk());
  ASSERT_THAT(Save("default/run/step-1", 10), IsOk());
  Archive(FirstStripe("default/d/f"), 60);
  const auto all = Usage("default", true);
  ASSERT_THAT(all, IsOk());
  EXPECT_EQ(all->page_files(), 3u);
  EXPECT_EQ(all->page_bytes(), 1110u);
  EXPECT_EQ(all->page_hot_bytes(), 1110u);
  EXPECT_EQ(all->page_cold_bytes(), 60u);
  const auto file = Usage("default/d/f", true);
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->page_cold_bytes(), 60u);
  const auto other = Usage("default/run", true);
  ASSERT_THAT(other, IsOk());
  EXPECT_EQ(other->page_cold_bytes(), 0u);
  EXPECT_EQ(other->page_hot_bytes(), 10u);
  // And of the tier, in its list.
  const auto tiers = Ask(wire::ListTiersRequest());
  ASSERT_THAT(tiers, IsOk());
  EXPECT_EQ(tiers->tiers(0).objects(), 1u);
  EXPECT_EQ(tiers->tiers(0).stored_bytes(), 60u);
  EXPECT_EQ(tiers->tiers(0).live_bytes(), 60u);
}

TEST_F(UsageQueryTest, PagesTogetherSeeEveryFileOnce) {
  // With checkpoints between files, as a page may end in and around them.
  constexpr int kFiles = 4000;
  for (int i = 0; i < kFiles; ++i) {
    ASSERT_THAT(PutFile(StrCat("default/d", i % 7, "/f", i), 10), IsOk());
    if (i % 2 == 0) ASSERT_THAT(Save(StrCat("default/d", i % 7, "/f", i, "c"), 1), IsOk());
  }
  Archive(FirstStripe("default/d0/f0"), 10);
  uint64_t files = 0, bytes = 0, cold = 0;
  int pages = 0;
  std::string from;
  do {
    const auto reply = Usage("default", true, from);
    ASSERT_THAT(reply, IsOk());
    files += reply->page_files();
    bytes += reply->page_bytes();
    cold += reply->page_cold_bytes();
    from = reply->next();
    ASSERT_LT(++pages, 10);
  } while (!from.empty());
  EXPECT_GT(pages, 1);
  EXPECT_EQ(files, kFiles + kFiles / 2u);
  EXPECT_EQ(bytes, 10 * kFiles + kFiles / 2u);
  EXPECT_EQ(cold, 10u);
  EXPECT_THAT(Usage("default", true, "a//b"), Fails(kInvalid, ""));
}

}  // namespace
}  // namespace cairn
