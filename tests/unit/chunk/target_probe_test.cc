// Goal: a target knows how long its device takes, tries it when asked, and returns in time also
// when the device does not. Method: a simulated disk that is slow, fails, or stands still.
#include <gtest/gtest.h>

#include "tests/unit/chunk/target_world.h"

namespace cairn {
namespace {

Target::ProbeResult ProbeFor(TargetWorld& world, absl::Duration patience) {
  return world.executor.Run(world.target->Probe(Deadline::After(world.executor.clock(), patience)));
}

TEST(TargetProbe, ReadsAFewTimesAndTellsHowLongEachTook) {
  TargetWorld world;
  ASSERT_TRUE(world.Open().ok());
  world.disk.SetDelay(absl::Milliseconds(7));
  const int64_t reads = world.disk.reads();
  const Target::ProbeResult probe = ProbeFor(world, absl::Seconds(10));
  EXPECT_TRUE(probe.error.ok()) << probe.error;
  EXPECT_EQ(probe.pending, absl::ZeroDuration());
  ASSERT_EQ(probe.reads.size(), 9u);
  for (absl::Duration took : probe.reads) EXPECT_GE(took, absl::Milliseconds(7));
  EXPECT_EQ(world.disk.reads(), reads + 9);
}

TEST(TargetProbe, EndsAtItsDeadlineAndLeavesWhatHangs) {
  TargetWorld world;
  ASSERT_TRUE(world.Open().ok());
  world.disk.SetDelay(absl::Minutes(1));
  Target::ProbeResult probe = ProbeFor(world, absl::Seconds(2));
  EXPECT_TRUE(probe.reads.empty());
  EXPECT_GE(probe.pending, absl::Seconds(2));
  // The same read, longer.
  probe = ProbeFor(world, absl::Seconds(2));
  EXPECT_GE(probe.pending, absl::Seconds(4));
  world.disk.SetDelay(absl::ZeroDuration());
  probe = ProbeFor(world, absl::Minutes(2));
  EXPECT_EQ(probe.reads.size(), 1u);
  EXPECT_EQ(probe.pending, absl::ZeroDuration());
  probe = ProbeFor(world, absl::Seconds(2));
  EXPECT_EQ(probe.reads.size(), 9u);
}

TEST(TargetProbe, AnErrorIsToldAndChangesNothing) {
  TargetWorld world;
  ASSERT_TRUE(world.Open().ok());
  world.disk.FailNext(SimDisk::Kind::kRead, absl::DataLossError("a bad sector"), 2);
  const Target::ProbeResult probe = ProbeFor(world, absl::Seconds(2));
  EXPECT_EQ(probe.error.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(probe.reads.size(), 3u);
  EXPECT_TRUE(world.target->failure().ok());
  EXPECT_TRUE(ProbeFor(world, absl::Seconds(2)).error.ok());
}

TEST(TargetProbe, AFailedTargetIsNotTried) {
  TargetWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Write(1, 1000).ok());
  world.disk.FailNext(SimDisk::Kind::kFlush, absl::DataLossError("no flush"));
  ASSERT_FALSE(world.SealAll({Stripes(1)}).ok());
  const int64_t reads = world.disk.reads();
  EXPECT_EQ(ProbeFor(world, absl::Seconds(2)).error.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(world.disk.reads(), reads);
}

TEST(TargetLatencies, CountWhatTheDeviceTookForWritesReadsAndFlushes) {
  TargetWorld world;
  ASSERT_TRUE(world.Open().ok());
  world.disk.SetDelay(absl::Milliseconds(3));
  ASSERT_TRUE(world.Write(1, 1000).ok());
  ASSERT_TRUE(world.Write(2, 1000).ok());
  ASSERT_TRUE(world.SealAll({Stripes(1, 2)}).ok());
  const TestSlab slab(kBlockBytes);
  ASSERT_TRUE(world.executor.Run(world.target->Read(Key(1), 0, 1000, slab.bytes())).ok());
  const MonoTime now = world.executor.clock().Now();
  const Target::Latencies& latencies = world.target->latencies();
  EXPECT_EQ(latencies.write.since_start().count(), 2u);
  for (const OperationTimes* times :
       {&latencies.write, &latencies.read, &latencies.flush, &latencies.seal}) {
    const LatencyWindow::Summary lately = times->lately().Summarize(now, absl::Minutes(1));
    EXPECT_EQ(lately.samples, times == &latencies.write ? 2u : 1u);
    EXPECT_EQ(times->since_start().count(), lately.samples);
    EXPECT_GE(lately.p50, absl::Milliseconds(3));
    EXPECT_GE(times->since_start().sum(), 3'000'000 * lately.samples);
  }
  EXPECT_EQ(world.target->counters().write_errors + world.target->counters().read_errors +
                world.target->counters().flush_errors,
            0);
}

TEST(TargetErrors, AreCountedByTheOperationThatFailed) {
  TargetWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Write(1, 1000).ok());
  ASSERT_TRUE(world.SealAll({Stripes(1)}).ok());
  const Target::Counters& counters = world.target->counters();
  // Written elsewhere after it.
  world.disk.FailNext(SimDisk::Kind::kWrite, absl::DataLossError("no write"));
  ASSERT_TRUE(world.Write(2, 1000).ok());
  EXPECT_EQ(counters.write_errors, 1);
  const TestSlab slab(kBlockBytes);
  world.disk.FailNext(SimDisk::Kind::kRead, absl::DataLossError("no read"));
  ASSERT_FALSE(world.executor.Run(world.target->Read(Key(1), 0, 1000, slab.bytes())).ok());
  EXPECT_EQ(counters.read_errors, 1);
  world.disk.FailNext(SimDisk::Kind::kFlush, absl::DataLossError("no flush"));
  ASSERT_FALSE(world.SealAll({Stripes(2)}).ok());
  EXPECT_EQ(counters.flush_errors, 1);
}

}  // namespace
}  // namespace cairn
