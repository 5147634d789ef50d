// Goal: no decision of the metadata hangs on the wall clock but retention's, whose rules are in its
// terms. Method: an engine whose wall clock jumps by a day either way between the commands of a
// save and after a removal, while the monotonic clock goes on.
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class MetaClockStep : public MetaTest, public ::testing::WithParamInterface<int> {
 protected:
  absl::Duration step() const { return absl::Hours(24) * GetParam(); }
  // Steps the wall clock, and lets almost all of a lease's time pass.
  void StepAndWait(absl::Duration by) {
    executor_.clock().StepWall(by);
    executor_.RunFor(options_.lease_ttl - absl::Seconds(1));
  }
  bool Renew(uint64_t lease) {
    wire::RenewLeasesRequest request;
    request.add_leases(lease);
    return engine_->RenewLeases(request).ended().empty();
  }
};
// Forward first, and back first.
INSTANTIATE_TEST_SUITE_P(BothWays, MetaClockStep, ::testing::Values(1, -1));

TEST_P(MetaClockStep, ASaveGoesOnAndCommits) {
  ASSERT_THAT(Save("default/run/s1"), IsOk());
  StepAndWait(step());
  const auto begun = Begin("default/run/s2");
  ASSERT_THAT(begun, IsOk());
  StepAndWait(-2 * step());
  EXPECT_TRUE(Renew(begun->lease()));
  StepAndWait(2 * step());
  EXPECT_TRUE(Renew(begun->lease()));
  ASSERT_THAT(
      Done("default/run/s2", begun->attempt(), 0, {Shard("shard", 100, begun->stripes().first())}),
      IsOk());
  StepAndWait(-2 * step());
  EXPECT_TRUE(engine_->LeaseIsLive(LeaseId(begun->lease())));
  EXPECT_EQ(Latest("default/run")->path(), "default/run/s1");
  EXPECT_THAT(Commit("default/run/s2", begun->attempt()), IsOk());
  EXPECT_EQ(Latest("default/run")->path(), "default/run/s2");
}

TEST_P(MetaClockStep, AnAttemptThatNobodyRenewsEndsInTime) {
  ASSERT_THAT(Begin("default/run/s1"), IsOk());
  StepAndWait(step());
  EXPECT_THAT(*Checkpoints("default/run", true), ElementsAre("default/run/s1 (writing)"));
  executor_.RunFor(options_.lease_ttl / 2);
  EXPECT_THAT(*Checkpoints("default/run", true), IsEmpty());
}

TEST_P(MetaClockStep, LatestIsTheNewestCommitAlsoAfterARestart) {
  for (const char* name : {"c", "b", "a"}) {
    ASSERT_THAT(Save(StrCat("default/run/", name)), IsOk());
    EXPECT_EQ(Latest("default/run")->path(), StrCat("default/run/", name));
    executor_.clock().StepWall(step());
    Restart();
    EXPECT_EQ(Latest("default/run")->path(), StrCat("default/run/", name));
  }
}

TEST_P(MetaClockStep, GraceIsNeitherCutShortNorDrawnOut) {
  ASSERT_THAT(PutFile("default/f"), IsOk());
  ReclaimAll();
  ASSERT_THAT(Remove("default/f"), IsOk());
  Settle();
  // The grace is measured from the first look that finds the entry; looks at one moment are one.
  executor_.RunFor(options_.reclaim_grace / 8);
  EXPECT_THAT(NextReclaim(), IsEmpty());
  for (const int times : {1, -2}) {
    executor_.clock().StepWall(step() * times);
    EXPECT_THAT(NextReclaim(), IsEmpty());
    executor_.RunFor(options_.reclaim_grace / 2 - absl::Seconds(1));
    EXPECT_THAT(NextReclaim(), IsEmpty());
  }
  executor_.RunFor(absl::Seconds(2));
  EXPECT_EQ(NextReclaim().size(), 1u);
}

}  // namespace
}  // namespace cairn
