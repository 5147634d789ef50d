// Goal: steps of the wall clock, as NTP and administrators make them, harm nothing that is under
// way: a save longer than its lease commits, `latest` is the newest commit, and what was removed
// stays for its grace and no longer. Method: the real client against a whole real node in the
// simulation, whose wall clock jumps by a day while time goes on.
#include "tests/unit/client/client_world.h"

namespace cairn {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);
constexpr char kRun[] = "default/run";

// There, beyond and back again, about once a second until `*ended`.
Task<void> StepTheClock(ClientWorld* world, absl::Duration step, const bool* ended, bool* done) {
  while (!*ended) {
    for (const int times : {1, -2, 1}) {
      co_await Pass(absl::Milliseconds(300));
      world->executor.clock().StepWall(step * times);
    }
  }
  *done = true;
}

Task<void> Store(Task<absl::Status> task, absl::Status* result, bool* done) {
  *result = co_await std::move(task);
  *done = true;
}

Task<absl::Status> Remove(ClientWorld* world, std::string path) {
  wire::RemoveRequest remove;
  remove.set_path(std::move(path));
  remove.set_recursive(true);
  absl::StatusOr<wire::RemoveReply> reply =
      co_await world->session->Meta<wire::RemoveReply>(wire::REMOVE, remove, world->Soon());
  co_return reply.status();
}

std::string Latest(ClientWorld& world) {
  wire::LatestCheckpointRequest request;
  request.set_path(kRun);
  const auto reply = world.executor.Run(world.session->Meta<wire::LatestCheckpointReply>(
      wire::LATEST_CHECKPOINT, request, world.Soon()));
  return reply.ok() ? reply->info().path() : std::string(reply.status().message());
}

std::string Step(int number) { return std::string(kRun) + "/step-" + std::to_string(number); }

// By a day forward first, and by a day back first.
class ClockStep : public ::testing::TestWithParam<int> {
 protected:
  absl::Duration step() const { return kDay * GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(BothWays, ClockStep, ::testing::Values(1, -1));

TEST_P(ClockStep, ASaveLongerThanItsLeaseCommits) {
  ClientWorld world(1);
  const std::vector<Content> old = {RandomContent(world.random, 1 * kMiB)};
  ASSERT_EQ(world.executor.Run(world.Save(Step(1), old)), absl::OkStatus());

  SimFabric::Faults slow;
  slow.bytes_per_second = 20'000;
  world.fabric.set_faults(slow);
  const std::vector<Content> fresh = {RandomContent(world.random, 4 * kMiB)};
  const MonoTime begin = world.executor.clock().Now();
  absl::Status saved;
  bool ended = false;
  bool stepped = false;
  world.executor.Spawn(StepTheClock(&world, step(), &ended, &stepped));
  world.executor.Spawn(Store(world.Save(Step(2), fresh), &saved, &ended));
  world.executor.RunUntil(&ended);
  world.executor.RunUntil(&stepped);
  world.fabric.set_faults({});

  EXPECT_EQ(saved, absl::OkStatus());
  // Only renewals have kept the lease for so long.
  EXPECT_GT(world.executor.clock().Now() - begin, world.node.options().meta.lease_ttl * 2);
  EXPECT_EQ(Latest(world), Step(2));
  EXPECT_EQ(world.Matches(Step(1), old), absl::OkStatus());
  EXPECT_EQ(world.Matches(Step(2), fresh), absl::OkStatus());
}

TEST_P(ClockStep, LatestIsTheNewestCommit) {
  ClientWorld world(2);
  const std::vector<Content> shards = {RandomContent(world.random, 1000)};
  int number = 10;
  for (const int times : {0, 1, -2, -1, 3}) {
    world.executor.clock().StepWall(step() * times);
    const std::string path = Step(number--);
    ASSERT_EQ(world.executor.Run(world.Save(path, shards)), absl::OkStatus());
    EXPECT_EQ(Latest(world), path);
  }
  ASSERT_TRUE(world.executor.Run(world.node.Restart(1, 1)).ok());
  EXPECT_EQ(Latest(world), Step(number + 1));
}

TEST_P(ClockStep, WhatWasRemovedStaysForItsGraceAndNoLonger) {
  ClientWorld world(3);
  const std::vector<Content> shards = {RandomContent(world.random, 1 * kMiB)};
  ASSERT_EQ(world.executor.Run(world.Save(Step(1), shards)), absl::OkStatus());
  const auto stat = world.executor.Run(world.Stat(Step(1) + "/" + ShardName(0)));
  ASSERT_TRUE(stat.ok()) << stat.status();
  ASSERT_EQ(world.executor.Run(Remove(&world, Step(1))), absl::OkStatus());

  // The grace has begun when the reclaim loop has looked, which it does once a second.
  const absl::Duration looked = absl::Seconds(2);
  world.executor.RunFor(looked);
  world.executor.clock().StepWall(step());
  world.executor.RunFor(world.node.options().meta.reclaim_grace - looked - absl::Seconds(1));
  EXPECT_EQ(world.Usage().used, world.SpaceOf(shards));
  // As a reader does that has the file open.
  Content content(shards[0].size());
  const absl::Status read = world.executor.Run(world.ReadOpened(*stat, 0, content));
  EXPECT_EQ(read, absl::OkStatus());
  EXPECT_EQ(content, shards[0]);

  // It looked a second late, and its marks are a part of the grace apart.
  world.executor.RunFor(absl::Seconds(5));
  EXPECT_EQ(world.Usage().used, 0u);
}

TEST_P(ClockStep, ALeaseThatNobodyRenewsEndsInTime) {
  ClientWorld world(4);
  wire::BeginCheckpointRequest begin;
  begin.set_path(Step(1));
  begin.set_world_size(1);
  const auto begun = world.executor.Run(
      world.session->Meta<wire::BeginCheckpointReply>(wire::BEGIN_CHECKPOINT, begin, world.Soon()));
  ASSERT_TRUE(begun.ok()) << begun.status();
  const LeaseId lease(begun->lease());
  auto ids = std::make_shared<StripeIds>(lease, begun->stripes().first(), begun->stripes().count(),
                                         begun->redundancy());
  const Content content = RandomContent(world.random, 1 * kMiB);
  wire::ShardRecord record;
  ASSERT_EQ(world.executor.Run(world.WriteShard(ids, content, &record)), absl::OkStatus());
  world.executor.clock().StepWall(step());
  world.executor.RunFor(world.node.options().meta.lease_ttl - absl::Seconds(1));
  EXPECT_TRUE(world.node.meta().LeaseIsLive(lease));
  EXPECT_EQ(world.Usage().used, world.SpaceOf({content}));
  world.LetLeasesEnd();
  EXPECT_FALSE(world.node.meta().LeaseIsLive(lease));
  EXPECT_EQ(world.Usage().used, 0u);
}

}  // namespace
}  // namespace cairn
