// What every Kv promises, on RocksDB and on the simulated store: the same cases run on both, so
// that what the simulation proves holds for the real one.
#include "server/kv/kv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "server/kv/rocks_kv.h"
#include "tests/sim/sim_kv.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

struct SimWorld {
  static constexpr bool kPersistent = false;
  SimKv store{2};
  Kv& kv() { return store; }
  void Reopen() {
    store.Crash(1);
    store.PowerOn();
  }
};

struct RocksWorld {
  static constexpr bool kPersistent = true;
  RocksWorld() {
    directory = std::filesystem::temp_directory_path() / "cairn_kv_test_XXXXXX";
    EXPECT_NE(mkdtemp(directory.data()), nullptr);
    Reopen();
  }
  ~RocksWorld() {
    store.reset();
    std::filesystem::remove_all(directory);
  }
  Kv& kv() { return *store; }
  void Reopen() {
    store.reset();
    auto opened = RocksKv::Open({.directory = directory, .families = {"first", "second"}});
    ASSERT_TRUE(opened.ok()) << opened.status();
    store = *std::move(opened);
  }
  std::string directory;
  std::unique_ptr<RocksKv> store;
};

template <class World>
class KvTest : public ::testing::Test {
 protected:
  Kv& kv() { return world_.kv(); }
  std::vector<std::pair<std::string, std::string>> Scan(ColumnFamily family) {
    std::vector<std::pair<std::string, std::string>> all;
    auto it = kv().NewIterator(family, "");
    for (it->Seek(""); it->Valid(); it->Next()) all.emplace_back(it->key(), it->value());
    EXPECT_TRUE(it->status().ok());
    return all;
  }
  World world_;
};
using Stores = ::testing::Types<SimWorld, RocksWorld>;
TYPED_TEST_SUITE(KvTest, Stores);

TYPED_TEST(KvTest, MissingKeyIsNotAnError) {
  auto got = this->kv().Get(0, "absent");
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(*got, std::nullopt);
}

TYPED_TEST(KvTest, FamiliesAreApart) {
  KvBatch batch;
  batch.Put(0, "key", "zero");
  batch.Put(1, "key", "one");
  ASSERT_TRUE(this->kv().Write(batch, KvDurability::kUnsynced).ok());
  EXPECT_EQ(**this->kv().Get(0, "key"), "zero");
  EXPECT_EQ(**this->kv().Get(1, "key"), "one");
}

TYPED_TEST(KvTest, BatchAppliesInOrder) {
  KvBatch batch;
  batch.Put(0, "a", "1");
  batch.Put(0, "b", "1");
  batch.Put(0, "c", "1");
  batch.DeleteRange(0, "a", "c");
  batch.Put(0, "b", "2");
  batch.Delete(0, "absent");
  ASSERT_TRUE(this->kv().Write(batch, KvDurability::kSynced).ok());
  EXPECT_THAT(this->Scan(0), ElementsAre(Pair("b", "2"), Pair("c", "1")));
}

TYPED_TEST(KvTest, WalkIsInByteOrderBothWays) {
  KvBatch batch;
  for (const char* key : {"b", "a\xff", "a", "c"}) batch.Put(0, key, "");
  ASSERT_TRUE(this->kv().Write(batch, KvDurability::kUnsynced).ok());
  EXPECT_THAT(this->Scan(0),
              ElementsAre(Pair("a", ""), Pair("a\xff", ""), Pair("b", ""), Pair("c", "")));
  auto it = this->kv().NewIterator(0, "");
  it->SeekForPrev("bb");
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->key(), "b");
  it->Prev();
  EXPECT_EQ(it->key(), "a\xff");
  it->SeekForPrev("A");
  EXPECT_FALSE(it->Valid());
  EXPECT_TRUE(it->status().ok());
}

TYPED_TEST(KvTest, WalkEndsAtItsEndBothWays) {
  KvBatch batch;
  for (const char* key : {"a", "b", "c", "d"}) batch.Put(0, key, "");
  ASSERT_TRUE(this->kv().Write(batch, KvDurability::kUnsynced).ok());
  std::string end = "c";
  auto it = this->kv().NewIterator(0, end);
  end = "z";  // the walk has its own copy
  it->Seek("b");
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->key(), "b");
  it->Next();
  EXPECT_FALSE(it->Valid());
  EXPECT_TRUE(it->status().ok());
  for (const char* from : {"c", "d"}) {
    it->Seek(from);
    EXPECT_FALSE(it->Valid()) << from;
    it->SeekForPrev(from);
    ASSERT_TRUE(it->Valid()) << from;
    EXPECT_EQ(it->key(), "b");
  }
}

TYPED_TEST(KvTest, WalkSeesASnapshot) {
  KvBatch batch;
  batch.Put(0, "a", "1");
  ASSERT_TRUE(this->kv().Write(batch, KvDurability::kUnsynced).ok());
  auto it = this->kv().NewIterator(0, "");
  KvBatch later;
  later.Put(0, "a", "2");
  later.Put(0, "b", "2");
  ASSERT_TRUE(this->kv().Write(later, KvDurability::kUnsynced).ok());
  it->Seek("");
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->value(), "1");
  it->Next();
  EXPECT_FALSE(it->Valid());
}

TYPED_TEST(KvTest, SyncedBatchAndAllBeforeItSurviveReopening) {
  KvBatch unsynced;
  unsynced.Put(0, "a", "1");
  ASSERT_TRUE(this->kv().Write(unsynced, KvDurability::kUnsynced).ok());
  KvBatch synced;
  synced.Put(1, "b", std::string("\0binary\xff", 8));
  ASSERT_TRUE(this->kv().Write(synced, KvDurability::kSynced).ok());
  this->world_.Reopen();
  EXPECT_EQ(**this->kv().Get(0, "a"), "1");
  EXPECT_EQ(**this->kv().Get(1, "b"), std::string("\0binary\xff", 8));
}

TEST(SimKv, CrashKeepsAPrefixOfUnsyncedBatches) {
  bool lost_all = false;
  bool kept_all = false;
  for (uint64_t seed = 0; seed < 64; ++seed) {
    SimKv store(1);
    for (int i = 0; i < 4; ++i) {
      KvBatch batch;
      batch.Put(0, std::to_string(i), "");
      ASSERT_TRUE(store.Write(batch, KvDurability::kUnsynced).ok());
    }
    store.Crash(seed);
    EXPECT_EQ(store.Get(0, "0").status().code(), absl::StatusCode::kUnavailable);
    store.PowerOn();
    const size_t kept = store.family(0).size();
    for (size_t i = 0; i < kept; ++i) EXPECT_TRUE(store.Get(0, std::to_string(i))->has_value());
    lost_all |= kept == 0;
    kept_all |= kept == 4;
  }
  EXPECT_TRUE(lost_all);
  EXPECT_TRUE(kept_all);
}

TEST(SimKv, FailedWriteIsFinalUntilRestart) {
  SimKv store(1);
  KvBatch batch;
  batch.Put(0, "a", "1");
  store.FailWriteAfter(1, absl::UnavailableError("planted"));
  EXPECT_TRUE(store.Write(batch, KvDurability::kSynced).ok());
  EXPECT_EQ(store.Write(batch, KvDurability::kSynced).message(), "planted");
  EXPECT_FALSE(store.Write(batch, KvDurability::kSynced).ok());
  EXPECT_FALSE(store.Get(0, "a").ok());
}

}  // namespace
}  // namespace cairn
