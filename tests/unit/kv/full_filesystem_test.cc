// Goal: a filesystem that others have filled costs the store nothing that it has acknowledged: with
// its reserve it refuses and goes on; met without one, it fails, stays failed, and comes back whole
// once there is room. Method: a small tmpfs, really full, that a child process mounts over its
// temporary directory, in a mount namespace of its own: nothing is left behind, whatever happens to
// the child.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>

#include "server/kv/rocks_kv.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

constexpr size_t kFilesystemBytes = 64 * kMiB;
constexpr uint64_t kReserveBytes = 16 * kMiB;
constexpr size_t kValueBytes = 10'000;
// Of such values, 6 MB: they and those that follow stay in a memtable of the usual size.
constexpr int kBefore = 500;
// Two sizes of the store's memory. The usual one keeps all of a test in the memtable, so that
// nothing runs in the background while the filesystem fills; with the small one, flushes and
// compactions meet the full filesystem as well.
constexpr uint64_t kUsualMemory = 64 * kMiB;
constexpr uint64_t kSmallMemory = 8 * kMiB;

// How the child ends.
constexpr int kPassed = 0;
constexpr int kFailed = 1;
constexpr int kNoMount = 77;

// The mounted filesystem, its ballast and the store on it. Only in a child.
class FullFilesystem {
 public:
  // False where the process may not mount.
  bool Mount() {
    const std::string options = "size=" + std::to_string(kFilesystemBytes);
    return unshare(CLONE_NEWNS) == 0 &&
           mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("cairn_test", directory_.c_str(), "tmpfs", 0, options.c_str()) == 0;
  }

  absl::StatusOr<std::unique_ptr<RocksKv>> Open(uint64_t memory_bytes, uint64_t reserve_bytes) {
    return RocksKv::Open({.directory = directory_ + "/store",
                          .families = {"one"},
                          .memory_bytes = memory_bytes,
                          .reserve_bytes = reserve_bytes});
  }

  // Leaves not one byte.
  void Fill() {
    const int fd = open(Ballast().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    const std::string block(64 * kKiB, 'b');
    // A short write comes before the refusal: the last pages are taken as well.
    ssize_t written = 1;
    while (written > 0) written = write(fd, block.data(), block.size());
    EXPECT_EQ(errno, ENOSPC);
    close(fd);
  }
  void MakeRoom() { std::filesystem::remove(Ballast()); }
  uint64_t FreeBytes() const {
    struct statvfs filesystem {};
    EXPECT_EQ(statvfs(directory_.c_str(), &filesystem), 0);
    return uint64_t{filesystem.f_bavail} * filesystem.f_frsize;
  }

 private:
  std::string Ballast() const { return directory_ + "/ballast"; }
  const std::string directory_ = std::filesystem::temp_directory_path();
};

std::string KeyOf(int i) {
  char key[16];
  std::snprintf(key, sizeof key, "%08d", i);
  return key;
}

// Differs from key to key, so that a value in the wrong place is seen.
std::string ValueOf(int i) { return KeyOf(i) + std::string(kValueBytes, static_cast<char>(i)); }

absl::Status PutSynced(Kv& store, int i) {
  KvBatch batch;
  batch.Put(0, KeyOf(i), ValueOf(i));
  return store.Write(batch, KvDurability::kSynced);
}

absl::Status DeleteSynced(Kv& store, int i) {
  KvBatch batch;
  batch.Delete(0, KeyOf(i));
  return store.Write(batch, KvDurability::kSynced);
}

void ExpectValue(Kv& store, int i) {
  const auto got = store.Get(0, KeyOf(i));
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_TRUE(got->has_value()) << "lost: " << KeyOf(i);
  EXPECT_TRUE(**got == ValueOf(i)) << KeyOf(i);
}

void ExpectNothing(Kv& store, int i) {
  const auto got = store.Get(0, KeyOf(i));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_FALSE(got->has_value()) << KeyOf(i);
}

// The store refuses everything with the reason that FAILED_PRECONDITION names.
void ExpectFailed(Kv& store) {
  EXPECT_TRUE(absl::IsFailedPrecondition(PutSynced(store, 0)));
  EXPECT_TRUE(absl::IsFailedPrecondition(DeleteSynced(store, 0)));
  EXPECT_TRUE(absl::IsFailedPrecondition(store.Get(0, KeyOf(0)).status()));
  auto walk = store.NewIterator(0, "");
  walk->Seek("");
  EXPECT_FALSE(walk->Valid());
  EXPECT_TRUE(absl::IsFailedPrecondition(walk->status()));
}

// Refusals, reading, and going on, all in one life of the store.
void RefuseAndGoOn(FullFilesystem& filesystem) {
  auto opened = filesystem.Open(kUsualMemory, kReserveBytes);
  ASSERT_TRUE(opened.ok()) << opened.status();
  RocksKv& store = **opened;
  for (int i = 0; i < kBefore; ++i) ASSERT_EQ(PutSynced(store, i), absl::OkStatus());
  filesystem.Fill();
  ASSERT_EQ(filesystem.FreeBytes(), 0u);
  // Again and again: the refusal is not the final kind of error.
  for (int i = 0; i < 100; ++i) {
    const absl::Status refused = PutSynced(store, kBefore + i);
    ASSERT_TRUE(absl::IsResourceExhausted(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("is full: 0 bytes are free"));
  }
  for (int i = 0; i < kBefore; ++i) ExpectValue(store, i);
  for (int i = 0; i < 100; ++i) ExpectNothing(store, kBefore + i);

  filesystem.MakeRoom();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(PutSynced(store, kBefore + i), absl::OkStatus());
  opened->reset();
  opened = filesystem.Open(kUsualMemory, kReserveBytes);
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (int i = 0; i < kBefore + 100; ++i) ExpectValue(**opened, i);
}

// What somebody else's bytes do between the check and the write, at worst: here there is no reserve
// at all.
void FailAndComeBack(FullFilesystem& filesystem) {
  auto opened = filesystem.Open(kSmallMemory, 0);
  ASSERT_TRUE(opened.ok()) << opened.status();
  int acknowledged = 0;
  while (acknowledged < kBefore) {
    ASSERT_EQ(PutSynced(**opened, acknowledged), absl::OkStatus());
    ++acknowledged;
  }
  filesystem.Fill();
  // The log was given room in advance: some writes still succeed.
  absl::Status failure;
  while (failure.ok() && acknowledged < 100'000) {
    failure = PutSynced(**opened, acknowledged);
    if (failure.ok()) ++acknowledged;
  }
  EXPECT_TRUE(absl::IsUnavailable(failure)) << failure;
  ExpectFailed(**opened);
  // Room alone heals nothing: what the log holds is unknown.
  filesystem.MakeRoom();
  ExpectFailed(**opened);
  opened->reset();

  opened = filesystem.Open(kSmallMemory, 0);
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (int i = 0; i < acknowledged; ++i) ExpectValue(**opened, i);
  // The one that was refused may be there whole, or not at all.
  const auto last = (*opened)->Get(0, KeyOf(acknowledged));
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_TRUE(!last->has_value() || **last == ValueOf(acknowledged));
  EXPECT_EQ(PutSynced(**opened, acknowledged), absl::OkStatus());
  ExpectValue(**opened, acknowledged);
}

// Deletions pass the reserve, because they are how space comes back; with not one byte left they
// may fail, and then nothing else may be lost.
void DeleteUntilItFails(FullFilesystem& filesystem) {
  auto opened = filesystem.Open(kUsualMemory, kReserveBytes);
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (int i = 0; i < kBefore; ++i) ASSERT_EQ(PutSynced(**opened, i), absl::OkStatus());
  filesystem.Fill();
  int deleted = 0;
  absl::Status failure;
  while (failure.ok() && deleted < kBefore / 2) {
    failure = DeleteSynced(**opened, deleted);
    if (failure.ok()) ++deleted;
  }
  if (!failure.ok()) {
    EXPECT_TRUE(absl::IsUnavailable(failure)) << failure;
    ExpectFailed(**opened);
  }
  opened->reset();
  filesystem.MakeRoom();
  opened = filesystem.Open(kUsualMemory, kReserveBytes);
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (int i = 0; i < deleted; ++i) ExpectNothing(**opened, i);
  // The one whose deletion failed may be gone or not.
  for (int i = failure.ok() ? deleted : deleted + 1; i < kBefore; ++i) ExpectValue(**opened, i);
}

// A full filesystem at the start: the store opens, or says why not, and loses nothing by the try.
void OpenOnAFullOne(FullFilesystem& filesystem) {
  auto opened = filesystem.Open(kUsualMemory, kReserveBytes);
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (int i = 0; i < kBefore; ++i) ASSERT_EQ(PutSynced(**opened, i), absl::OkStatus());
  opened->reset();
  filesystem.Fill();
  for (int tries = 0; tries < 3; ++tries) {
    opened = filesystem.Open(kUsualMemory, kReserveBytes);
    if (opened.ok()) {
      EXPECT_TRUE(absl::IsResourceExhausted(PutSynced(**opened, kBefore)));
      opened->reset();
    } else {
      EXPECT_TRUE(absl::IsResourceExhausted(opened.status())) << opened.status();
    }
  }
  filesystem.MakeRoom();
  opened = filesystem.Open(kUsualMemory, kReserveBytes);
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (int i = 0; i < kBefore; ++i) ExpectValue(**opened, i);
}

using Scenario = void (*)(FullFilesystem& filesystem);

[[noreturn]] void RunInChild(Scenario scenario) {
  FullFilesystem filesystem;
  if (!filesystem.Mount()) _exit(kNoMount);
  scenario(filesystem);
  // A death test's child keeps its failures to itself, but the parent shows its errors' text.
  const ::testing::TestResult& result =
      *::testing::UnitTest::GetInstance()->current_test_info()->result();
  for (int i = 0; i < result.total_part_count(); ++i) {
    const ::testing::TestPartResult& part = result.GetTestPartResult(i);
    std::fprintf(stderr, "line %d: %s\n", part.line_number(), part.message());
  }
  _exit(::testing::Test::HasFailure() ? kFailed : kPassed);
}

void PlayInChild(Scenario scenario) {
  if (geteuid() != 0) GTEST_SKIP() << "only root may mount a filesystem";
  // RocksDB's threads would see the directory below the mount if they were older than it: the child
  // has to be a program started anew.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  int code = -1;
  const auto ended = [&code](int status) {
    code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return code == kPassed || code == kNoMount;
  };
  EXPECT_EXIT(RunInChild(scenario), ended, "");
  if (code == kNoMount) GTEST_SKIP() << "this process may not mount a filesystem";
}

TEST(FullFilesystemDeathTest, StoreWithItsReserveRefusesAdditionsAndGoesOn) {
  PlayInChild(RefuseAndGoOn);
}

TEST(FullFilesystemDeathTest, StoreWithoutAReserveFailsAndComesBackWithAllThatWasAcknowledged) {
  PlayInChild(FailAndComeBack);
}

TEST(FullFilesystemDeathTest, DeletionsWithoutAByteLeftLoseNothingElse) {
  PlayInChild(DeleteUntilItFails);
}

TEST(FullFilesystemDeathTest, OpeningWithoutAByteLeftLosesNothing) { PlayInChild(OpenOnAFullOne); }

}  // namespace
}  // namespace cairn
