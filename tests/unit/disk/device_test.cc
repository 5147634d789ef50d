// Opening devices: files that are made, refused, locked, or lie on a filesystem that is not fit.
// Transfer's short I/O is tried case by case, because no real device does it on demand.
#include "server/disk/device.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "common/base/units.h"
#include "server/disk/transfer.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

class DeviceTest : public ::testing::Test {
 protected:
  DeviceTest() : directory_(std::filesystem::temp_directory_path() / "cairn_device_test_XXXXXX") {
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    path_ = directory_ + "/data";
  }
  ~DeviceTest() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
  std::string path_;
};

TEST_F(DeviceTest, NewFileHasAllItsSpace) {
  auto device = Device::Open({.path = path_, .size_bytes = 5 * kMiB + 1});
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ(device->size_bytes(), 5 * kMiB);
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_GE(info.st_blocks * 512, static_cast<int64_t>(5 * kMiB));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
}

TEST_F(DeviceTest, SecondOpenerIsToldWhoHasIt) {
  auto first = Device::Open({.path = path_, .size_bytes = kMiB});
  ASSERT_TRUE(first.ok());
  auto second = Device::Open({.path = path_});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("already in use by another cairnd (pid " + std::to_string(getpid())));
}

TEST_F(DeviceTest, ClosingUnlocks) {
  ASSERT_TRUE(Device::Open({.path = path_, .size_bytes = kMiB}).ok());
  EXPECT_TRUE(Device::Open({.path = path_}).ok());
}

TEST_F(DeviceTest, ExistingFileKeepsItsSizeWithAWarning) {
  ASSERT_TRUE(Device::Open({.path = path_, .size_bytes = kMiB}).ok());
  auto device = Device::Open({.path = path_, .size_bytes = 2 * kMiB});
  ASSERT_TRUE(device.ok());
  EXPECT_EQ(device->size_bytes(), kMiB);
  ASSERT_FALSE(device->warnings().empty());
  EXPECT_THAT(device->warnings().back(), HasSubstr("keeps its 1048576 bytes"));
}

TEST_F(DeviceTest, SparseFileIsWarnedAbout) {
  std::ofstream(path_).put('x');
  std::filesystem::resize_file(path_, 8 * kMiB);
  auto device = Device::Open({.path = path_});
  ASSERT_TRUE(device.ok()) << device.status();
  ASSERT_FALSE(device->warnings().empty());
  EXPECT_THAT(device->warnings().front(), HasSubstr("is sparse"));
}

TEST_F(DeviceTest, MissingFileWithoutASizeIsNotFound) {
  EXPECT_EQ(Device::Open({.path = path_}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(DeviceTest, DirectoryAndCharacterDeviceAreRefused) {
  EXPECT_EQ(Device::Open({.path = directory_}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Device::Open({.path = "/dev/null"}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(DeviceTest, TooLargeAFileLeavesNothingBehind) {
  auto device = Device::Open({.path = path_, .size_bytes = uint64_t{1} << 60});
  EXPECT_EQ(device.status().code(), absl::StatusCode::kResourceExhausted) << device.status();
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(DeviceTest, LeftoverOfAnInterruptedCreationIsReplaced) {
  std::ofstream(path_ + ".new") << "half made";
  auto device = Device::Open({.path = path_, .size_bytes = kMiB});
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ(device->size_bytes(), kMiB);
}

TEST_F(DeviceTest, MemoryFilesystemIsNamed) {
  if (!std::filesystem::exists("/dev/shm")) GTEST_SKIP() << "no tmpfs here";
  const std::string path = "/dev/shm/cairn_device_test." + std::to_string(getpid());
  auto device = Device::Open({.path = path, .size_bytes = kMiB});
  unlink(path.c_str());
  ASSERT_TRUE(device.ok()) << device.status();
  ASSERT_FALSE(device->warnings().empty());
  EXPECT_THAT(device->warnings().front(), HasSubstr("tmpfs"));
}

TEST(Transfer, ShortPiecesContinueAtABlock) {
  const std::string path = "device";
  Transfer transfer(Transfer::Kind::kWrite, path, 8192, 16384, kMiB);
  EXPECT_EQ(transfer.piece_offset(), 8192u);
  EXPECT_EQ(transfer.piece_length(), 16384u);
  ASSERT_TRUE(transfer.Advance(5000).ok());
  EXPECT_EQ(transfer.piece_start(), 4096u);
  EXPECT_EQ(transfer.piece_offset(), 12288u);
  EXPECT_EQ(transfer.piece_length(), 12288u);
  ASSERT_TRUE(transfer.Advance(-EINTR).ok());
  EXPECT_EQ(transfer.piece_start(), 4096u);
  ASSERT_TRUE(transfer.Advance(12288).ok());
  EXPECT_TRUE(transfer.done());
}

TEST(Transfer, ErrorsKeepTheirMeaning) {
  const std::string path = "device";
  const auto advance = [&](Transfer::Kind kind, int64_t result) {
    return Transfer(kind, path, 0, 4096, kMiB).Advance(result).code();
  };
  EXPECT_EQ(advance(Transfer::Kind::kWrite, -EIO), absl::StatusCode::kDataLoss);
  EXPECT_EQ(advance(Transfer::Kind::kWrite, -ENOSPC), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(advance(Transfer::Kind::kWrite, 0), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(advance(Transfer::Kind::kRead, 0), absl::StatusCode::kDataLoss);
  EXPECT_EQ(advance(Transfer::Kind::kRead, -ENODEV), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(advance(Transfer::Kind::kWrite, -EROFS), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(advance(Transfer::Kind::kRead, -ENOMEM), absl::StatusCode::kUnavailable);
}

TEST(TransferDeathTest, MisalignedOrOutsideIsABug) {
  const std::string path = "device";
  EXPECT_DEATH(Transfer(Transfer::Kind::kRead, path, 512, 4096, kMiB),
               "offset_bytes % kDiskBlockBytes");
  EXPECT_DEATH(Transfer(Transfer::Kind::kRead, path, 0, 100, kMiB),
               "length_bytes % kDiskBlockBytes");
  EXPECT_DEATH(Transfer(Transfer::Kind::kRead, path, kMiB - 4096, 8192, kMiB), "device_bytes");
}

TEST(Transfer, DeviceWithoutProgressIsGivenUp) {
  const std::string path = "device";
  Transfer transfer(Transfer::Kind::kRead, path, 0, 4096, kMiB);
  absl::Status status;
  int tries = 0;
  while (status.ok() && tries < 10'000) {
    status = transfer.Advance(tries % 2 == 0 ? -EAGAIN : 100);
    ++tries;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_LT(tries, 1000);
}

}  // namespace
}  // namespace cairn
