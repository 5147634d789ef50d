// Goal: a node without the metadata asks which leases live, once for all who wait, takes an answer
// for a second, and after Forget() trusts no answer from before: not one it has, nor one on its
// way.
#include "server/cluster/remote_leases.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "common/task/stop.h"
#include "tests/sim/sim_executor.h"

namespace cairn {
namespace {

constexpr LeaseId kLease(7);

class RemoteLeasesTest : public ::testing::Test {
 protected:
  ~RemoteLeasesTest() override { executor_.Run(leases_.Stop()); }

  Task<absl::StatusOr<std::vector<LeaseId>>> Ask(std::vector<LeaseId> asked) {
    ++questions_;
    std::vector<LeaseId> live;
    for (LeaseId lease : asked)
      if (live_.contains(lease)) live.push_back(lease);
    // As it was then, told later.
    StopSource never;
    (void)co_await SleepFor(absl::Milliseconds(10), never);
    co_return live;
  }
  bool IsLive() {
    const absl::StatusOr<bool> live = executor_.Run(leases_.IsLive(kLease));
    EXPECT_TRUE(live.ok()) << live.status();
    return live.ok() && *live;
  }
  Task<void> Wait(int* answered) {
    (void)co_await leases_.IsLive(kLease);
    ++*answered;
  }

  SimExecutor executor_{1};
  std::set<LeaseId> live_ = {kLease};
  int questions_ = 0;
  RemoteLeases leases_{[this](std::vector<LeaseId> asked) { return Ask(std::move(asked)); }};
};

TEST_F(RemoteLeasesTest, AnAnswerCountsForASecondAndForAllWhoWait) {
  int answered = 0;
  for (int i = 0; i < 10; ++i) executor_.Spawn(Wait(&answered));
  executor_.RunFor(absl::Milliseconds(100));
  EXPECT_EQ(answered, 10);
  // The first does not wait for others; these ask together.
  EXPECT_LE(questions_, 2);
  questions_ = 0;
  EXPECT_TRUE(IsLive());
  EXPECT_EQ(questions_, 0);
  live_.clear();
  executor_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(IsLive());
}

TEST_F(RemoteLeasesTest, WhatWasKnownBeforeForgettingIsAskedAnew) {
  EXPECT_TRUE(IsLive());
  live_.clear();
  leases_.Forget();
  EXPECT_FALSE(IsLive());
}

TEST_F(RemoteLeasesTest, AnAnswerOnItsWayIsNotKeptAfterForgetting) {
  int answered = 0;
  executor_.Spawn(Wait(&answered));
  executor_.RunFor(absl::Milliseconds(5));
  ASSERT_EQ(questions_, 1);
  live_.clear();
  leases_.Forget();
  executor_.RunFor(absl::Milliseconds(10));
  ASSERT_EQ(answered, 1);
  EXPECT_FALSE(IsLive());
}

}  // namespace
}  // namespace cairn
