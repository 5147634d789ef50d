// RocksDB alone: locks, versions, damage and fail-stop. Write errors come from the file size limit
// of a child process, which RocksDB meets as a failed write of its log.
#include "server/kv/rocks_kv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace cairn {
namespace {

using ::testing::HasSubstr;

class RocksKvTest : public ::testing::Test {
 protected:
  RocksKvTest() : directory_(std::filesystem::temp_directory_path() / "cairn_rocks_test_XXXXXX") {
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
  }
  ~RocksKvTest() override { std::filesystem::remove_all(directory_); }
  absl::StatusOr<std::unique_ptr<RocksKv>> Open(std::vector<std::string> families = {"one"}) {
    return RocksKv::Open({.directory = directory_, .families = std::move(families)});
  }
  static KvBatch Put(std::string key, std::string value) {
    KvBatch batch;
    batch.Put(0, key, value);
    return batch;
  }
  std::string directory_;
};

TEST_F(RocksKvTest, SecondOpenerIsToldWhoHasTheStore) {
  auto first = Open();
  ASSERT_TRUE(first.ok()) << first.status();
  auto second = Open();
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("already in use by another cairnd (pid"));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(std::to_string(getpid())));
  first->reset();
  EXPECT_TRUE(Open().ok());
}

TEST_F(RocksKvTest, DirectoryAndParentsAreMade) {
  auto opened = RocksKv::Open({.directory = directory_ + "/a/b", .families = {"one"}});
  EXPECT_TRUE(opened.ok()) << opened.status();
}

TEST_F(RocksKvTest, FamiliesMayBeAddedButNotForgotten) {
  ASSERT_TRUE(Open({"one"}).ok());
  {
    auto grown = Open({"one", "two"});
    ASSERT_TRUE(grown.ok()) << grown.status();
    KvBatch batch;
    batch.Put(1, "k", "v");
    EXPECT_TRUE((*grown)->Write(batch, KvDurability::kSynced).ok());
  }
  auto older = Open({"one"});
  EXPECT_EQ(older.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(older.status().message()), HasSubstr("'two'"));
}

TEST_F(RocksKvTest, DamagedTableIsDataLoss) {
  {
    auto store = Open();
    ASSERT_TRUE(store.ok());
    // More than the memtable holds, so that tables are written.
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(
          (*store)
              ->Write(Put(std::to_string(i), std::string(100'000, 'x')), KvDurability::kUnsynced)
              .ok());
    }
  }
  ASSERT_TRUE(Open().ok());  // flushes what the log still held
  int damaged = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory_)) {
    if (file.path().extension() != ".sst" || file.file_size() < 100'000) continue;
    std::fstream table(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    for (uint64_t at = 1000; at + 1000 < file.file_size(); at += 50'000) {
      table.seekp(static_cast<std::streamoff>(at));
      table.put('!');
    }
    ++damaged;
  }
  ASSERT_GT(damaged, 0);
  auto store = Open();
  absl::Status seen = store.status();
  for (int i = 0; i < 200 && seen.ok(); ++i) seen = (*store)->Get(0, std::to_string(i)).status();
  EXPECT_EQ(seen.code(), absl::StatusCode::kDataLoss) << seen;
}

TEST_F(RocksKvTest, NearlyFullFilesystemRefusesAdditionsAndGoesOn) {
  {
    auto store = Open();
    ASSERT_TRUE(store.ok());
    ASSERT_TRUE((*store)->Write(Put("key", "value"), KvDurability::kSynced).ok());
  }
  auto full = RocksKv::Open(
      {.directory = directory_, .families = {"one"}, .reserve_bytes = uint64_t{1} << 60});
  ASSERT_TRUE(full.ok()) << full.status();
  const absl::Status refused = (*full)->Write(Put("other", "value"), KvDurability::kSynced);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("is full"));
  EXPECT_EQ(**(*full)->Get(0, "key"), "value");
  KvBatch removal;
  removal.Delete(0, "key");
  EXPECT_TRUE((*full)->Write(removal, KvDurability::kSynced).ok());
  EXPECT_EQ(*(*full)->Get(0, "key"), std::nullopt);
}

TEST_F(RocksKvTest, WhatFreesSpaceMayUseHalfOfTheReserve) {
  struct statvfs filesystem {};
  ASSERT_EQ(statvfs(directory_.c_str(), &filesystem), 0);
  const uint64_t free_bytes = uint64_t{filesystem.f_bavail} * filesystem.f_frsize;
  // What others write to it meanwhile matters little to these.
  const auto write = [&](uint64_t reserve_bytes, bool frees) {
    auto store = RocksKv::Open(
        {.directory = directory_, .families = {"one"}, .reserve_bytes = reserve_bytes});
    EXPECT_TRUE(store.ok()) << store.status();
    KvBatch batch = Put("key", "value");
    if (frees) batch.set_frees_space();
    return (*store)->Write(batch, KvDurability::kSynced).code();
  };
  EXPECT_EQ(write(free_bytes / 2 * 3, false), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(write(free_bytes / 2 * 3, true), absl::StatusCode::kOk);
  EXPECT_EQ(write(free_bytes * 3, true), absl::StatusCode::kResourceExhausted);
}

// In a child process: 0 when every step went as it should.
int WriteUntilTheDiskRefuses(const std::string& directory) {
  auto store = RocksKv::Open({.directory = directory, .families = {"one"}});
  if (!store.ok()) return 1;
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{100'000, 100'000};
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
  KvBatch batch;
  batch.Put(0, "key", std::string(10'000, 'x'));
  absl::Status failed;
  for (int i = 0; i < 100 && failed.ok(); ++i)
    failed = (*store)->Write(batch, KvDurability::kSynced);
  if (failed.ok()) return 3;
  // Without the fail-stop the next write aborts the process inside RocksDB.
  if ((*store)->Write(batch, KvDurability::kSynced).code() != absl::StatusCode::kFailedPrecondition)
    return 4;
  if ((*store)->Get(0, "key").status().code() != absl::StatusCode::kFailedPrecondition) return 5;
  auto walk = (*store)->NewIterator(0, "");
  walk->Seek("");
  if (walk->Valid() || walk->status().code() != absl::StatusCode::kFailedPrecondition) return 6;
  walk.reset();
  store->reset();  // closing a failed store must not abort either
  return 0;
}

TEST_F(RocksKvTest, FirstWriteErrorIsFinal) {
  EXPECT_EXIT(_exit(WriteUntilTheDiskRefuses(directory_)), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace cairn
