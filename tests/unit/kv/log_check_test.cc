// The log's check: a torn end passes, damage before intact records does not. The logs are RocksDB's
// own, flipped bit by bit and cut byte by byte.
#include "server/kv/log_check.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>

#include "server/kv/rocks_kv.h"

namespace cairn {
namespace {

class LogCheckTest : public ::testing::Test {
 protected:
  LogCheckTest() : directory_(std::filesystem::temp_directory_path() / "cairn_log_test_XXXXXX") {
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
  }
  ~LogCheckTest() override { std::filesystem::remove_all(directory_); }

  // The log of a store that was not closed, with `records` records of `value_bytes` each.
  std::string MakeLog(int records, size_t value_bytes, int unsynced = 0) {
    auto kv = RocksKv::Open({.directory = directory_, .families = {"one"}});
    EXPECT_TRUE(kv.ok()) << kv.status();
    for (int i = 0; i < records; ++i) {
      KvBatch batch;
      batch.Put(0, "key" + std::to_string(i), std::string(value_bytes, 'v'));
      EXPECT_TRUE((*kv)->Write(batch, KvDurability::kSynced).ok());
    }
    for (int i = 0; i < unsynced; ++i) {
      KvBatch batch;
      batch.Put(0, "later" + std::to_string(i), std::string(value_bytes, 'v'));
      EXPECT_TRUE((*kv)->Write(batch, KvDurability::kUnsynced).ok());
    }
    std::string log;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      if (entry.path().extension() != ".log") continue;
      std::ifstream stream(entry.path(), std::ios::binary);
      log.assign(std::istreambuf_iterator<char>(stream), {});
    }
    return log;
  }
  static ConstBytes Bytes(const std::string& log) { return std::as_bytes(std::span(log)); }
  std::string directory_;
};

TEST_F(LogCheckTest, WholeLogOfSeveralBlocksPasses) {
  const std::string log = MakeLog(40, 5000);
  ASSERT_GT(log.size(), 100'000u);
  EXPECT_EQ(FindDamageInLog(Bytes(log)), std::nullopt);
}

TEST_F(LogCheckTest, LogCutAnywherePasses) {
  const std::string log = MakeLog(5, 50);
  for (size_t length = 0; length < log.size(); ++length) {
    EXPECT_EQ(FindDamageInLog(Bytes(log.substr(0, length))), std::nullopt) << length;
    // A file that was extended and not written.
    EXPECT_EQ(FindDamageInLog(Bytes(log.substr(0, length) + std::string(9000, '\0'))), std::nullopt)
        << length;
  }
}

TEST_F(LogCheckTest, EveryFlippedBitBeforeTheLastRecordIsFound) {
  const std::string log = MakeLog(5, 50);
  const std::string shorter = log.substr(0, log.rfind("key4"));
  // The last record's own header and batch header lie between its start and its key.
  const size_t last_record = shorter.size() - 40;
  for (size_t at = 0; at < last_record; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = log;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
      EXPECT_NE(FindDamageInLog(Bytes(flipped)), std::nullopt) << "byte " << at << ", bit " << bit;
    }
  }
}

TEST_F(LogCheckTest, DamageInAnEarlierBlockIsFound) {
  std::string log = MakeLog(40, 5000);
  log[20'000] ^= 1;
  EXPECT_NE(FindDamageInLog(Bytes(log)), std::nullopt);
}

// A power cut keeps any of them, and not the others.
TEST_F(LogCheckTest, AnyDamageInBatchesThatWereNotSyncedPasses) {
  const std::string log = MakeLog(3, 50, 20);
  const size_t first = log.find("later0");
  ASSERT_NE(first, std::string::npos);
  for (size_t at = first; at < log.size(); ++at) {
    std::string torn = log;
    torn[at] = static_cast<char>(torn[at] ^ 1);
    EXPECT_EQ(FindDamageInLog(Bytes(torn)), std::nullopt) << at;
  }
}

TEST_F(LogCheckTest, DamageBeforeASyncedBatchIsFoundBehindUnsyncedOnes) {
  const std::string log = MakeLog(3, 50, 20);
  std::string damaged = log;
  damaged[log.find("key1")] ^= 1;
  EXPECT_NE(FindDamageInLog(Bytes(damaged)), std::nullopt);
}

// A power cut keeps any of the blocks of a batch that was never acknowledged.
TEST_F(LogCheckTest, LaterFragmentsOfATornBatchPass) {
  std::string log = MakeLog(1, 120'000);
  log[1000] ^= 1;
  log.resize(3 * 32 * kKiB);
  EXPECT_EQ(FindDamageInLog(Bytes(log)), std::nullopt);
}

}  // namespace
}  // namespace cairn
