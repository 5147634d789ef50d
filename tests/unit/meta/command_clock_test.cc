// The time of commands on clocks that only the test moves; and what a step of the wall clock does
// to retention.
#include "server/meta/command_clock.h"

#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CommandClockTest : public ::testing::Test {
 protected:
  // Whether the time of commands is where the monotonic clock expects it.
  bool IsOnCourse(const CommandTime& now) {
    return now.unix_ns == start_ns_ + (clock_.Now() - start_) / absl::Nanoseconds(1);
  }
  SimClock clock_;
  const MonoTime start_ = clock_.Now();
  const int64_t start_ns_ = absl::ToUnixNanos(clock_.WallNow());
  CommandClock commands_{clock_};
};

TEST_F(CommandClockTest, FollowsTheWallClock) {
  clock_.Advance(absl::Hours(1));
  EXPECT_TRUE(IsOnCourse(commands_.Now()));
  // Small corrections are taken over, and do not add up.
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(absl::Seconds(1));
    clock_.StepWall(absl::Seconds(50));
    const CommandTime now = commands_.Now();
    EXPECT_FALSE(now.in_doubt);
    EXPECT_EQ(now.unix_ns, absl::ToUnixNanos(clock_.WallNow()));
  }
  EXPECT_EQ(commands_.steps(), 0u);
}

TEST_F(CommandClockTest, AStepEitherWayIsNotTakenOver) {
  for (const absl::Duration step : {absl::Hours(24 * 365), -absl::Hours(24 * 365)}) {
    clock_.StepWall(step);
    for (int i = 0; i < 3; ++i) {
      clock_.Advance(absl::Hours(1));
      const CommandTime now = commands_.Now();
      EXPECT_TRUE(now.in_doubt);
      EXPECT_TRUE(IsOnCourse(now));
      EXPECT_EQ(commands_.wall_ahead(), step);
    }
    clock_.StepWall(-step);
    const CommandTime now = commands_.Now();
    EXPECT_FALSE(now.in_doubt);
    EXPECT_TRUE(IsOnCourse(now));
  }
  EXPECT_EQ(commands_.steps(), 2u);
}

class ClockStepTest : public MetaTest {
 protected:
  void SaveSome(int first, int last) {
    for (int i = first; i <= last; ++i) {
      ASSERT_THAT(Save(StrCat("default/run/s", i)), IsOk());
      executor_.RunFor(absl::Minutes(10));
    }
    Settle();
  }
  absl::Status SetKeepNewer(absl::Duration age) {
    wire::SetRetentionRequest request;
    request.set_path("default/run");
    request.mutable_policy()->set_keep_newer_than_seconds(
        static_cast<uint64_t>(absl::ToInt64Seconds(age)));
    return Do(request).status();
  }
};

TEST_F(ClockStepTest, APruneAfterAStepRemovesNothing) {
  SaveSome(1, 3);
  ASSERT_THAT(SetKeepNewer(absl::Hours(24)), IsOk());
  executor_.clock().StepWall(absl::Hours(24 * 365));
  SaveSome(4, 4);
  EXPECT_EQ(Checkpoints("default/run")->size(), 4u);
  wire::PruneCheckpointsRequest prune;
  prune.set_path("default/run");
  EXPECT_THAT(Do(prune), Fails(kPrecondition, "the node's clock has jumped"));
  EXPECT_EQ(engine_->Health().clock_steps, 1u);
  EXPECT_THAT(engine_->Health().warnings, ElementsAre(HasSubstr("jumped by 8760h")));
  // Rules that ask for no age go on.
  prune.mutable_policy()->set_keep_last(3);
  EXPECT_EQ(Do(prune)->removed_size(), 1);
  // Once it is back, time has passed as it should.
  executor_.clock().StepWall(-absl::Hours(24 * 365));
  executor_.RunFor(absl::Hours(20));
  SaveSome(5, 5);
  EXPECT_EQ(Checkpoints("default/run")->size(), 4u);
  EXPECT_THAT(engine_->Health().warnings, IsEmpty());
  executor_.RunFor(absl::Hours(20));
  SaveSome(6, 6);
  EXPECT_THAT(*Checkpoints("default/run"), ElementsAre("default/run/s5", "default/run/s6"));
}

TEST_F(ClockStepTest, ARestartTakesTheWallClocksWord) {
  SaveSome(1, 2);
  ASSERT_THAT(SetKeepNewer(absl::Hours(24)), IsOk());
  executor_.clock().StepWall(absl::Hours(48));
  SaveSome(3, 3);
  EXPECT_EQ(Checkpoints("default/run")->size(), 3u);
  Restart();
  SaveSome(4, 4);
  EXPECT_THAT(*Checkpoints("default/run"), ElementsAre("default/run/s4"));
}

}  // namespace
}  // namespace cairn
