// Goal: a device that anybody else uses never becomes a target unasked, and the refusal says whose
// it is. Method: a simulated disk with traces where others leave theirs.
#include "server/chunk/blank_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "server/chunk/aligned_block.h"
#include "server/chunk/superblock.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_executor.h"

namespace cairn {
namespace {

using testing::HasSubstr;

constexpr uint64_t kDeviceBytes = 8 * kMiB;

class BlankDeviceTest : public testing::Test {
 protected:
  void Write(uint64_t offset, const std::string& bytes) {
    const auto block = std::make_unique<AlignedBlock>();
    std::memcpy(block->data, bytes.data(), bytes.size());
    ASSERT_EQ(executor_.Run(disk_.Write(offset, block->bytes())), absl::OkStatus());
  }
  absl::Status Check() { return executor_.Run(CheckBlank(disk_)); }

  SimExecutor executor_{1};
  SimDisk disk_{kDeviceBytes, 1};
};

TEST_F(BlankDeviceTest, ZerosAreBlank) { EXPECT_EQ(Check(), absl::OkStatus()); }

TEST_F(BlankDeviceTest, WhatIsInTheMiddleIsNobodys) {
  Write(4 * kMiB, "left behind");
  EXPECT_EQ(Check(), absl::OkStatus());
}

TEST_F(BlankDeviceTest, TracesAtEitherEndAreRefused) {
  for (const uint64_t offset : {uint64_t{0}, 64 * kKiB, kDeviceBytes - 4 * kKiB}) {
    Write(offset, "_BHRfS_M");
    const absl::Status refused = Check();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << offset;
    EXPECT_THAT(refused.message(),
                HasSubstr("not blank: it holds something else's data; say --wipe"));
    ASSERT_EQ(executor_.Run(WipeDevice(disk_)), absl::OkStatus());
    EXPECT_EQ(Check(), absl::OkStatus()) << offset;
  }
}

TEST_F(BlankDeviceTest, ATargetIsNamedAlsoByItsSecondSuperblock) {
  const std::string superblock =
      EncodeSuperblock(MakeSuperblock("another", TargetId(5), TargetUuid{1}, kDeviceBytes));
  for (const uint64_t offset : SuperblockOffsets(kDeviceBytes)) {
    Write(offset, superblock);
    EXPECT_THAT(Check().message(), HasSubstr("it holds target 5 of the cluster another"));
    ASSERT_EQ(executor_.Run(WipeDevice(disk_)), absl::OkStatus());
  }
  disk_.Crash(1);
  disk_.PowerOn();
  EXPECT_EQ(Check(), absl::OkStatus()) << "what was wiped stays so";
}

TEST_F(BlankDeviceTest, WhatCannotBeReadOrIsTooSmallIsRefused) {
  disk_.FailNext(SimDisk::Kind::kRead, absl::DataLossError("media"));
  EXPECT_EQ(Check().code(), absl::StatusCode::kDataLoss);
  SimDisk small(kTargetBytesMin - 4 * kKiB, 1);
  EXPECT_EQ(executor_.Run(CheckBlank(small)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(executor_.Run(WipeDevice(small)).code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace cairn
