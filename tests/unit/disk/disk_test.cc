// What every disk promises, on the three of them: io_uring, threads, simulation. Real files live in
// the temporary directory; the buffered fallback is met where that has no direct I/O.
#include "server/disk/disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "common/task/when_all.h"
#include "server/disk/open_disk.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/worlds.h"

namespace cairn {
namespace {

constexpr uint64_t kSize = 16 * kMiB;

struct FreeDeleter {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
struct Buffer {
  explicit Buffer(size_t size, int fill = 0)
      : memory(static_cast<std::byte*>(std::aligned_alloc(kDiskBlockBytes, size))),
        bytes(memory.get(), size) {
    std::memset(memory.get(), fill, size);
  }
  std::unique_ptr<std::byte, FreeDeleter> memory;
  MutableBytes bytes;
};

template <class World, IoEngine kEngine>
struct RealDisk {
  RealDisk() : directory(std::filesystem::temp_directory_path() / "cairn_disk_test_XXXXXX") {
    EXPECT_NE(mkdtemp(directory.data()), nullptr);
    if (!world.available()) return;
    auto opened =
        OpenDisk({.device = {.path = directory + "/data", .size_bytes = kSize}, .engine = kEngine},
                 world.reactor(), world.blocking());
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (opened.ok()) disk_owner = std::move(opened->disk);
  }
  ~RealDisk() {
    disk_owner.reset();
    std::filesystem::remove_all(directory);
  }
  Disk& disk() { return *disk_owner; }
  std::string directory;
  World world;
  std::unique_ptr<Disk> disk_owner;
};
struct SimulatedDisk {
  Disk& disk() { return sim; }
  SimWorld world;
  SimDisk sim{kSize, 1};
};

template <class Bench>
class DiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!bench_.world.available()) GTEST_SKIP() << "the kernel refuses io_uring";
  }
  Disk& disk() { return bench_.disk(); }
  template <class T>
  T Run(Task<T> task) {
    return bench_.world.Run(std::move(task));
  }
  Bench bench_;
};
using Benches = ::testing::Types<RealDisk<RingWorld, IoEngine::kIoUring>,
                                 RealDisk<PollWorld, IoEngine::kThreads>,
                                 RealDisk<RingWorld, IoEngine::kThreads>, SimulatedDisk>;
TYPED_TEST_SUITE(DiskTest, Benches);

TYPED_TEST(DiskTest, SizeAndAlignmentAreAsAsked) {
  EXPECT_EQ(this->disk().size_bytes(), kSize);
  EXPECT_EQ(this->disk().block_bytes(), 4096u);
}

TYPED_TEST(DiskTest, UnwrittenIsZeroAndWrittenReadsBack) {
  Buffer zeros(64 * kKiB);
  Buffer read(64 * kKiB, 1);
  ASSERT_TRUE(this->Run(this->disk().Read(0, read.bytes)).ok());
  EXPECT_EQ(std::memcmp(read.bytes.data(), zeros.bytes.data(), read.bytes.size()), 0);

  Buffer written(64 * kKiB, 7);
  ASSERT_TRUE(this->Run(this->disk().Write(4096, written.bytes)).ok());
  ASSERT_TRUE(this->Run(this->disk().Flush()).ok());
  ASSERT_TRUE(this->Run(this->disk().Read(4096, read.bytes)).ok());
  EXPECT_EQ(std::memcmp(read.bytes.data(), written.bytes.data(), read.bytes.size()), 0);
}

TYPED_TEST(DiskTest, LastBlockOfTheDeviceIsUsable) {
  Buffer written(4096, 3);
  Buffer read(4096);
  ASSERT_TRUE(this->Run(this->disk().Write(kSize - 4096, written.bytes)).ok());
  ASSERT_TRUE(this->Run(this->disk().Read(kSize - 4096, read.bytes)).ok());
  EXPECT_EQ(std::memcmp(read.bytes.data(), written.bytes.data(), 4096), 0);
}

Task<absl::Status> WriteManyAtOnce(Disk& disk, const std::vector<Buffer>& buffers) {
  std::vector<Task<absl::Status>> writes;
  for (size_t i = 0; i < buffers.size(); ++i)
    writes.push_back(disk.Write(i * 64 * kKiB, buffers[i].bytes));
  absl::Status written = co_await WhenAllOk(std::move(writes));
  if (!written.ok()) co_return written;
  absl::Status flushed = co_await disk.Flush();
  co_return flushed;
}

TYPED_TEST(DiskTest, ManyWritesAtOnceDoNotMix) {
  std::vector<Buffer> buffers;
  for (int i = 0; i < 100; ++i) buffers.emplace_back(64 * kKiB, i);
  ASSERT_TRUE(this->Run(WriteManyAtOnce(this->disk(), buffers)).ok());
  Buffer read(100 * 64 * kKiB);
  ASSERT_TRUE(this->Run(this->disk().Read(0, read.bytes)).ok());
  for (size_t i = 0; i < buffers.size(); ++i) {
    EXPECT_EQ(std::memcmp(read.bytes.data() + i * 64 * kKiB, buffers[i].bytes.data(), 64 * kKiB), 0)
        << i;
  }
}

}  // namespace
}  // namespace cairn
