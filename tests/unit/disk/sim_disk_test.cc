// The simulated disk's own promises: if it did not lose, tear and fail as told, every test built on
// it would pass for nothing.
#include "tests/sim/sim_disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/task/scope.h"
#include "tests/sim/sim_executor.h"

namespace cairn {
namespace {

class SimDiskTest : public ::testing::Test {
 protected:
  absl::Status Write(uint64_t offset, int fill) {
    std::memset(buffer_.data(), fill, buffer_.size());
    return executor_.Run(disk_.Write(offset, buffer_));
  }
  bool LiveIs(uint64_t offset, int fill) const {
    const ConstBytes bytes = disk_.live().subspan(offset, buffer_.size());
    return std::all_of(bytes.begin(), bytes.end(),
                       [&](std::byte b) { return b == std::byte(fill); });
  }
  SimExecutor executor_{1};
  SimDisk disk_{1 * kMiB, 1};
  alignas(4096) std::array<std::byte, 8192> buffer_;
};

TEST_F(SimDiskTest, FlushedSurvivesCrash) {
  ASSERT_TRUE(Write(0, 1).ok());
  ASSERT_TRUE(executor_.Run(disk_.Flush()).ok());
  disk_.Crash(1);
  EXPECT_EQ(Write(0, 2).code(), absl::StatusCode::kUnavailable);
  disk_.PowerOn();
  EXPECT_TRUE(LiveIs(0, 1));
}

TEST_F(SimDiskTest, UnflushedIsLostKeptOrTornBySeed) {
  int lost = 0;
  int kept = 0;
  int torn = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    ASSERT_TRUE(Write(0, 0).ok());
    ASSERT_TRUE(executor_.Run(disk_.Flush()).ok());
    ASSERT_TRUE(Write(0, 1).ok());
    disk_.Crash(seed);
    disk_.PowerOn();
    if (LiveIs(0, 0)) {
      ++lost;
    } else if (LiveIs(0, 1)) {
      ++kept;
    } else {
      ++torn;
    }
  }
  EXPECT_GT(lost, 5);
  EXPECT_GT(kept, 5);
  EXPECT_GT(torn, 5);
}

TEST_F(SimDiskTest, FailedFlushLosesForGood) {
  bool lost = false;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    ASSERT_TRUE(Write(0, 0).ok());
    ASSERT_TRUE(executor_.Run(disk_.Flush()).ok());
    ASSERT_TRUE(Write(0, 1).ok());
    disk_.FailNext(SimDisk::Kind::kFlush, absl::DataLossError("planted"));
    EXPECT_EQ(executor_.Run(disk_.Flush()).message(), "planted");
    EXPECT_TRUE(executor_.Run(disk_.Flush()).ok());
    disk_.Crash(seed);
    disk_.PowerOn();
    lost |= !LiveIs(0, 1);
  }
  EXPECT_TRUE(lost);
}

TEST_F(SimDiskTest, FaultsFireOnceAndAreCounted) {
  disk_.FailNext(SimDisk::Kind::kWrite, absl::ResourceExhaustedError("full"), 1);
  EXPECT_TRUE(Write(0, 1).ok());
  EXPECT_EQ(Write(0, 1).message(), "full");
  EXPECT_TRUE(Write(0, 1).ok());
  disk_.FailNext(SimDisk::Kind::kRead, absl::DataLossError("media"));
  EXPECT_EQ(executor_.Run(disk_.Read(0, buffer_)).message(), "media");
  EXPECT_TRUE(executor_.Run(disk_.Read(0, buffer_)).ok());
  disk_.MisdirectNextWrite(64 * kKiB);
  EXPECT_TRUE(Write(0, 9).ok());
  EXPECT_TRUE(LiveIs(0, 1));
  EXPECT_TRUE(LiveIs(64 * kKiB, 9));
  disk_.FlipBit(0, 7);
  EXPECT_FALSE(LiveIs(0, 1));
  EXPECT_EQ(disk_.faults_fired(), 3);
}

Task<void> StoreWrite(SimDisk& disk, ConstBytes data, absl::Status* result) {
  *result = co_await disk.Write(0, data);
}

TEST_F(SimDiskTest, CrashFailsWhatIsUnderWay) {
  absl::Status result;
  executor_.Spawn(StoreWrite(disk_, buffer_, &result));
  executor_.PostRemote([this] { disk_.Crash(3); });
  executor_.RunUntilIdle();
  EXPECT_TRUE(result.ok() || result.code() == absl::StatusCode::kUnavailable);
  EXPECT_FALSE(Write(0, 1).ok());
}

}  // namespace
}  // namespace cairn
