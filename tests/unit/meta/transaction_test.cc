// The overlay against what a plain map of the same changes holds: reads, scans both ways,
// savepoints, batches.
#include "server/meta/transaction.h"

#include <random>

#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

constexpr ColumnFamily kFamily = kFamilyDentry;
using Pairs = std::vector<Transaction::KeyValue>;

Pairs ScanAll(const Transaction& txn, std::string_view begin = "", std::string_view end = "~") {
  Pairs all;
  Transaction::Scan scan(txn, kFamily, begin, end);
  for (; scan.Valid(); scan.Next()) all.emplace_back(scan.key(), scan.value());
  EXPECT_TRUE(scan.status().ok());
  return all;
}

class TransactionTest : public ::testing::Test {
 protected:
  TransactionTest() {
    KvBatch batch;
    for (const char* key : {"a", "c", "e"}) batch.Put(kFamily, key, "base");
    EXPECT_TRUE(kv_.Write(batch, KvDurability::kSynced).ok());
  }
  SimKv kv_{kMetaFamilyCount};
  Transaction txn_{kv_};
};

TEST_F(TransactionTest, ReadsItsOwnChanges) {
  txn_.Put(kFamily, "b", "new");
  txn_.Put(kFamily, "c", "changed");
  txn_.Delete(kFamily, "e");
  txn_.Delete(kFamily, "x");
  EXPECT_EQ(**txn_.Get(kFamily, "a"), "base");
  EXPECT_EQ(**txn_.Get(kFamily, "b"), "new");
  EXPECT_EQ(*txn_.Get(kFamily, "e"), std::nullopt);
  EXPECT_THAT(ScanAll(txn_),
              ElementsAre(Pair("a", "base"), Pair("b", "new"), Pair("c", "changed")));
  EXPECT_THAT(ScanAll(txn_, "b", "c"), ElementsAre(Pair("b", "new")));
}

TEST_F(TransactionTest, FindsTheLast) {
  const auto last = [&](std::string_view begin, std::string_view end) {
    const auto found = txn_.FindLast(kFamily, begin, end);
    EXPECT_TRUE(found.ok());
    return found->has_value() ? (*found)->first : "none";
  };
  EXPECT_EQ(last("a", "e"), "c");
  EXPECT_EQ(last("a", "f"), "e");
  txn_.Delete(kFamily, "e");
  EXPECT_EQ(last("a", "f"), "c");
  txn_.Put(kFamily, "d", "new");
  EXPECT_EQ(last("a", "f"), "d");
  txn_.Delete(kFamily, "d");
  txn_.Delete(kFamily, "c");
  EXPECT_EQ(last("a", "f"), "a");
  EXPECT_EQ(last("b", "f"), "none");
}

TEST_F(TransactionTest, RollsBackToTheSavepoint) {
  txn_.Put(kFamily, "b", "kept");
  txn_.effects().granted_leases.push_back(LeaseId(1));
  txn_.effects().saves.push_back({SaveEvent::Kind::kBegun, LeaseId(1), 5, 0});
  const auto point = txn_.Save();
  txn_.Put(kFamily, "b", "lost");
  txn_.Put(kFamily, "a", "lost");
  txn_.Put(kFamily, "a", "lost again");
  txn_.Delete(kFamily, "c");
  txn_.effects().granted_leases.push_back(LeaseId(2));
  txn_.effects().ended_leases.push_back(LeaseId(3));
  txn_.effects().saves.push_back({SaveEvent::Kind::kAborted, LeaseId(3), 6, 0});
  txn_.effects().cleanup_queued = true;
  txn_.RollBack(point);
  EXPECT_THAT(ScanAll(txn_), ElementsAre(Pair("a", "base"), Pair("b", "kept"), Pair("c", "base"),
                                         Pair("e", "base")));
  EXPECT_THAT(txn_.effects().granted_leases, ElementsAre(LeaseId(1)));
  EXPECT_TRUE(txn_.effects().ended_leases.empty());
  ASSERT_EQ(txn_.effects().saves.size(), 1u);
  EXPECT_EQ(txn_.effects().saves[0].lease, LeaseId(1));
  EXPECT_FALSE(txn_.effects().cleanup_queued);
  EXPECT_EQ(txn_.TakeBatch().entries().size(), 1u);
}

TEST_F(TransactionTest, BatchHoldsEachKeyOnceInOrder) {
  txn_.Put(kFamily, "z", "1");
  txn_.Put(kFamily, "b", "1");
  txn_.Put(kFamily, "b", "2");
  txn_.Delete(kFamily, "a");
  const KvBatch batch = txn_.TakeBatch();
  ASSERT_EQ(batch.entries().size(), 3u);
  EXPECT_EQ(batch.entries()[0].key, "a");
  EXPECT_EQ(batch.entries()[0].op, KvBatch::Op::kDelete);
  EXPECT_EQ(batch.entries()[1].value, "2");
  EXPECT_EQ(batch.entries()[2].key, "z");
  EXPECT_TRUE(txn_.empty());
}

TEST_F(TransactionTest, CountsFromTheirStarts) {
  EXPECT_EQ(*txn_.Add(Counter::kNextStripe, 10), 1u);
  EXPECT_EQ(*txn_.Add(Counter::kNextStripe, 1), 11u);
  EXPECT_EQ(*txn_.Add(Counter::kFiles, 2), 0u);
  EXPECT_THAT(txn_.Subtract(Counter::kFiles, 3), Fails(absl::StatusCode::kDataLoss, "below zero"));
  EXPECT_THAT(txn_.Subtract(Counter::kFiles, 2), IsOk());
  EXPECT_THAT(txn_.Add(Counter::kNextStripe, UINT64_MAX),
              Fails(absl::StatusCode::kResourceExhausted, "out of numbers"));
}

TEST_F(TransactionTest, RemembersAnErrorOfTheStore) {
  kv_.FailNextGet(absl::UnavailableError("disk gone"));
  EXPECT_THAT(txn_.Get(kFamily, "a"), Fails(kUnavailable, "disk gone"));
  EXPECT_THAT(txn_.Get(kFamily, "a"), IsOk());
  EXPECT_THAT(txn_.store_error(), Fails(kUnavailable, "disk gone"));
}

TEST_F(TransactionTest, AgreesWithAMapOnRandomChanges) {
  const uint64_t seed = static_cast<uint64_t>(::testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE(StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  std::map<std::string, std::string> model = {{"a", "base"}, {"c", "base"}, {"e", "base"}};
  for (int i = 0; i < 2000; ++i) {
    const std::string key(1, static_cast<char>('a' + random() % 12));
    if (random() % 50 == 0) {
      ASSERT_TRUE(kv_.Write(txn_.TakeBatch(), KvDurability::kSynced).ok());
    }
    const bool rolled_back = random() % 4 == 0;
    const auto before = model;
    const auto point = txn_.Save();
    for (uint64_t n = random() % 4; n > 0; --n) {
      const std::string other(1, static_cast<char>('a' + random() % 12));
      if (random() % 2 == 0) {
        txn_.Put(kFamily, other, std::to_string(i));
        model[other] = std::to_string(i);
      } else {
        txn_.Delete(kFamily, other);
        model.erase(other);
      }
    }
    if (rolled_back) {
      txn_.RollBack(point);
      model = before;
    }
    ASSERT_EQ(ScanAll(txn_), Pairs(model.begin(), model.end())) << i;
    const auto last = txn_.FindLast(kFamily, "b", key);
    auto expected = model.lower_bound(key);
    const bool none = key <= "b" || expected == model.begin() || std::prev(expected)->first < "b";
    ASSERT_EQ(last->has_value(), !none) << i;
    if (!none) {
      ASSERT_EQ((*last)->first, std::prev(expected)->first) << i;
    }
  }
}

}  // namespace
}  // namespace cairn
