// Content by inode: extents that take the place of others, against a model that knows of every byte
// where it came from; leases, quotas, buffered mutations and power cuts, attributes.
#include "server/meta/fs_content.h"

#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <utility>

#include "server/meta/cleanup.h"
#include "server/meta/extents.h"
#include "server/meta/meta_store.h"
#include "tests/unit/meta/fs_fixture.h"

namespace cairn {
namespace {

constexpr uint32_t kStripe = 64 << 10;

wire::ExtentRun StripesOf(uint64_t offset, uint64_t length, uint64_t first) {
  wire::ExtentRun run;
  run.set_offset_bytes(offset);
  run.set_length_bytes(length);
  run.set_first_stripe(first);
  run.set_stripe_bytes(kStripe);
  run.set_stripe_count(static_cast<uint32_t>((length + kStripe - 1) / kStripe));
  run.add_groups(1);
  return run;
}

// Names a byte: of a run, by its stripe and place in it; of inline data, itself; of a hole, 0.
void Paint(const wire::ExtentRun& run, uint64_t base, std::vector<uint64_t>* model) {
  const uint64_t begin = base + run.offset_bytes(), end = begin + run.length_bytes();
  if (model->size() < end) model->resize(end, 0);
  for (uint64_t i = 0; i < run.length_bytes(); ++i) {
    uint64_t name = 0;
    if (run.stripe_count() > 0) {
      const uint64_t at = run.skip_bytes() + i;
      name = (run.first_stripe() + at / kStripe) * kStripe + at % kStripe + 1000;
    } else if (!run.data().empty()) {
      name = static_cast<unsigned char>(run.data()[i]);
    }
    (*model)[begin + i] = name;
  }
}

class FsContent : public FsTest {
 protected:
  // The extents tile the file, each byte is from where the model says, and the counts hold.
  void ExpectContent(uint64_t file, const std::vector<uint64_t>& model) {
    const auto attributes = Get(file);
    ASSERT_THAT(attributes, IsOk());
    ASSERT_EQ(attributes->size_bytes(), model.size());
    std::vector<uint64_t> stored;
    uint64_t end = 0;
    for (const wire::ExtentRun& run : Extents(file)) {
      ASSERT_EQ(run.offset_bytes(), end);
      end += run.length_bytes();
      Paint(run, 0, &stored);
    }
    ASSERT_TRUE(stored == model);
    const ExtentCounts counts = *CountExtents(Transaction(kv_), InodeId(file));
    ASSERT_EQ(attributes->extents(), counts.extents);
    ASSERT_EQ(attributes->inline_bytes(), counts.inline_bytes);
    ASSERT_EQ(attributes->stored_bytes(), model.size() - counts.hole_bytes);
  }
};

TEST_F(FsContent, RandomChangesMatchAModelAndLeaveNothingBehind) {
  const auto seed = static_cast<uint64_t>(::testing::UnitTest::GetInstance()->random_seed()) + 11;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t n) { return random() % n; };
  const uint64_t file = Make(bucket_, "file")->inode();
  const auto lease = BeginWrites(file);
  uint64_t next = lease.stripes().first();
  std::vector<uint64_t> model;
  for (int step = 0; step < 300; ++step) {
    const uint64_t at = below(600'000);
    switch (below(6)) {
      case 0:
      case 1: {
        const auto run = StripesOf(at, 1 + below(300'000), next);
        next += run.stripe_count();
        ASSERT_THAT(Write(file, {run}, lease.lease()), IsOk());
        Paint(run, 0, &model);
        break;
      }
      case 2: {
        const auto run =
            Inline(at, std::string(1 + below(9000), static_cast<char>('a' + step % 26)));
        ASSERT_THAT(Write(file, {run}), IsOk());
        Paint(run, 0, &model);
        break;
      }
      case 3: {
        const auto run = Hole(at, 1 + below(200'000));
        ASSERT_THAT(Write(file, {run}), IsOk());
        Paint(run, 0, &model);
        break;
      }
      case 4: {
        ASSERT_THAT(Truncate(file, at), IsOk());
        model.resize(at, 0);
        break;
      }
      default: {
        wire::WriteExtentsRequest append;
        append.mutable_node()->set_inode(file);
        append.set_append(true);
        *append.add_extents() = Inline(0, std::string(1 + below(100), 'z'));
        const auto reply = Do(append);
        ASSERT_THAT(reply, IsOk());
        EXPECT_EQ(reply->append_offset_bytes(), model.size());
        Paint(append.extents(0), model.size(), &model);
      }
    }
    SCOPED_TRACE(step);
    ASSERT_NO_FATAL_FAILURE(ExpectContent(file, model));
  }
  wire::EndWritesRequest end;
  end.set_lease(lease.lease());
  ASSERT_THAT(Do(end), IsOk());
  ASSERT_THAT(UnlinkAt(bucket_, "file"), IsOk());
  Settle();
  EXPECT_EQ(FamilySize(kFamilyExtent), 0u);
  EXPECT_EQ(FamilySize(kFamilyStripeRun), 0u);
  wire::GetUsageRequest usage;
  usage.set_path("default");
  EXPECT_EQ(Ask(usage)->size_bytes(), 0u);
  uint64_t freed = 0;
  for (const StripeSpan& span : ReclaimAll()) freed += span.count;
  EXPECT_EQ(freed, lease.stripes().count());
}

// Has something done once, in the middle of a question: when it has found the file and turns to its
// extents.
class InterruptedKv final : public Kv {
 public:
  InterruptedKv(Kv& kv, std::function<void()> interrupt)
      : kv_(kv), interrupt_(std::move(interrupt)) {}
  absl::StatusOr<std::optional<std::string>> Get(ColumnFamily family,
                                                 std::string_view key) override {
    return kv_.Get(family, key);
  }
  std::unique_ptr<KvIterator> NewIterator(ColumnFamily family, std::string_view end) override {
    if (family == kFamilyExtent && interrupt_ != nullptr) std::exchange(interrupt_, nullptr)();
    return kv_.NewIterator(family, end);
  }
  absl::Status Write(const KvBatch& batch, KvDurability durability) override {
    return kv_.Write(batch, durability);
  }

 private:
  Kv& kv_;
  std::function<void()> interrupt_;
};

TEST_F(FsContent, ExtentsAreOfTheVersionThatTheyAreSaidToBeOf) {
  const uint64_t file = Make(bucket_, "f")->inode();
  ASSERT_THAT(Write(file, {Inline(0, "first")}), IsOk());
  wire::GetExtentsRequest request;
  request.set_inode(file);
  request.set_version(Get(file)->version());
  wire::StatRequest stat;
  stat.set_path("default/f");

  const auto change = [&] { EXPECT_THAT(Write(file, {Inline(0, "other")}), IsOk()); };
  InterruptedKv changed_in_stat(kv_, change);
  const auto stated = MetaStore(changed_in_stat).Answer(stat);
  ASSERT_THAT(stated, IsOk());
  EXPECT_EQ(stated->entry().version(), request.version());
  EXPECT_TRUE(stated->more_extents());
  EXPECT_TRUE(stated->extents().empty());
  EXPECT_THAT(MetaStore(kv_).Answer(request), Fails(kNotFound, "replaced"));

  request.set_version(Get(file)->version());
  InterruptedKv changed(kv_, change);
  EXPECT_THAT(MetaStore(changed).Answer(request), Fails(kNotFound, "replaced"));

  request.set_version(Get(file)->version());
  InterruptedKv removed(kv_, [&] {
    EXPECT_THAT(UnlinkAt(bucket_, "f"), IsOk());
    Settle();  // as long as it has no name and is not cleaned up it has its content
  });
  EXPECT_THAT(MetaStore(removed).Answer(request), Fails(kNotFound, "replaced"));
}

TEST_F(FsContent, WhatIsBeingRemovedPieceByPieceHasNoExtents) {
  const uint64_t file = Make(bucket_, "f")->inode();
  std::vector<wire::ExtentRun> pieces;
  for (uint64_t i = 0; i < 40; ++i) pieces.push_back(Inline(2 * i, "x"));
  ASSERT_THAT(Write(file, std::move(pieces)), IsOk());
  wire::GetExtentsRequest request;
  request.set_inode(file);
  request.set_version(Get(file)->version());
  ASSERT_THAT(MetaStore(kv_).Answer(request), IsOk());

  // A command that does not get to its end.
  Transaction txn(kv_);
  ASSERT_THAT(QueueTree(txn, InodeId(file), CountedFiles::kYes), IsOk());
  disk::RunCleanup run;
  run.set_max_items(10);
  const disk::Command command;
  ASSERT_THAT(RunCleanup(txn, run, CommandFacts(command)), IsOk());
  ASSERT_EQ(CountExtents(txn, InodeId(file))->extents, 69u);
  ASSERT_THAT(kv_.Write(txn.TakeBatch(), KvDurability::kSynced), IsOk());
  EXPECT_THAT(MetaStore(kv_).Answer(request), Fails(kNotFound, "replaced"));
}

TEST_F(FsContent, ExtentsThatMakeNoSenseAreRefused) {
  const uint64_t file = Make(bucket_, "file")->inode();
  const auto lease = BeginWrites(file);
  const uint64_t first = lease.stripes().first();
  const auto refused = [&](wire::ExtentRun run, uint64_t under) {
    return !Write(file, {std::move(run)}, under).ok();
  };
  EXPECT_TRUE(refused(Hole(0, 0), 0));
  EXPECT_TRUE(refused(Inline(0, std::string(kInlineExtentBytesMax + 1, 'x')), 0));
  wire::ExtentRun longer = Inline(0, "abc");
  longer.set_length_bytes(4);
  EXPECT_TRUE(refused(longer, 0));
  EXPECT_TRUE(refused(Hole(UINT64_MAX - 10, 100), 0));
  EXPECT_THAT(Write(file, {StripesOf(0, 100, first)}), Fails(kAborted, "lease"));
  EXPECT_TRUE(refused(StripesOf(0, 100, first + lease.stripes().count()), lease.lease()));
  wire::ExtentRun part = StripesOf(0, 100, first);
  part.set_run_bytes(200);
  EXPECT_TRUE(refused(part, lease.lease()));
  ASSERT_THAT(Write(file, {StripesOf(0, 100, first)}, lease.lease()), IsOk());
  EXPECT_THAT(Write(file, {StripesOf(500, 100, first)}, lease.lease()),
              Fails(kInvalid, "used already"));
  EXPECT_TRUE(!Write(file, {Inline(10, "aaaa"), Inline(12, "bb")}).ok());
  EXPECT_EQ(Get(file)->size_bytes(), 100u);
}

TEST_F(FsContent, RewriteOfAnotherContentIsRefused) {
  const uint64_t file = Make(bucket_, "file")->inode();
  ASSERT_THAT(Write(file, {Inline(0, "one")}), IsOk());
  const uint64_t version = Get(file)->version();
  wire::WriteExtentsRequest rewrite;
  rewrite.mutable_node()->set_inode(file);
  rewrite.set_rewrites_version(version);
  const auto lease = BeginWrites(file);
  rewrite.set_lease(lease.lease());
  *rewrite.add_extents() = StripesOf(0, 3, lease.stripes().first());
  ASSERT_THAT(Do(rewrite), IsOk());
  EXPECT_EQ(Get(file)->version(), version);
  EXPECT_EQ(Get(file)->inline_bytes(), 0u);
  ASSERT_THAT(Write(file, {Inline(0, "two")}), IsOk());
  rewrite.mutable_extents(0)->set_first_stripe(lease.stripes().first() + 1);
  EXPECT_THAT(Do(rewrite), Fails(kAborted, "another content"));
}

TEST_F(FsContent, QuotaHoldsForGrowth) {
  wire::SetBucketRequest set;
  set.set_name("default");
  set.set_keep_redundancy(true);
  set.set_quota_bytes(1000);
  ASSERT_THAT(Do(set), IsOk());
  const uint64_t file = Make(bucket_, "file")->inode();
  ASSERT_THAT(Write(file, {Inline(0, std::string(900, 'x'))}), IsOk());
  EXPECT_EQ(ErrnoOfResult(Write(file, {Inline(900, std::string(200, 'x'))})), EDQUOT);
  EXPECT_EQ(ErrnoOfResult(Truncate(file, 1001)), EDQUOT);
  ASSERT_THAT(Write(file, {Inline(0, std::string(900, 'y'))}), IsOk());
  ASSERT_THAT(Truncate(file, 10), IsOk());
  ASSERT_THAT(Write(file, {Inline(10, std::string(200, 'x'))}), IsOk());
}

TEST_F(FsContent, BufferedMutationsAreLostWithThePowerUntilSynced) {
  buffered_ = true;
  const uint64_t kept = Make(bucket_, "kept")->inode();
  ASSERT_THAT(Write(kept, {Inline(0, "fsynced")}), IsOk());
  ASSERT_THAT(Sync(), IsOk());
  EXPECT_EQ(kv_.unsynced_batches(), 0u);
  ASSERT_THAT(Make(bucket_, "lost"), IsOk());
  EXPECT_GT(kv_.unsynced_batches(), 0u);
  const uint64_t last = Lookup(bucket_, "lost")->inode();
  kv_.Crash(0);
  StopEngine();
  kv_.PowerOn();
  Restart();
  EXPECT_EQ(Lookup(bucket_, "kept")->inode(), kept);
  EXPECT_EQ(Extents(kept)[0].data(), "fsynced");
  // Whether it survived or not, its number is not given to another.
  buffered_ = false;
  EXPECT_GT(Make(bucket_, "next")->inode(), last);
}

TEST_F(FsContent, WhatIsNotBufferedMakesDurableWhatWasBefore) {
  buffered_ = true;
  ASSERT_THAT(Make(bucket_, "first"), IsOk());
  ASSERT_THAT(MakeDirectory("default/dir"), IsOk());
  EXPECT_EQ(kv_.unsynced_batches(), 0u);
  ASSERT_THAT(Make(bucket_, "second"), IsOk());
  // Answers by what is there already: and that is durable with the answer.
  ASSERT_THAT(MakeDirectory("default/dir"), IsOk());
  EXPECT_EQ(kv_.unsynced_batches(), 0u);
}

TEST_F(FsContent, BufferedMutationsAreDurableSoonByThemselves) {
  buffered_ = true;
  ASSERT_THAT(Make(bucket_, "file"), IsOk());
  executor_.RunFor(absl::Seconds(1));
  EXPECT_EQ(kv_.unsynced_batches(), 0u);
}

TEST_F(FsContent, ExpiredLeaseTakesNoMoreExtents) {
  const uint64_t file = Make(bucket_, "file")->inode();
  const auto lease = BeginWrites(file);
  executor_.RunFor(options_.lease_ttl * 2);
  EXPECT_THAT(Write(file, {StripesOf(0, 100, lease.stripes().first())}, lease.lease()),
              Fails(kAborted, "lease"));
}

TEST_F(FsContent, WritingTakesPrivilegesAway) {
  const uint64_t file = Make(bucket_, "file", wire::ENTRY_FILE, 06755)->inode();
  wire::SetAttributesRequest chown;
  chown.mutable_node()->set_inode(file);
  chown.set_uid(9);
  EXPECT_EQ(Do(chown)->attributes().mode(), 0755u);
}

TEST_F(FsContent, ExtendedAttributesFollowTheirModes) {
  const uint64_t file = Make(bucket_, "file")->inode();
  const auto set = [&](wire::XattrMode mode, const std::string& value, bool remove = false) {
    wire::SetXattrRequest request;
    request.mutable_node()->set_inode(file);
    request.set_name("user.x");
    request.set_value(value);
    request.set_mode(mode);
    request.set_remove(remove);
    return ErrnoOfResult(Do(request));
  };
  EXPECT_EQ(set(wire::XATTR_MUST_EXIST, "a"), ENODATA);
  EXPECT_EQ(set(wire::XATTR_MUST_NOT_EXIST, "a"), 0);
  EXPECT_EQ(set(wire::XATTR_MUST_NOT_EXIST, "b"), EEXIST);
  EXPECT_EQ(set(wire::XATTR_MAY_EXIST, std::string(40'000, 'x')), E2BIG);
  wire::GetXattrsRequest get;
  get.set_inode(file);
  EXPECT_EQ(Ask(get)->xattrs().at("user.x"), "a");
  EXPECT_EQ(set(wire::XATTR_MAY_EXIST, "", true), 0);
  EXPECT_EQ(set(wire::XATTR_MAY_EXIST, "", true), ENODATA);
}

TEST_F(FsContent, FileWrittenWholeIsChangedInPlaceFromTheFirstChangeOn) {
  ASSERT_THAT(PutFile("default/file", 200'000), IsOk());
  const auto before = Stat("default/file");
  EXPECT_FALSE(before->entry().changed_in_place());
  const uint64_t file = before->entry().inode();
  ASSERT_THAT(Write(file, {Inline(100, "abc")}), IsOk());
  const auto after = Stat("default/file");
  EXPECT_TRUE(after->entry().changed_in_place());
  EXPECT_EQ(after->entry().inode(), file);
  EXPECT_NE(after->entry().version(), before->entry().version());
  ASSERT_EQ(after->extents_size(), 3);
  EXPECT_EQ(after->extents(2).skip_bytes(), 103u);
  EXPECT_EQ(after->extents(2).run_bytes(), 200'000u);
}

}  // namespace
}  // namespace cairn
