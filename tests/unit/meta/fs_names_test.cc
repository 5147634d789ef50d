// Names by inode: each of POSIX's rules for making, linking, removing and renaming, what
// directories are said to hold meanwhile, and checkpoints as file systems see them.
#include "server/meta/fs_names.h"

#include "server/meta/move.h"
#include "tests/unit/meta/fs_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using FsNames = FsTest;

TEST_F(FsNames, MadeNodeIsFoundWithItsAttributes) {
  const auto made = Make(bucket_, "file", wire::ENTRY_FILE, 04750);
  ASSERT_THAT(made, IsOk());
  const auto found = Lookup(bucket_, "file");
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->inode(), made->inode());
  EXPECT_EQ(found->type(), wire::ENTRY_FILE);
  EXPECT_EQ(found->mode(), 04750u);
  EXPECT_EQ(found->uid(), 7u);
  EXPECT_EQ(found->gid(), 8u);
  EXPECT_EQ(found->links(), 1u);
  EXPECT_EQ(found->size_bytes(), 0u);
  EXPECT_FALSE(found->fixed());
  EXPECT_EQ(Stat("default/file")->entry().inode(), made->inode());
}

TEST_F(FsNames, NamesAreRefusedWithTheErrorsOfPosix) {
  const uint64_t dir = MakeDir(bucket_, "dir");
  const uint64_t file = Make(bucket_, "file")->inode();
  EXPECT_EQ(ErrnoOfResult(Make(bucket_, "file")), EEXIST);
  EXPECT_EQ(ErrnoOfResult(Make(bucket_, "dir")), EEXIST);
  EXPECT_EQ(ErrnoOfResult(Make(file, "below")), ENOTDIR);
  EXPECT_EQ(ErrnoOfResult(Make(999'999, "x")), ESTALE);
  EXPECT_EQ(ErrnoOfResult(Make(bucket_, std::string(256, 'x'))), ENAMETOOLONG);
  EXPECT_EQ(ErrnoOfResult(Make(bucket_, "a/b")), EINVAL);
  EXPECT_EQ(ErrnoOfResult(Make(bucket_, "caf\xe9")), EILSEQ);
  EXPECT_EQ(ErrnoOfResult(Lookup(bucket_, "none")), ENOENT);
  EXPECT_EQ(ErrnoOfResult(UnlinkAt(bucket_, "none")), ENOENT);
  EXPECT_EQ(ErrnoOfResult(UnlinkAt(bucket_, "dir")), EISDIR);
  EXPECT_EQ(ErrnoOfResult(UnlinkAt(bucket_, "file", true)), ENOTDIR);
  ASSERT_THAT(Make(dir, "below"), IsOk());
  EXPECT_EQ(ErrnoOfResult(UnlinkAt(bucket_, "dir", true)), ENOTEMPTY);
}

TEST_F(FsNames, OnlyBucketsLieAtTheTop) {
  EXPECT_EQ(ErrnoOfResult(Make(1, "file")), EPERM);
  ASSERT_THAT(Make(1, "second", wire::ENTRY_DIRECTORY), IsOk());
  EXPECT_THAT(BeginFile("second/x"), IsOk());
  EXPECT_EQ(ErrnoOfResult(Move(1, "second", bucket_, "inside")), EPERM);
}

TEST_F(FsNames, DirectoryHandsOnItsGroup) {
  const auto dir = Make(bucket_, "shared", wire::ENTRY_DIRECTORY, 02775);
  ASSERT_THAT(dir, IsOk());
  wire::SetAttributesRequest chown;
  chown.mutable_node()->set_inode(dir->inode());
  chown.set_gid(500);
  chown.set_mode(02775);
  ASSERT_THAT(Do(chown), IsOk());
  EXPECT_EQ(Make(dir->inode(), "file")->gid(), 500u);
  const auto below = Make(dir->inode(), "below", wire::ENTRY_DIRECTORY, 0755);
  EXPECT_EQ(below->gid(), 500u);
  EXPECT_EQ(below->mode(), 02755u);
}

TEST_F(FsNames, DirectoriesCountThoseInThem) {
  const uint64_t a = MakeDir(bucket_, "a"), b = MakeDir(bucket_, "b");
  EXPECT_EQ(Get(a)->links(), 2u);
  MakeDir(a, "x");
  EXPECT_EQ(Get(a)->links(), 3u);
  ASSERT_THAT(Move(a, "x", b, "x"), IsOk());
  EXPECT_EQ(Get(a)->links(), 2u);
  EXPECT_EQ(Get(b)->links(), 3u);
  ASSERT_THAT(UnlinkAt(b, "x", true), IsOk());
  EXPECT_EQ(Get(b)->links(), 2u);
}

TEST_F(FsNames, FileOfTwoNamesCountsOnceAndStaysUntilBothAreGone) {
  const uint64_t a = MakeDir(bucket_, "a"), b = MakeDir(bucket_, "b");
  const uint64_t file = Make(a, "one")->inode();
  ASSERT_THAT(Write(file, {Inline(0, "12345")}), IsOk());
  ASSERT_THAT(LinkTo(file, b, "two"), IsOk());
  EXPECT_EQ(Get(file)->links(), 2u);
  const auto size_of = [&](const std::string& path) {
    wire::GetUsageRequest request;
    request.set_path(path);
    return Ask(request)->size_bytes();
  };
  EXPECT_EQ(size_of("default/a"), 5u);
  EXPECT_EQ(size_of("default/b"), 0u);
  EXPECT_EQ(size_of("default"), 5u);
  ASSERT_THAT(UnlinkAt(a, "one"), IsOk());
  EXPECT_EQ(size_of("default/a"), 0u);
  EXPECT_EQ(size_of("default/b"), 5u);
  EXPECT_EQ(Lookup(b, "two")->links(), 1u);
  EXPECT_EQ(Counters().files, 1u);
  ASSERT_THAT(UnlinkAt(b, "two"), IsOk());
  Settle();
  EXPECT_EQ(size_of("default"), 0u);
  EXPECT_EQ(Counters().files, 0u);
  EXPECT_EQ(FamilySize(kFamilyLink), 0u);
}

TEST_F(FsNames, RemovedTreeKeepsAFileThatHasANameElsewhere) {
  const uint64_t tree = MakeDir(bucket_, "tree");
  const uint64_t file = Make(tree, "in")->inode();
  ASSERT_THAT(LinkTo(file, bucket_, "out"), IsOk());
  ASSERT_THAT(Remove("default/tree", true), IsOk());
  Settle();
  const auto left = Lookup(bucket_, "out");
  ASSERT_THAT(left, IsOk());
  EXPECT_EQ(left->links(), 1u);
  EXPECT_EQ(Counters().files, 1u);
  Restart();  // a recount finds nothing to mend
  wire::GetUsageRequest request;
  request.set_path("default");
  EXPECT_EQ(Ask(request)->files(), 1u);
}

TEST_F(FsNames, RenameFollowsPosix) {
  const uint64_t a = MakeDir(bucket_, "a"), b = MakeDir(bucket_, "b");
  const uint64_t file = Make(a, "file")->inode();
  ASSERT_THAT(Make(b, "other"), IsOk());
  const uint64_t below = MakeDir(a, "below");
  EXPECT_EQ(ErrnoOfResult(Move(a, "none", b, "x")), ENOENT);
  EXPECT_EQ(ErrnoOfResult(Move(a, "below", b, "other")), ENOTDIR);
  EXPECT_EQ(ErrnoOfResult(Move(b, "other", a, "below")), EISDIR);
  EXPECT_EQ(ErrnoOfResult(Move(bucket_, "a", below, "a")), EINVAL);
  EXPECT_EQ(ErrnoOfResult(Move(bucket_, "b", bucket_, "a")), ENOTEMPTY);
  EXPECT_EQ(ErrnoOfResult(Move(a, "file", b, "other", wire::NODE_RENAME_NO_REPLACE)), EEXIST);
  const auto moved = Move(a, "file", b, "other");
  ASSERT_THAT(moved, IsOk());
  EXPECT_NE(moved->replaced(), 0u);
  EXPECT_EQ(Lookup(b, "other")->inode(), file);
  EXPECT_THAT(ReadDir(a), ElementsAre("below"));
  // Two names of one file: nothing happens.
  ASSERT_THAT(LinkTo(file, a, "again"), IsOk());
  ASSERT_THAT(Move(a, "again", b, "other"), IsOk());
  EXPECT_THAT(ReadDir(a), ElementsAre("again", "below"));
}

TEST_F(FsNames, ExchangeSwapsAFileAndADirectory) {
  const uint64_t a = MakeDir(bucket_, "a");
  const uint64_t file = Make(bucket_, "x")->inode();
  const uint64_t dir = MakeDir(a, "y");
  ASSERT_THAT(Make(dir, "inside"), IsOk());
  EXPECT_EQ(ErrnoOfResult(Move(bucket_, "x", a, "none", wire::NODE_RENAME_EXCHANGE)), ENOENT);
  EXPECT_EQ(ErrnoOfResult(Move(bucket_, "x", bucket_, "a", wire::NODE_RENAME_EXCHANGE)), 0);
  EXPECT_EQ(Lookup(bucket_, "a")->inode(), file);
  EXPECT_EQ(Lookup(bucket_, "x")->inode(), a);
  ASSERT_THAT(Move(bucket_, "a", a, "y", wire::NODE_RENAME_EXCHANGE), IsOk());
  EXPECT_EQ(Lookup(bucket_, "a")->inode(), dir);
  EXPECT_EQ(Lookup(a, "y")->inode(), file);
  EXPECT_THAT(ReadDir(dir), ElementsAre("inside"));
  EXPECT_EQ(Stat("default/a/inside")->entry().type(), wire::ENTRY_FILE);
  // A directory and one above it cannot change places.
  EXPECT_EQ(ErrnoOfResult(Move(bucket_, "x", dir, "inside", wire::NODE_RENAME_EXCHANGE)), 0);
  EXPECT_EQ(ErrnoOfResult(Move(bucket_, "a", dir, "inside", wire::NODE_RENAME_EXCHANGE)), EINVAL);
}

TEST_F(FsNames, ListingGoesOnFromAnyPage) {
  const uint64_t dir = MakeDir(bucket_, "dir");
  std::vector<std::string> all;
  for (int i = 100; i < 150; ++i) {
    all.push_back("n" + std::to_string(i));
    if (i % 3 == 0) {
      MakeDir(dir, all.back());
    } else {
      ASSERT_THAT(Make(dir, all.back()), IsOk());
    }
  }
  EXPECT_EQ(ReadDir(dir, 7), all);
  EXPECT_EQ(ReadDir(dir), all);
}

TEST_F(FsNames, SavedCheckpointIsFixedAndLatestLeadsToIt) {
  ASSERT_THAT(Save("default/run/step-1"), IsOk());
  const uint64_t run = Lookup(bucket_, "run")->inode();
  const auto checkpoint = Lookup(run, "step-1");
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_TRUE(checkpoint->fixed());
  const auto shard = Lookup(checkpoint->inode(), "shard");
  EXPECT_TRUE(shard->fixed());
  EXPECT_EQ(ErrnoOfResult(Write(shard->inode(), {Inline(0, "x")})), EROFS);
  EXPECT_EQ(ErrnoOfResult(Truncate(shard->inode(), 0)), EROFS);
  EXPECT_EQ(ErrnoOfResult(Make(checkpoint->inode(), "new")), EROFS);
  EXPECT_EQ(ErrnoOfResult(UnlinkAt(checkpoint->inode(), "shard")), EROFS);
  EXPECT_EQ(ErrnoOfResult(LinkTo(shard->inode(), run, "alias")), EROFS);
  EXPECT_THAT(ReadDir(run), ElementsAre("step-1", "latest"));
  const auto latest = Lookup(run, "latest");
  ASSERT_THAT(latest, IsOk());
  EXPECT_EQ(latest->type(), wire::ENTRY_SYMLINK);
  EXPECT_EQ(latest->symlink_target(), "step-1");
  EXPECT_EQ(Get(latest->inode())->symlink_target(), "step-1");
  ASSERT_THAT(UnlinkAt(run, "step-1", true), IsOk());
  EXPECT_THAT(ReadDir(run), IsEmpty());
  EXPECT_EQ(ErrnoOfResult(Get(latest->inode())), ESTALE);
}

TEST_F(FsNames, DirectoryRenamedFromATemporaryNameIsACheckpoint) {
  const uint64_t run = MakeDir(bucket_, "run");
  const uint64_t temporary = MakeDir(run, ".step-7.tmp");
  const uint64_t sub = MakeDir(temporary, "sub");
  const uint64_t file = Make(sub, "weights")->inode();
  ASSERT_THAT(Write(file, {Inline(0, "abc")}), IsOk());
  const auto moved = Move(run, ".step-7.tmp", run, "step-7");
  ASSERT_THAT(moved, IsOk());
  EXPECT_TRUE(moved->made_checkpoint());
  EXPECT_THAT(*Checkpoints("default/run"), ElementsAre("default/run/step-7"));
  EXPECT_EQ(Latest("default/run")->step(), 7u);
  EXPECT_EQ(Latest("default/run")->shard_count(), 1u);
  EXPECT_EQ(Latest("default/run")->size_bytes(), 3u);
  EXPECT_EQ(ErrnoOfResult(Write(file, {Inline(0, "x")})), EROFS);
  EXPECT_EQ(ErrnoOfResult(Make(sub, "new")), EROFS);
  EXPECT_EQ(Counters().checkpoints, 1u);
  ASSERT_THAT(Remove("default/run/step-7"), IsOk());
  Settle();
  EXPECT_EQ(Counters().checkpoints, 0u);
  EXPECT_EQ(Counters().files, 0u);
  wire::GetUsageRequest usage;
  usage.set_path("default");
  EXPECT_EQ(Ask(usage)->size_bytes(), 0u);
}

TEST_F(FsNames, OtherDirectoriesStayDirectories) {
  const uint64_t run = MakeDir(bucket_, "run");
  const auto stays = [&](const std::string& from, const std::string& to) {
    const uint64_t dir = MakeDir(run, from);
    EXPECT_THAT(Make(dir, "file"), IsOk());
    const auto moved = Move(run, from, run, to);
    return moved.ok() && !moved->made_checkpoint();
  };
  EXPECT_TRUE(stays("step-1", "step-2"));
  EXPECT_TRUE(stays(".lodash-aBc", "lodash"));
  EXPECT_TRUE(stays(".pkg.tmp", "pkg-3"));
  const uint64_t empty = MakeDir(run, ".step-9");
  EXPECT_NE(empty, 0u);
  EXPECT_FALSE(Move(run, ".step-9", run, "step-9")->made_checkpoint());
  const uint64_t linked = MakeDir(run, ".step-10");
  ASSERT_THAT(LinkTo(Make(linked, "file")->inode(), bucket_, "outside"), IsOk());
  EXPECT_FALSE(Move(run, ".step-10", run, "step-10")->made_checkpoint());
}

TEST(CheckpointNames, AreToldFromOthers) {
  for (const char* name : {"step-100", "step100", "checkpoint_5", "iter_0000100", "global_step7",
                           "epoch=3", "my-ckpt-12"})
    EXPECT_TRUE(IsCheckpointName(name)) << name;
  for (const char* name : {"7", "pkg-3", "step", "footstep7", "md5", ""})
    EXPECT_FALSE(IsCheckpointName(name)) << name;
  for (const char* name : {".x", "_x", "x.tmp", "x-tmp", "x.partial"})
    EXPECT_TRUE(IsTemporaryName(name)) << name;
  for (const char* name : {"x", "", "tmp", "step-1"}) EXPECT_FALSE(IsTemporaryName(name)) << name;
}

TEST_F(FsNames, FileThatIsOpenOutlivesItsName) {
  Renew();
  const uint64_t file = Make(bucket_, "file")->inode();
  ASSERT_THAT(Write(file, {Inline(0, "content")}), IsOk());
  ASSERT_THAT(OpenIt(file, bucket_, "file"), IsOk());
  ASSERT_THAT(Remove("default/file"), IsOk());
  executor_.RunFor(absl::Seconds(10));
  Renew();
  const auto open = Get(file);
  ASSERT_THAT(open, IsOk());
  EXPECT_EQ(open->links(), 0u);
  EXPECT_EQ(Counters().files, 0u);
  ASSERT_THAT(Write(file, {Inline(7, "!")}), IsOk());
  EXPECT_EQ(Extents(file).size(), 1u);
  EXPECT_EQ(ErrnoOfResult(LinkTo(file, bucket_, "back")), ENOENT);
  Renew({file});
  executor_.RunFor(absl::Seconds(10));
  EXPECT_EQ(ErrnoOfResult(Get(file)), ESTALE);
  EXPECT_EQ(FamilySize(kFamilyExtent), 0u);
  EXPECT_EQ(FamilySize(kFamilyLink), 0u);
}

TEST_F(FsNames, FileOfAMountThatIsSilentGoes) {
  Renew();
  const uint64_t file = Make(bucket_, "file")->inode();
  ASSERT_THAT(OpenIt(file, bucket_, "file"), IsOk());
  ASSERT_THAT(UnlinkAt(bucket_, "file"), IsOk());
  executor_.RunFor(MountTable::kTtl / 2);
  EXPECT_THAT(Get(file), IsOk());
  executor_.RunFor(MountTable::kTtl * 2);
  EXPECT_EQ(ErrnoOfResult(Get(file)), ESTALE);
}

TEST_F(FsNames, OpenTellsANameThatLeadsElsewhere) {
  Renew();
  const uint64_t old = Make(bucket_, "name")->inode();
  ASSERT_THAT(Make(bucket_, "new"), IsOk());
  ASSERT_THAT(Move(bucket_, "new", bucket_, "name"), IsOk());
  EXPECT_EQ(ErrnoOfResult(OpenIt(old, bucket_, "name")), ESTALE);
}

}  // namespace
}  // namespace cairn
