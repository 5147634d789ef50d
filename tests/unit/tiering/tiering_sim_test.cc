// Goal: whatever fails or is killed at any step of copy, release, fetch, deletion and compaction,
// every byte that a file has is in one place at least, and nothing is left in a store that nobody
// knows. Method: the real loop and jobs over the real metadata on a simulated store, with nodes and
// a cold store that are simulated, fail, forget to answer, and lose objects; restarts at random; an
// oracle that looks for every byte after each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "common/base/random.h"
#include "common/base/strings.h"
#include "server/meta/cold.h"
#include "server/meta/tier_files.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tree.h"
#include "server/tier/cold_manifest.h"
#include "server/tier/cold_object.h"
#include "server/tiering/tier_loop.h"
#include "tests/sim/seeds.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

// What a store holds: of data objects which run and bytes each piece has, of manifests their text.
constexpr char kCluster[] = "test-cluster";

// Of an object that a message or a place names.
template <class Name>
std::string StoreKeyOf(const Name& name) {
  return ColdObjectKey(name.cluster_id().empty() ? kCluster : name.cluster_id(), name.object());
}

struct SimColdStore {
  struct Object {
    std::vector<disk::NoteColdObject::Piece> pieces;
    std::string text;
    uint64_t size_bytes = 0;
  };
  std::map<std::string, Object> objects;
};

// Runs that lie on targets, by first stripe: what nodes have sealed and nobody has freed.
class SimNodes final : public TierNodes {
 public:
  SimNodes(SimColdStore& store, Random& random) : store_(store), random_(random) {}

  uint64_t failures_in_100 = 0;
  // What nodes put long after they were given up.
  void Arrive(MonoTime now) {
    for (const Late& late : late_)
      if (late.at <= now) store_.objects[late.key] = late.object;
    std::erase_if(late_, [now](const Late& late) { return late.at <= now; });
  }
  Fill fill = {0, 100};
  absl::Status text_error;  // of every read of a text

  std::vector<wire::NodeInfo> Alive() override {
    std::vector<wire::NodeInfo> nodes(3);
    for (uint32_t i = 0; i < 3; ++i) nodes[i].set_id(i + 1);
    return nodes;
  }
  Fill HotFill() override { return fill; }
  Task<absl::Status> MakeGroups(std::string) override { co_return absl::OkStatus(); }

  Task<absl::StatusOr<wire::PutColdReply>> Put(wire::NodeInfo, wire::PutColdRequest request,
                                               Deadline) override {
    co_await Pause();
    const bool is_late = Fails();
    SimColdStore::Object object;
    uint64_t at = kColdHeaderBytes;
    for (const wire::ColdSource& source : request.sources()) {
      if (source.run().has_cold() && !store_.objects.contains(StoreKeyOf(source.run().cold())))
        co_return absl::NotFoundError("simulated: no such object");
      auto& piece = object.pieces.emplace_back();
      piece.set_first_stripe(source.first_stripe());
      piece.set_run_offset_bytes(source.run_offset_bytes());
      piece.set_length_bytes(source.length_bytes());
      piece.set_object_offset_bytes(at);
      at += source.length_bytes();
    }
    object.size_bytes = at + 100;
    wire::PutColdReply reply;
    reply.set_size_bytes(object.size_bytes);
    const std::string key = ColdObjectKey(request.cluster_id(), request.object());
    if (is_late) {
      // Never, or when nobody waits for it any more.
      if (random_.Next() % 2 == 0) late_.push_back({Now() + absl::Minutes(10), key, object});
      co_return absl::UnavailableError("simulated: before");
    }
    store_.objects[key] = std::move(object);
    co_await Pause();
    if (Fails()) co_return absl::DeadlineExceededError("simulated: after");
    co_return reply;
  }
  Task<absl::StatusOr<wire::CheckColdReply>> Check(wire::NodeInfo, wire::CheckColdRequest request,
                                                   Deadline) override {
    co_await Pause();
    if (Fails()) co_return absl::UnavailableError("simulated: check");
    wire::CheckColdReply reply;
    for (const wire::ColdObjectName& name : request.objects())
      if (!store_.objects.contains(StoreKeyOf(name))) reply.add_missing(name.object());
    co_return reply;
  }
  Task<absl::StatusOr<wire::DeleteColdReply>> Delete(wire::NodeInfo,
                                                     wire::DeleteColdRequest request,
                                                     Deadline) override {
    co_await Pause();
    if (Fails()) co_return absl::UnavailableError("simulated: delete");
    for (const wire::ColdObjectName& name : request.objects()) {
      const std::string& cluster = name.cluster_id();
      store_.objects.erase(ColdManifestKey(cluster.empty() ? kCluster : cluster, name.object()));
      if (!name.manifest()) store_.objects.erase(StoreKeyOf(name));
    }
    co_return wire::DeleteColdReply();
  }
  Task<absl::StatusOr<wire::RecallColdReply>> Recall(wire::NodeInfo,
                                                     wire::RecallColdRequest request,
                                                     Deadline) override {
    co_await Pause();
    if (Fails()) co_return absl::UnavailableError("simulated: recall");
    uint64_t bytes = 0;
    for (const wire::ExtentRun& run : request.runs()) {
      if (!store_.objects.contains(StoreKeyOf(run.cold())))
        co_return absl::NotFoundError("simulated: no such object");
      bytes += run.length_bytes();
    }
    wire::RecallColdReply reply;
    *reply.add_extents() = RunOf(request.runs(0).offset_bytes(), bytes, request.stripes().first());
    co_await Pause();
    if (Fails()) co_return absl::DeadlineExceededError("simulated: recalled");
    co_return reply;
  }
  Task<absl::Status> PutText(wire::TierSpec, std::string key, std::string text, Deadline) override {
    co_await Pause();
    if (Fails()) co_return absl::UnavailableError("simulated: text");
    store_.objects[key] = {{}, text, text.size()};
    co_return absl::OkStatus();
  }
  Task<absl::StatusOr<std::string>> GetText(wire::TierSpec, std::string key, uint64_t,
                                            Deadline) override {
    if (!text_error.ok()) co_return text_error;
    const auto found = store_.objects.find(key);
    if (found == store_.objects.end()) co_return absl::NotFoundError("none");
    co_return found->second.text;
  }
  Task<absl::StatusOr<ColdListing>> List(wire::TierSpec, ColdListOptions options,
                                         Deadline) override {
    ColdListing listing;
    for (const auto& [key, object] : store_.objects) {
      if (key <= options.start_after || key.compare(0, options.prefix.size(), options.prefix) != 0)
        continue;
      if (listing.objects.size() == options.limit) {
        listing.more = true;
        break;
      }
      listing.objects.push_back({key, object.size_bytes});
    }
    co_return listing;
  }

 private:
  static MonoTime Now() { return Executor::Current().clock().Now(); }
  bool Fails() { return random_.Next() % 100 < failures_in_100; }
  Task<void> Pause() {
    StopSource never;
    (void)co_await SleepFor(absl::Milliseconds(static_cast<int64_t>(1 + random_.Next() % 2000)),
                            never);
    Arrive(Now());
  }
  struct Late {
    MonoTime at;
    std::string key;
    SimColdStore::Object object;
  };

  SimColdStore& store_;
  Random& random_;
  std::vector<Late> late_;
};

class TieringSimTest : public MetaTest {
 protected:
  TieringSimTest() : random_(7), nodes_(store_, random_) {
    disk::AddTier add;
    add.mutable_spec()->set_name("cold");
    add.mutable_spec()->set_location("s3://cold");
    EXPECT_THAT(Do(add), IsOk());
    StartLoop();
  }
  ~TieringSimTest() override { StopLoop(); }

  void StartLoop() {
    loop_ = std::make_unique<TierLoop>(*engine_, nodes_);
    executor_.Run(Start());
  }
  Task<void> Start() {
    loop_->Start();
    co_return;
  }
  Task<void> NoteRead(InodeId subject) {
    loop_->NoteRead(subject, false);
    co_return;
  }
  void StopLoop() {
    if (loop_ != nullptr) executor_.Run(loop_->Stop());
    loop_.reset();
  }
  // A process that dies: what it had under way is lost where it stood.
  void Crash() {
    StopLoop();
    Restart();
    StartLoop();
  }
  Task<void> Sleep(absl::Duration duration) {
    StopSource never;
    (void)co_await SleepFor(duration, never);
  }
  void Wait(absl::Duration duration) { executor_.Run(Sleep(duration)); }

  absl::Status Ask(wire::TierAction action, const std::string& path) {
    wire::AskTierRequest request;
    request.set_path(path);
    request.set_action(action);
    return Do(request).status();
  }
  void SetPolicy(const std::string& path, const std::function<void(wire::TierPolicy&)>& rules) {
    wire::SetTierPolicyRequest request;
    request.set_path(path);
    request.mutable_policy()->set_tier("cold");
    rules(*request.mutable_policy());
    EXPECT_THAT(Do(request), IsOk());
  }
  wire::ExplainTierReply Explain(const std::string& path) {
    wire::ExplainTierRequest request;
    request.set_path(path);
    request.set_now_ns(engine_->UnixNow());
    const auto reply = MetaTest::Ask(request);
    EXPECT_THAT(reply, IsOk()) << path;
    return reply.ok() ? *reply : wire::ExplainTierReply();
  }
  wire::TierPlace PlaceAt(const std::string& path) { return Explain(path).verdict().place(); }

  // What the manifests in the store tell of: where it was, and whether all of it is in the store.
  struct Told {
    std::string path;
    uint64_t version = 0;
    bool whole = true;
  };
  std::vector<Told> TellAll() const {
    std::vector<Told> told;
    for (const auto& [key, object] : store_.objects) {
      const uint64_t id = ColdManifestOf(key, kCluster);
      if (id == 0) continue;
      const auto manifest = DecodeColdManifest(
          {kCluster, id}, std::as_bytes(std::span(object.text.data(), object.text.size())));
      EXPECT_THAT(manifest, IsOk());
      for (const auto& subject : manifest->subjects()) {
        Told& each = told.emplace_back(Told{subject.path(), subject.version()});
        for (const auto& file : subject.files()) {
          for (const auto& piece : file.pieces()) {
            const auto found = store_.objects.find(StoreKeyOf(piece));
            each.whole = each.whole && found != store_.objects.end() &&
                         found->second.size_bytes == piece.object_bytes();
          }
        }
      }
    }
    return told;
  }
  // An import that came now would find every file that counts as copied: under its name, if that
  // is what its manifest tells.
  void CheckToldOf(const std::set<std::string>& files) {
    const Transaction txn(kv_);
    const std::vector<Told> told = TellAll();
    for (const std::string& path : files) {
      const auto resolved = Resolve(txn, path, LatestAlias::kIgnore);
      ASSERT_THAT(resolved, IsOk()) << path;
      const auto subject = FindSubject(txn, resolved->node.inode);
      ASSERT_THAT(subject, IsOk());
      if (!subject->has_value() || !(*subject)->copied()) continue;
      const auto inode = LoadInode(txn, resolved->node.inode);
      ASSERT_THAT(inode, IsOk());
      const bool is_told = std::any_of(told.begin(), told.end(), [&](const Told& each) {
        return each.whole && each.version == inode->version() &&
               (each.path == path || (*subject)->manifest_is_old());
      });
      EXPECT_TRUE(is_told) << path << " would be lost with the metadata";
    }
  }

  // What the store has, as if another cluster had written it.
  SimColdStore OfCluster(const std::string& cluster) const {
    SimColdStore others;
    for (const auto& [key, object] : store_.objects) {
      SimColdStore::Object moved = object;
      const uint64_t id = ColdManifestOf(key, kCluster);
      if (id != 0) {
        const auto manifest = DecodeColdManifest(
            {kCluster, id}, std::as_bytes(std::span(object.text.data(), object.text.size())));
        EXPECT_THAT(manifest, IsOk());
        moved.text = EncodeColdManifest({cluster, id}, *manifest);
        moved.size_bytes = moved.text.size();
      }
      others.objects[cluster + key.substr(std::string(kCluster).size())] = std::move(moved);
    }
    return others;
  }

  // Every byte of every file: on targets, or in objects that the store has.
  void CheckBytes(const std::vector<std::string>& paths) {
    const Transaction txn(kv_);
    std::map<uint64_t, uint64_t> live;
    for (const std::string& path : paths) {
      const auto resolved = Resolve(txn, path, LatestAlias::kIgnore);
      ASSERT_THAT(resolved, IsOk()) << path;
      const auto page = ReadTierFiles(txn, resolved->node.inode, {}, 100'000);
      ASSERT_THAT(page, IsOk());
      for (const TierFile& file : page->files) {
        uint64_t at = 0;
        for (const TierRun& run : file.runs) {
          EXPECT_EQ(run.offset_bytes, at);
          at += run.record.length_bytes();
          if (run.record.released())
            EXPECT_TRUE(IsWhole(run.cold, run.record.length_bytes())) << path;
          for (int i = 0; i < run.cold.parts_size(); ++i) {
            const auto& part = run.cold.parts(i);
            live[part.object()] += part.length_bytes();
            const bool there =
                store_.objects.contains(StoreKeyOf(run.places[static_cast<size_t>(i)]));
            if (run.record.released()) EXPECT_TRUE(there) << path << " is lost";
          }
        }
        EXPECT_EQ(at, file.record.size_bytes()) << path;
      }
    }
    for (const auto& [object, bytes] : live) {
      const auto record =
          Find<disk::ColdObjectRecord>(txn, kFamilyCold, ColdObjectRecordKey(object));
      ASSERT_THAT(record, IsOk());
      ASSERT_TRUE(record->has_value());
      EXPECT_EQ((*record)->live_bytes(), bytes) << "object " << object;
    }
  }

  SeededRandom random_;
  SimColdStore store_;
  SimNodes nodes_;
  std::unique_ptr<TierLoop> loop_;
};

TEST_F(TieringSimTest, APolicyCopiesReleasesAndDeletesAsSteps) {
  EXPECT_THAT(MakeDirectory("default/run"), IsOk());
  SetPolicy("default/run", [](wire::TierPolicy& policy) {
    policy.set_keep_hot(2);
    policy.set_keep_every_steps(10);
    policy.set_delete_after_seconds(0);
  });
  for (int step = 1; step <= 22; ++step) {
    ASSERT_THAT(Save(StrCat("default/run/step-", step), 10 << 20), IsOk());
    Wait(absl::Seconds(5));
  }
  Wait(absl::Minutes(1));
  const auto kept = Checkpoints("default/run");
  ASSERT_THAT(kept, IsOk());
  EXPECT_THAT(*kept, ::testing::UnorderedElementsAre("default/run/step-10", "default/run/step-20",
                                                     "default/run/step-21", "default/run/step-22"));
  EXPECT_EQ(PlaceAt("default/run/step-10"), wire::TIER_COLD);
  EXPECT_EQ(PlaceAt("default/run/step-20"), wire::TIER_COLD);
  EXPECT_EQ(PlaceAt("default/run/step-22"), wire::TIER_HOT) << "it is deleted later, not copied";
  CheckBytes(*kept);
}

TEST_F(TieringSimTest, WhatIsFetchedIsOnTargetsAgainAndTheCopyStays) {
  ASSERT_THAT(Save("default/a", 300 << 20), IsOk());
  EXPECT_THAT(Ask(wire::TIER_RELEASE, "default/a"), IsOk());
  Wait(absl::Minutes(2));
  EXPECT_EQ(PlaceAt("default/a"), wire::TIER_COLD);
  const auto stat = Stat("default/a/shard");
  ASSERT_THAT(stat, IsOk());
  EXPECT_EQ(stat->extents_size(), 3) << "one a part";
  EXPECT_TRUE(stat->extents(0).has_cold());
  EXPECT_EQ(stat->extents(0).length_bytes(), 128u << 20);
  EXPECT_THAT(Ask(wire::TIER_FETCH, "default/a"), IsOk());
  Wait(absl::Minutes(2));
  EXPECT_EQ(PlaceAt("default/a"), wire::TIER_COPIED);
  EXPECT_FALSE(Stat("default/a/shard")->extents(0).has_cold());
  CheckBytes({"default/a"});
  const size_t objects = store_.objects.size();
  EXPECT_THAT(Ask(wire::TIER_RELEASE, "default/a"), IsOk());
  Wait(absl::Minutes(2));
  EXPECT_EQ(PlaceAt("default/a"), wire::TIER_COLD);
  EXPECT_EQ(store_.objects.size(), objects) << "nothing was copied again";
  EXPECT_THAT(Remove("default/a"), IsOk());
  Wait(absl::Minutes(2));
  EXPECT_TRUE(store_.objects.empty());
  EXPECT_EQ(Counters().tier_subjects, 0u);
}

TEST_F(TieringSimTest, ACopyThatSomebodyHasDeletedIsMadeAgain) {
  ASSERT_THAT(Save("default/a", 10 << 20), IsOk());
  EXPECT_THAT(Ask(wire::TIER_PUSH, "default/a"), IsOk());
  Wait(absl::Minutes(1));
  EXPECT_EQ(PlaceAt("default/a"), wire::TIER_COPIED);
  store_.objects.clear();
  EXPECT_THAT(Ask(wire::TIER_RELEASE, "default/a"), IsOk());
  Wait(absl::Minutes(10));
  EXPECT_EQ(PlaceAt("default/a"), wire::TIER_COLD);
  CheckBytes({"default/a"});
}

TEST_F(TieringSimTest, SparseObjectsAreWrittenAnew) {
  std::vector<std::string> kept;
  for (int i = 0; i < 20; ++i) ASSERT_THAT(PutFile(StrCat("default/f", i), 5 << 20), IsOk());
  EXPECT_THAT(Ask(wire::TIER_RELEASE, "default"), IsOk());
  Wait(absl::Minutes(2));
  const auto before = ColdUsage(Transaction(kv_), "cold");
  for (int i = 0; i < 18; ++i) ASSERT_THAT(Remove(StrCat("default/f", i)), IsOk());
  for (int i = 0; i < 200; ++i) {
    // Manifests do not get there at once.
    nodes_.failures_in_100 = i < 40 ? 60 : 0;
    Wait(absl::Seconds(5));
    CheckToldOf({"default/f18", "default/f19"});
  }
  const auto after = ColdUsage(Transaction(kv_), "cold");
  EXPECT_EQ(after->live_bytes() / (5 << 20), 2u);
  EXPECT_LT(after->size_bytes(), before->size_bytes() / 4);
  CheckBytes({"default/f18", "default/f19"});
}

TEST_F(TieringSimTest, AFileThatIsRenamedIsToldOfAnewInTheTier) {
  ASSERT_THAT(PutFile("default/a", 5 << 20), IsOk());
  EXPECT_THAT(Ask(wire::TIER_PUSH, "default/a"), IsOk());
  Wait(absl::Minutes(1));
  ASSERT_THAT(MakeDirectory("default/dir"), IsOk());
  ASSERT_THAT(Rename("default/a", "default/dir/b"), IsOk());
  Wait(absl::Minutes(1));
  ASSERT_THAT(Rename("default/dir", "default/other"), IsOk());
  Wait(absl::Minutes(1));
  const std::vector<Told> told = TellAll();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].path, "default/other/b");
}

TEST_F(TieringSimTest, ARenameWhileItIsCopiedIsToldOfInTheEnd) {
  std::set<std::string> files;
  for (int i = 0; i < 40; ++i) {
    const std::string path = StrCat("default/f", i);
    ASSERT_THAT(PutFile(path, 5 << 20), IsOk());
    EXPECT_THAT(Ask(wire::TIER_PUSH, path), IsOk());
    Wait(absl::Milliseconds(250 * i));
    files.insert(StrCat("default/g", i));
    ASSERT_THAT(Rename(path, StrCat("default/g", i)), IsOk());
    CheckToldOf(files);
  }
  Wait(absl::Minutes(2));
  CheckToldOf(files);
  for (const std::string& path : files) EXPECT_EQ(PlaceAt(path), wire::TIER_COPIED) << path;
}

TEST_F(TieringSimTest, WatermarksLetGoOfTheLeastUsedFirst) {
  for (const char* name : {"default/a", "default/b", "default/c"}) {
    ASSERT_THAT(PutFile(name, 10), IsOk());
    Wait(absl::Seconds(10));
  }
  SetPolicy("default", [](wire::TierPolicy& policy) {
    policy.set_high_percent(80);
    policy.set_low_percent(70);
  });
  Wait(absl::Minutes(1));
  EXPECT_EQ(PlaceAt("default/a"), wire::TIER_COPIED);
  nodes_.fill = {75, 100};
  Wait(absl::Minutes(1));
  EXPECT_EQ(PlaceAt("default/a"), wire::TIER_COPIED) << "not above the high one yet";
  const InodeId subject(Stat("default/a")->subject());
  executor_.Run(NoteRead(subject));
  Wait(absl::Minutes(1));
  nodes_.fill = {85, 100};
  Wait(absl::Seconds(3));
  nodes_.fill = {60, 100};
  Wait(absl::Minutes(1));
  EXPECT_EQ(PlaceAt("default/b"), wire::TIER_COLD) << "the oldest that nobody has read";
  EXPECT_EQ(PlaceAt("default/a"), wire::TIER_COPIED);
}

TEST_F(TieringSimTest, TheNamespaceIsImportedOnce) {
  ASSERT_THAT(Save("default/run/step-7", 300 << 20), IsOk());
  ASSERT_THAT(PutFile("default/file", 5 << 20), IsOk());
  EXPECT_THAT(Ask(wire::TIER_PUSH, "default"), IsOk());
  Wait(absl::Minutes(2));
  // Another cluster has written all that, and is gone.
  const SimColdStore kept = OfCluster("lost-cluster");
  ASSERT_THAT(Remove("default/run", true), IsOk());
  ASSERT_THAT(Remove("default/file"), IsOk());
  Wait(absl::Minutes(2));
  wire::ImportTierRequest request;
  request.set_tier("cold");
  request.set_cluster_id(kCluster);
  EXPECT_EQ(executor_.Run(loop_->importer().Begin(request)).status().code(),
            absl::StatusCode::kFailedPrecondition)
      << "its own objects would be there twice";
  request.clear_cluster_id();
  store_ = kept;
  // A store that is not as it must be ends an import: what it does not show may be the newest.
  nodes_.text_error = absl::FailedPreconditionError("simulated: not mounted");
  EXPECT_THAT(executor_.Run(loop_->importer().Begin(request)), IsOk());
  Wait(absl::Minutes(1));
  EXPECT_NE(loop_->importer().Status().error(), "");
  EXPECT_EQ(loop_->importer().Status().subjects(), 0u);
  nodes_.text_error = absl::OkStatus();
  const auto begun = executor_.Run(loop_->importer().Begin(request));
  ASSERT_THAT(begun, IsOk());
  EXPECT_EQ(begun->cluster_id(), "lost-cluster");
  Wait(absl::Minutes(1));
  wire::ImportStatusReply status = loop_->importer().Status();
  EXPECT_EQ(status.subjects(), 2u) << status.ShortDebugString();
  EXPECT_EQ(status.failed(), 0u);
  EXPECT_EQ(PlaceAt("default/run/step-7"), wire::TIER_COLD);
  EXPECT_EQ(Show("default/run/step-7")->info().step(), 7u);
  EXPECT_EQ(Stat("default/file")->entry().size_bytes(), 5u << 20);
  CheckBytes({"default/run/step-7", "default/file"});
  EXPECT_THAT(executor_.Run(loop_->importer().Begin(request)), IsOk());
  Wait(absl::Minutes(1));
  EXPECT_EQ(loop_->importer().Status().skipped(), 2u);
  // They are this one's now.
  ASSERT_THAT(Remove("default/run", true), IsOk());
  ASSERT_THAT(Remove("default/file"), IsOk());
  Wait(absl::Minutes(5));
  EXPECT_TRUE(store_.objects.empty()) << store_.objects.begin()->first;
}

// CAIRN_SEED; or a few.
std::vector<uint64_t> SeedsToRun() {
  if (const char* one = std::getenv("CAIRN_SEED"); one != nullptr)
    return {std::strtoull(one, nullptr, 10)};
  std::vector<uint64_t> seeds;
  for (uint64_t seed = 1; seed <= SeedsHere(20); ++seed) seeds.push_back(seed);
  return seeds;
}

// Everything at once, from a seed.
class RandomTiering : public TieringSimTest {
 protected:
  void Step() {
    const std::string path = StrCat("default/f", random_.Next() % 12);
    switch (random_.Next() % 11) {
      case 9:
        if (const std::string other = StrCat("default/f", random_.Next() % 12);
            paths_.contains(path) && !paths_.contains(other)) {
          ASSERT_THAT(Rename(path, other), IsOk());
          paths_.erase(path);
          paths_.insert(other);
        }
        break;
      case 0:
      case 1:
        if (paths_.contains(path)) break;
        ASSERT_THAT(PutFile(path, 1 + random_.Next() % (200 << 20)), IsOk());
        paths_.insert(path);
        break;
      case 2:
        if (paths_.erase(path) > 0) ASSERT_THAT(Remove(path), IsOk());
        break;
      case 3:
      case 4:
        if (paths_.contains(path)) (void)Ask(wire::TIER_PUSH, path);
        break;
      case 5:
        if (paths_.contains(path)) (void)Ask(wire::TIER_RELEASE, path);
        break;
      case 6:
        if (paths_.contains(path)) (void)Ask(wire::TIER_FETCH, path);
        break;
      case 7:
        if (paths_.contains(path)) (void)Ask(wire::TIER_CANCEL, path);
        break;
      case 8:
        if (random_.Next() % 3 == 0) Crash();
        break;
      default:
        nodes_.failures_in_100 = random_.Next() % 3 == 0 ? random_.Next() % 60 : 0;
    }
    executor_.Run(WakeLoop());
    Wait(absl::Milliseconds(static_cast<int64_t>(random_.Next() % 5000)));
  }

  Task<void> WakeLoop() {
    loop_->Wake();
    co_return;
  }

  std::set<std::string> paths_;
};

TEST_F(RandomTiering, NoByteIsLostAndNothingIsLeftBehind) {
  for (const uint64_t seed : SeedsToRun()) {
    SCOPED_TRACE(StrCat("CAIRN_SEED=", seed));
    random_ = SeededRandom(seed);
    for (int i = 0; i < 120; ++i) {
      Step();
      CheckBytes({paths_.begin(), paths_.end()});
      CheckToldOf(paths_);
      if (HasFailure()) return;
    }
    nodes_.failures_in_100 = 0;
    Wait(absl::Hours(2));
    CheckToldOf(paths_);
    for (const std::string& path : paths_) ASSERT_THAT(Remove(path), IsOk());
    paths_.clear();
    Wait(absl::Hours(2));
    nodes_.Arrive(executor_.clock().Now());
    EXPECT_TRUE(store_.objects.empty()) << store_.objects.begin()->first;
    EXPECT_EQ(ColdUsage(Transaction(kv_), "cold")->objects(), 0u);
    EXPECT_EQ(Counters().tier_subjects, 0u);
    EXPECT_TRUE(kv_.family(kFamilyCold).empty());
    EXPECT_TRUE(kv_.family(kFamilyTier).empty());
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace cairn
