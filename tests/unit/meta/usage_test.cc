// Goal: what buckets and directories are said to hold is what a walk finds in them, whatever
// happened before, and a quota holds to the byte. Method: the real engine on a simulated store;
// after every command of a random history all records are compared with a walk over the store.
#include "server/meta/usage.h"

#include <map>
#include <random>

#include "server/meta/listing.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr uint64_t kMiB = 1 << 20;

std::string Text(const Content& content) {
  return StrCat(content.size_bytes, " bytes, ", content.files, " files, ", content.checkpoints,
                " checkpoints");
}

class UsageTest : public MetaTest {
 protected:
  // By path, what a walk finds below every plain directory. Shards are looked at one by one: a
  // checkpoint's record is not believed.
  std::map<std::string, std::string> Walked() {
    const Transaction txn(kv_);
    std::map<std::string, Content> below;
    const auto visit = [&](const WalkEntry& entry) -> absl::StatusOr<Visit> {
      Content own;
      if (entry.node.type == disk::INODE_DIRECTORY && !InCheckpoint(entry.path)) {
        below[entry.path];
      } else if (entry.node.type == disk::INODE_CHECKPOINT) {
        checkpoints_.push_back(entry.path + "/");
        own.checkpoints = 1;
      } else if (entry.node.type == disk::INODE_FILE) {
        const auto inode = LoadInode(txn, entry.node.inode);
        EXPECT_THAT(inode, IsOk());
        own = {inode.ok() ? inode->size_bytes() : 0, 1, 0};
      }
      for (auto& [path, content] : below) {
        if (entry.path.compare(0, path.size() + 1, path + "/") != 0) continue;
        content.size_bytes += own.size_bytes;
        content.files += own.files;
        content.checkpoints += own.checkpoints;
      }
      return entry.node.is_directory() ? Visit::kDescend : Visit::kNext;
    };
    checkpoints_.clear();
    EXPECT_THAT(Walk(txn, kRootInode, "", visit), IsOk());
    std::map<std::string, std::string> texts;
    for (const auto& [path, content] : below) texts[path] = Text(content);
    return texts;
  }
  // The same, as the records have it.
  std::map<std::string, std::string> Recorded() {
    const Transaction txn(kv_);
    std::map<std::string, std::string> texts;
    const auto visit = [&](const WalkEntry& entry) -> absl::StatusOr<Visit> {
      if (entry.node.type != disk::INODE_DIRECTORY) return Visit::kNext;
      const auto content = ContentOf(txn, entry.node);
      EXPECT_THAT(content, IsOk());
      if (content.ok()) texts[entry.path] = Text(*content);
      return Visit::kDescend;
    };
    EXPECT_THAT(Walk(txn, kRootInode, "", visit), IsOk());
    return texts;
  }
  absl::StatusOr<wire::GetBucketReply> Bucket(const std::string& name) {
    wire::GetBucketRequest request;
    request.set_name(name);
    return Ask(request);
  }
  uint64_t Used(const std::string& name) {
    const auto reply = Bucket(name);
    EXPECT_THAT(reply, IsOk());
    return reply.ok() ? reply->size_bytes() : 0;
  }
  absl::Status SetQuota(const std::string& name, uint64_t bytes) {
    wire::SetBucketRequest request;
    request.set_name(name);
    request.set_keep_redundancy(true);
    request.set_quota_bytes(bytes);
    return Do(request).status();
  }
  // A store of a build from before the counts.
  void ForgetAllCounts() {
    StopEngine();
    Transaction txn(kv_);
    for (const auto& [key, value] : kv_.family(kFamilyPolicy)) {
      if (key[0] == 'u') txn.Delete(kFamilyPolicy, key);
    }
    txn.Delete(kFamilySystem, CounterKey(Counter::kUsageCounted));
    ASSERT_THAT(kv_.Write(txn.TakeBatch(), KvDurability::kSynced), IsOk());
  }
  size_t UsageRecords() const {
    size_t records = 0;
    for (const auto& [key, value] : kv_.family(kFamilyPolicy)) records += key[0] == 'u' ? 1 : 0;
    return records;
  }

 private:
  bool InCheckpoint(const std::string& path) const {
    for (const std::string& checkpoint : checkpoints_) {
      if (path.compare(0, checkpoint.size(), checkpoint) == 0) return true;
    }
    return false;
  }
  std::vector<std::string> checkpoints_;
};

TEST_F(UsageTest, ABucketTellsWhatIsVisibleInIt) {
  ASSERT_THAT(PutFile("default/a/b/f", 100), IsOk());
  ASSERT_THAT(Save("default/run/step-1", 1000), IsOk());
  const auto open = Begin("default/run/step-2");
  ASSERT_THAT(open, IsOk());
  ASSERT_THAT(Done("default/run/step-2", open->attempt(), 0,
                   {Shard("shard", 500, open->stripes().first())}),
              IsOk());
  const auto bucket = Bucket("default");
  ASSERT_THAT(bucket, IsOk());
  EXPECT_EQ(bucket->size_bytes(), 1100u);
  EXPECT_EQ(bucket->files(), 2u);
  EXPECT_EQ(bucket->checkpoints(), 1u);
  ASSERT_THAT(Commit("default/run/step-2", open->attempt()), IsOk());
  EXPECT_EQ(Used("default"), 1600u);
}

TEST_F(UsageTest, WhatIsReplacedOrRemovedLeavesAtOnce) {
  ASSERT_THAT(PutFile("default/f", 100), IsOk());
  ASSERT_THAT(PutFile("default/f", 30), IsOk());
  EXPECT_EQ(Used("default"), 30u);
  ASSERT_THAT(Save("default/d/c", 1000), IsOk());
  ASSERT_THAT(Save("default/d/c", 10), IsOk());
  EXPECT_EQ(Used("default"), 40u);
  // Of a tree, too, before the cleanup has seen it.
  ASSERT_THAT(PutFile("default/d/e/f", 7), IsOk());
  wire::RemoveRequest request;
  request.set_path("default/d");
  request.set_recursive(true);
  ASSERT_THAT(Do(request), IsOk());
  EXPECT_EQ(Used("default"), 30u);
  Settle();
  EXPECT_EQ(Used("default"), 30u);
  EXPECT_EQ(UsageRecords(), 1u);
}

TEST_F(UsageTest, ATreeTakesItsContentAlong) {
  ASSERT_THAT(MakeDirectory("other"), IsOk());
  ASSERT_THAT(Save("default/run/a/step-1", 1000), IsOk());
  ASSERT_THAT(PutFile("default/run/f", 10), IsOk());
  ASSERT_THAT(Rename("default/run", "other/run"), IsOk());
  EXPECT_EQ(Used("default"), 0u);
  EXPECT_EQ(Used("other"), 1010u);
  // What comes and goes in it counts where it is now.
  ASSERT_THAT(Remove("other/run/a/step-1"), IsOk());
  ASSERT_THAT(PutFile("other/run/g", 1), IsOk());
  EXPECT_EQ(Used("other"), 11u);
  EXPECT_EQ(Recorded(), Walked());
}

TEST_F(UsageTest, PruningInARemovedTreeCountsNowhere) {
  ASSERT_THAT(Save("default/keep/c", 50), IsOk());
  for (int i = 0; i < 3; ++i) ASSERT_THAT(Save(StrCat("default/run/step-", i), 100), IsOk());
  wire::SetRetentionRequest retention;
  retention.set_path("default/run");
  retention.mutable_policy()->set_keep_last(1);
  ASSERT_THAT(Do(retention), IsOk());
  ASSERT_THAT(Save("default/run/step-9", 100), IsOk());
  ASSERT_THAT(Remove("default/run", true), IsOk());
  Settle();
  EXPECT_EQ(Used("default"), 50u);
  EXPECT_EQ(Recorded(), Walked());
}

TEST_F(UsageTest, AStoreFromBeforeTheCountsIsCountedOnceAtItsStart) {
  ASSERT_THAT(MakeDirectory("other/empty", true), IsOk());
  ASSERT_THAT(PutFile("other/a/b/c/f", 100), IsOk());
  ASSERT_THAT(Save("other/a/run/step-1", 1000), IsOk());
  ASSERT_THAT(PutFile("default/f", 5), IsOk());
  Settle();
  ForgetAllCounts();
  const int64_t before = kv_.synced_writes();
  Restart();
  EXPECT_EQ(Recorded(), Walked());
  EXPECT_EQ(Used("other"), 1100u);
  EXPECT_EQ(kv_.synced_writes(), before + 1);
  ASSERT_THAT(Remove("other/a", true), IsOk());
  EXPECT_EQ(Used("other"), 0u);
  Settle();
  const int64_t counted = kv_.synced_writes();
  Restart();
  EXPECT_EQ(kv_.synced_writes(), counted);
}

TEST_F(UsageTest, WhatAnOldBuildLeftUncountedIsFoundAtTheNextStart) {
  ASSERT_THAT(PutFile("default/d/f", 100), IsOk());
  Settle();
  StopEngine();
  Transaction txn(kv_);
  for (const auto& [key, value] : kv_.family(kFamilyPolicy)) {
    if (key[0] == 'u') Store(txn, kFamilyPolicy, key, disk::UsageRecord());
  }
  ASSERT_THAT(kv_.Write(txn.TakeBatch(), KvDurability::kSynced), IsOk());
  Restart();
  EXPECT_EQ(Used("default"), 100u);
  EXPECT_EQ(Recorded(), Walked());
}

TEST_F(UsageTest, AFullStoreOpensUncounted) {
  ASSERT_THAT(PutFile("default/d/f", 100), IsOk());
  Settle();
  ForgetAllCounts();
  kv_.RefuseNextWrite(absl::ResourceExhaustedError("the filesystem is full"));
  Restart();
  ASSERT_THAT(Remove("default/d/f"), IsOk());
  Settle();
  ASSERT_THAT(PutFile("default/g", 7), IsOk());
  Restart();
  EXPECT_EQ(Used("default"), 7u);
}

TEST_F(UsageTest, AQuotaHoldsToTheByte) {
  ASSERT_THAT(SetQuota("default", 1000), IsOk());
  ASSERT_THAT(PutFile("default/a", 600), IsOk());
  EXPECT_THAT(PutFile("default/b", 401), Fails(kExhausted, "\"default\" has a quota of 1000 B"));
  EXPECT_THAT(PutFile("default/b", 401), Fails(kExhausted, "600 B are used"));
  EXPECT_THAT(PutFile("default/b", 401), Fails(kExhausted, "; remove or prune checkpoints"));
  EXPECT_THAT(PutFile("default/b", 401), Fails(kExhausted, "cairn bucket set default --quota"));
  EXPECT_EQ(Used("default"), 600u);
  EXPECT_THAT(PutFile("default/b", 400), IsOk());
  EXPECT_EQ(Used("default"), 1000u);
}

TEST_F(UsageTest, ARefusedCommitLeavesTheAttemptForAnotherTry) {
  ASSERT_THAT(SetQuota("default", 1000), IsOk());
  ASSERT_THAT(PutFile("default/a", 600), IsOk());
  const auto begun = Begin("default/run/step-1");
  ASSERT_THAT(begun, IsOk());
  ASSERT_THAT(Done("default/run/step-1", begun->attempt(), 0,
                   {Shard("shard", 500, begun->stripes().first())}),
              IsOk());
  EXPECT_THAT(Commit("default/run/step-1", begun->attempt()),
              Fails(kExhausted, "\"default/run/step-1\" has 500 B"));
  EXPECT_THAT(Latest("default/run"), Fails(kNotFound, ""));
  ASSERT_THAT(Remove("default/a"), IsOk());
  EXPECT_THAT(Commit("default/run/step-1", begun->attempt()), IsOk());
  EXPECT_EQ(Used("default"), 500u);
}

TEST_F(UsageTest, NothingNewBeginsInAFullBucket) {
  ASSERT_THAT(PutFile("default/a", 600), IsOk());
  ASSERT_THAT(Save("default/c", 600), IsOk());
  ASSERT_THAT(SetQuota("default", 1000), IsOk());
  EXPECT_THAT(Begin("default/run/step-1"), Fails(kExhausted, "nothing new can be written"));
  EXPECT_THAT(BeginFile("default/b"), Fails(kExhausted, "nothing new can be written"));
  EXPECT_THAT(List("default/run"), Fails(kNotFound, ""));
  // What makes it smaller goes: in the place of what is there, and removals.
  EXPECT_THAT(Save("default/c", 100), IsOk());
  EXPECT_THAT(PutFile("default/a", 900), IsOk());
  EXPECT_THAT(PutFile("default/a", 901), Fails(kExhausted, "901 B"));
  EXPECT_THAT(PutFile("default/a", 1), IsOk());
  EXPECT_THAT(Save("default/run/step-1", 899), IsOk());
  EXPECT_THAT(SetQuota("default", 0), IsOk());
  EXPECT_THAT(PutFile("default/b", 10 * kMiB), IsOk());
}

TEST_F(UsageTest, AMoveIntoAnotherBucketKeepsItsQuota) {
  ASSERT_THAT(MakeDirectory("other"), IsOk());
  ASSERT_THAT(SetQuota("other", 1000), IsOk());
  ASSERT_THAT(Save("default/run/step-1", 600), IsOk());
  ASSERT_THAT(Save("default/run/step-2", 600), IsOk());
  EXPECT_THAT(Rename("default/run", "other/run"), Fails(kExhausted, "\"other/run\" has 1.2 KiB"));
  EXPECT_EQ(Used("default"), 1200u);
  ASSERT_THAT(MakeDirectory("other/run"), IsOk());
  EXPECT_THAT(Rename("default/run/step-1", "other/run/step-1"), IsOk());
  EXPECT_THAT(Rename("default/run/step-2", "other/run/step-2"), Fails(kExhausted, "600 B"));
  // Within a bucket that is over its quota, names change freely.
  ASSERT_THAT(SetQuota("other", 10), IsOk());
  EXPECT_THAT(Rename("other/run", "other/runs"), IsOk());
  EXPECT_EQ(Used("other"), 600u);
}

TEST_F(UsageTest, ChangingAQuotaKeepsTheRedundancyAndTheOtherWayRound) {
  wire::MakeBucketRequest made;
  made.set_name("b");
  made.set_redundancy("replica:2");
  made.set_quota_bytes(77);
  ASSERT_THAT(Do(made), IsOk());
  ASSERT_THAT(SetQuota("b", 88), IsOk());
  auto bucket = Bucket("b");
  ASSERT_THAT(bucket, IsOk());
  EXPECT_EQ(bucket->redundancy(), "replica:2");
  EXPECT_EQ(bucket->quota_bytes(), 88u);
  wire::SetBucketRequest request;
  request.set_name("b");
  request.set_redundancy("replica:3");
  const auto set = Do(request);
  ASSERT_THAT(set, IsOk());
  EXPECT_EQ(set->redundancy(), "replica:3");
  EXPECT_EQ(set->quota_bytes(), 88u);
}

// -- random histories

class History : public UsageTest {
 protected:
  uint64_t Below(uint64_t limit) {
    return std::uniform_int_distribution<uint64_t>(0, limit - 1)(random_);
  }
  std::string SomeDirectory() {
    std::string path = Below(2) == 0 ? "default" : "other";
    for (uint64_t depth = Below(3); depth > 0; --depth) path += StrCat("/d", Below(2));
    return path;
  }
  std::string SomePath() { return StrCat(SomeDirectory(), "/", std::string(1, "xyz"[Below(3)])); }
  uint64_t SomeSize() { return Below(4) == 0 ? 0 : Below(3000); }

  // Saves of several shards in directories, some of which are never committed.
  absl::Status SaveSome(const std::string& path) {
    const auto begun = Begin(path);
    if (!begun.ok()) return begun.status();
    std::vector<wire::ShardRecord> shards;
    uint64_t stripe = begun->stripes().first();
    for (uint64_t i = Below(4); i > 0; --i)
      shards.push_back(Shard(StrCat("s", i % 2, "/f", i), SomeSize(), stripe++));
    const auto done = Done(path, begun->attempt(), 0, std::move(shards));
    if (!done.ok() || Below(5) == 0) return done.status();
    return Commit(path, begun->attempt()).status();
  }
  absl::Status SetKeepLast(const std::string& path) {
    wire::SetRetentionRequest request;
    request.set_path(path);
    request.mutable_policy()->set_keep_last(static_cast<uint32_t>(Below(3)));
    return Do(request).status();
  }
  absl::Status Prune(const std::string& path) {
    wire::PruneCheckpointsRequest request;
    request.set_path(path);
    request.mutable_policy()->set_keep_last(1);
    return Do(request).status();
  }
  absl::Status DoSomething() {
    switch (Below(12)) {
      case 0:
      case 1:
        return PutFile(SomePath(), SomeSize());
      case 2:
      case 3:
        return SaveSome(SomePath());
      case 4:
        return Remove(SomePath(), Below(2) == 0);
      case 5:
        return Remove(SomeDirectory(), true);
      case 6:
        return Rename(SomePath(), SomePath());
      case 7:
        return Rename(SomeDirectory(), SomePath());
      case 8:
        return Rename(SomeDirectory(), SomeDirectory());
      case 9:
        return MakeDirectory(SomeDirectory(), true);
      case 10:
        return Below(2) == 0 ? Prune(SomeDirectory()) : SetKeepLast(SomeDirectory());
      default:
        return SetQuota(Below(2) == 0 ? "default" : "other", Below(3) == 0 ? 0 : Below(20'000));
    }
  }

  std::mt19937_64 random_;
};

TEST_F(History, RecordsAreWhatAWalkFindsAfterEveryCommand) {
  const auto seed = static_cast<uint64_t>(::testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE(StrCat("seed ", seed));
  random_.seed(seed);
  int refused = 0, done = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::map<std::string, std::string> before = Recorded();
    const absl::Status status = DoSomething();
    refused += absl::IsResourceExhausted(status) ? 1 : 0;
    done += status.ok() ? 1 : 0;
    if (Below(4) == 0) Settle();
    const auto recorded = Recorded();
    ASSERT_EQ(recorded, Walked()) << "after command " << i << ": " << status;
    for (const char* name : {"default", "other"}) {
      if (!recorded.contains(name) || !before.contains(name)) continue;
      const auto bucket = Bucket(name);
      ASSERT_THAT(bucket, IsOk());
      if (bucket->quota_bytes() == 0 || bucket->size_bytes() <= bucket->quota_bytes()) continue;
      // Over it only by a quota that came later: it does not grow.
      ASSERT_LE(bucket->size_bytes(), std::stoull(before.at(name)));
    }
    if (Below(200) == 0) {
      Settle();
      if (Below(2) == 0) ForgetAllCounts();
      Restart();
      ASSERT_EQ(Recorded(), Walked()) << "after a start";
    }
  }
  EXPECT_GT(refused, 20);
  EXPECT_GT(done, 500);
  Settle();
  for (const char* name : {"default", "other"}) (void)Remove(name, true);
  Settle();
  EXPECT_EQ(UsageRecords(), 0u);
}

}  // namespace
}  // namespace cairn
