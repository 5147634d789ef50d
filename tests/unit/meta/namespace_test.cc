// The tree of names through the engine: making, listing, removing, renaming, and every name that is
// refused.
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class NamespaceTest : public MetaTest {};

TEST_F(NamespaceTest, ANewClusterHasOneBucket) { EXPECT_THAT(*List(""), ElementsAre("default")); }

TEST_F(NamespaceTest, UnknownBucketSaysHowToMakeIt) {
  const auto says_how =
      Fails(kNotFound, "there is no bucket \"nope\"; make it with: cairn mkdir nope");
  EXPECT_THAT(BeginFile("nope/file"), says_how);
  EXPECT_THAT(Begin("nope/run/step-1"), says_how);
  EXPECT_THAT(Stat("nope/x"), says_how);
  EXPECT_THAT(Stat("nope"), says_how);
  EXPECT_THAT(List("nope"), says_how);
  EXPECT_THAT(MakeDirectory("nope/dir"), says_how);
  EXPECT_THAT(Remove("nope/x"), says_how);
}

TEST_F(NamespaceTest, MakesBucketsAndDirectories) {
  EXPECT_THAT(MakeDirectory("b"), IsOk());
  EXPECT_THAT(MakeDirectory("b"), IsOk());
  EXPECT_THAT(MakeDirectory("b/x/y"), Fails(kNotFound, "there is no \"b/x\""));
  EXPECT_THAT(MakeDirectory("b/x/y", true), IsOk());
  EXPECT_THAT(MakeDirectory("b/x"), IsOk());
  EXPECT_THAT(MakeDirectory("c/x/y", true), IsOk());
  EXPECT_THAT(*List(""), ElementsAre("b", "c", "default"));
  EXPECT_THAT(*List("b"), ElementsAre("x"));
  EXPECT_EQ(Stat("b/x/y")->entry().type(), wire::ENTRY_DIRECTORY);
}

TEST_F(NamespaceTest, RefusesBadPathsEverywhere) {
  for (const std::string bad :
       {"", "/default", "default/", "default//x", "default/../x", "default/./x"}) {
    EXPECT_THAT(BeginFile(bad), Fails(kInvalid, ""));
    EXPECT_THAT(Begin(bad), Fails(kInvalid, ""));
    EXPECT_THAT(MakeDirectory(bad), Fails(kInvalid, ""));
    EXPECT_THAT(Remove(bad), Fails(kInvalid, ""));
    EXPECT_THAT(Rename(bad, "default/x"), Fails(kInvalid, ""));
    if (!bad.empty()) {
      EXPECT_THAT(Stat(bad), Fails(kInvalid, ""));
    }
    if (!bad.empty()) {
      EXPECT_THAT(List(bad), Fails(kInvalid, ""));
    }
    EXPECT_THAT(Show(bad), Fails(kInvalid, ""));
  }
  const std::string with_nul("default/a\0b", 11);
  EXPECT_THAT(BeginFile(with_nul), Fails(kInvalid, "NUL"));
  EXPECT_THAT(Begin("default/" + std::string(256, 'x')), Fails(kInvalid, "256 bytes"));
  EXPECT_THAT(Begin("default/" + std::string(5000, 'x')), Fails(kInvalid, "at most 4096"));
  ASSERT_THAT(PutFile("default/x"), IsOk());
  EXPECT_THAT(Rename("default/x", "default//y"), Fails(kInvalid, "//"));
}

TEST_F(NamespaceTest, FilesAndCheckpointsLieInBuckets) {
  EXPECT_THAT(BeginFile("default"), Fails(kInvalid, "names a bucket"));
  EXPECT_THAT(Begin("default"), Fails(kInvalid, "names a bucket"));
}

TEST_F(NamespaceTest, ListsInTheByteOrderOfS3) {
  // As keys these are "a", "a-b", "a.d/", "a/", "a0": a directory sorts as its name with a slash.
  for (const std::string file : {"default/a0", "default/a-b"}) ASSERT_THAT(PutFile(file), IsOk());
  for (const std::string dir : {"default/a", "default/a.d"})
    ASSERT_THAT(MakeDirectory(dir), IsOk());
  const auto expected = ElementsAre("a-b", "a.d", "a", "a0");
  EXPECT_THAT(*List("default"), expected);
  for (uint32_t limit = 1; limit < 5; ++limit)
    EXPECT_THAT(*List("default", limit), expected) << limit;
}

TEST_F(NamespaceTest, NamesOfFilesAndDirectoriesCollide) {
  ASSERT_THAT(PutFile("default/f"), IsOk());
  ASSERT_THAT(MakeDirectory("default/d"), IsOk());
  EXPECT_THAT(MakeDirectory("default/f"), Fails(kExists, "it is a file"));
  EXPECT_THAT(BeginFile("default/d"), Fails(kExists, "is a directory"));
  EXPECT_THAT(BeginFile("default/f/x"),
              Fails(kPrecondition, "\"default/f\" is a file, not a directory"));
  EXPECT_THAT(Stat("default/f/x"), Fails(kPrecondition, "not a directory"));
  EXPECT_THAT(List("default/f"), Fails(kPrecondition, "not a directory"));
}

TEST_F(NamespaceTest, RemovesFilesAndEmptyDirectories) {
  ASSERT_THAT(PutFile("default/d/f"), IsOk());
  EXPECT_THAT(Remove("default/d"), Fails(kPrecondition, "not empty (\"f\" is in it)"));
  EXPECT_THAT(Remove("default/d/f"), IsOk());
  EXPECT_THAT(Remove("default/d/f"), Fails(kNotFound, "there is no \"default/d/f\""));
  EXPECT_THAT(Remove("default/d"), IsOk());
  EXPECT_THAT(*List("default"), IsEmpty());
  EXPECT_THAT(Remove("default"), IsOk());
  EXPECT_THAT(*List(""), IsEmpty());
}

TEST_F(NamespaceTest, RecursiveRemovalIsVisibleAtOnceAndFreesAllLater) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_THAT(PutFile(StrCat("default/top/", i % 5, "/", i), 5 << 20), IsOk());
  }
  ASSERT_THAT(Save("default/top/run/step-1"), IsOk());
  ASSERT_THAT(Begin("default/top/run/step-2"), IsOk());
  EXPECT_EQ(Counters().files, 51u);
  ASSERT_THAT(Remove("default/top", true), IsOk());
  EXPECT_THAT(Stat("default/top/0/0"), Fails(kNotFound, "there is no \"default/top\""));
  Settle();
  const MetaCounters counters = Counters();
  EXPECT_EQ(counters.files, 0u);
  EXPECT_EQ(counters.checkpoints, 0u);
  EXPECT_EQ(counters.open_attempts, 0u);
  EXPECT_EQ(counters.cleanup_backlog, 0u);
  // The root and the bucket are left.
  EXPECT_EQ(kv_.family(kFamilyInode).size(), 2u);
  for (const auto family : {kFamilyExtent, kFamilyStripeRun, kFamilyCheckpoint, kFamilyAttempt,
                            kFamilyAttemptRank, kFamilyLease, kFamilyCleanup}) {
    EXPECT_THAT(kv_.family(family), IsEmpty()) << family;
  }
}

TEST_F(NamespaceTest, RenamesFilesOverFiles) {
  ASSERT_THAT(PutFile("default/a", 10), IsOk());
  ASSERT_THAT(PutFile("default/b", 20), IsOk());
  EXPECT_THAT(Rename("default/a", "default/b", true), Fails(kExists, "is a file that exists"));
  EXPECT_THAT(Rename("default/a", "default/b"), IsOk());
  EXPECT_THAT(*List("default"), ElementsAre("b"));
  EXPECT_EQ(Stat("default/b")->entry().size_bytes(), 10u);
  Settle();
  EXPECT_EQ(Counters().files, 1u);
}

TEST_F(NamespaceTest, RenamesDirectoriesWithAllBelow) {
  ASSERT_THAT(PutFile("default/d/sub/f"), IsOk());
  ASSERT_THAT(MakeDirectory("default/empty"), IsOk());
  ASSERT_THAT(PutFile("default/full/f"), IsOk());
  EXPECT_THAT(Rename("default/d", "default/full"), Fails(kPrecondition, "not empty"));
  EXPECT_THAT(Rename("default/d", "default/full/f"),
              Fails(kExists, "a directory cannot replace it"));
  EXPECT_THAT(Rename("default/full/f", "default/empty"),
              Fails(kExists, "a file cannot replace it"));
  EXPECT_THAT(Rename("default/d", "default/d/sub/d"),
              Fails(kInvalid, "cannot be moved into itself"));
  EXPECT_THAT(Rename("default/d", "default/nowhere/d"),
              Fails(kNotFound, "there is no \"default/nowhere\""));
  EXPECT_THAT(Rename("default/gone", "default/x"),
              Fails(kNotFound, "there is no \"default/gone\""));
  EXPECT_THAT(Rename("default", "other"), Fails(kInvalid, "bucket"));
  EXPECT_THAT(Rename("default/d", "default/d"), IsOk());
  EXPECT_THAT(Rename("default/d", "default/empty"), IsOk());
  EXPECT_THAT(Stat("default/empty/sub/f"), IsOk());
  EXPECT_THAT(Stat("default/d"), Fails(kNotFound, ""));
}

TEST_F(NamespaceTest, CheckpointsMoveAndLatestFollows) {
  ASSERT_THAT(Save("default/run/step-1"), IsOk());
  ASSERT_THAT(Save("default/run/step-2"), IsOk());
  ASSERT_THAT(MakeDirectory("default/best"), IsOk());
  EXPECT_THAT(Rename("default/run/step-2", "default/best/two"), IsOk());
  EXPECT_EQ(Latest("default/run")->path(), "default/run/step-1");
  EXPECT_EQ(Latest("default/best")->path(), "default/best/two");
  EXPECT_EQ(Latest("default/best")->step(), 2u);
  EXPECT_THAT(Rename("default/best/two", "default/run/step-1"), Fails(kExists, "remove it first"));
  // The name is free; its attempts start above the one that is gone.
  EXPECT_EQ(Begin("default/run/step-2")->attempt(), 2u);
  // And at its new name no attempt of the old content is accepted.
  EXPECT_THAT(Begin("default/best/two", {.attempt = 1}), Fails(kPrecondition, "is committed"));
  EXPECT_EQ(Begin("default/best/two")->attempt(), 2u);
}

TEST_F(NamespaceTest, CommittedCheckpointsAreFixed) {
  ASSERT_THAT(Save("default/run/step-1"), IsOk());
  ASSERT_THAT(PutFile("default/f"), IsOk());
  EXPECT_THAT(BeginFile("default/run/step-1/x"),
              Fails(kPrecondition, "its content cannot be changed"));
  EXPECT_THAT(MakeDirectory("default/run/step-1/x"),
              Fails(kPrecondition, "content cannot be changed"));
  EXPECT_THAT(Begin("default/run/step-1/x"), Fails(kPrecondition, "content cannot be changed"));
  EXPECT_THAT(Remove("default/run/step-1/shard"),
              Fails(kPrecondition, "content cannot be changed"));
  EXPECT_THAT(Rename("default/run/step-1/shard", "default/x"),
              Fails(kPrecondition, "content cannot be changed"));
  EXPECT_THAT(Rename("default/f", "default/run/step-1/x"),
              Fails(kPrecondition, "content cannot be changed"));
}

TEST_F(NamespaceTest, ANameBeingWrittenIsTaken) {
  ASSERT_THAT(Begin("default/run/step-1"), IsOk());
  ASSERT_THAT(PutFile("default/f"), IsOk());
  const auto refused = Fails(kPrecondition, "is being written");
  EXPECT_THAT(BeginFile("default/run/step-1"), refused);
  EXPECT_THAT(MakeDirectory("default/run/step-1"), refused);
  EXPECT_THAT(PutFile("default/run/step-1/below"), refused);
  EXPECT_THAT(Rename("default/f", "default/run/step-1"), refused);
  EXPECT_THAT(Remove("default/run"), refused);
}

TEST_F(NamespaceTest, LatestStandsForTheNewestCheckpoint) {
  EXPECT_THAT(MakeDirectory("default/run"), IsOk());
  EXPECT_THAT(Stat("default/run/latest"), Fails(kNotFound, "there is no \"default/run/latest\""));
  ASSERT_THAT(Save("default/run/step-2", 10), IsOk());
  ASSERT_THAT(Save("default/run/step-1", 20), IsOk());
  EXPECT_EQ(Stat("default/run/latest")->entry().type(), wire::ENTRY_CHECKPOINT);
  EXPECT_EQ(Stat("default/run/latest/shard")->entry().size_bytes(), 20u);
  EXPECT_EQ(Show("default/run/latest")->info().path(), "default/run/step-1");
  EXPECT_THAT(*List("default/run/latest"), ElementsAre("shard"));
  EXPECT_THAT(*List("default/run"), ElementsAre("step-1", "step-2"));
  EXPECT_THAT(Remove("default/run/latest"), Fails(kNotFound, ""));
  ASSERT_THAT(Save("default/run/latest", 30), IsOk());
  ASSERT_THAT(Save("default/run/step-3", 40), IsOk());
  EXPECT_EQ(Stat("default/run/latest/shard")->entry().size_bytes(), 30u);
}

TEST_F(NamespaceTest, StatKnowsPosixAttributes) {
  ASSERT_THAT(PutFile("default/f"), IsOk());
  const wire::Entry file = Stat("default/f")->entry();
  EXPECT_EQ(file.name(), "default/f");
  EXPECT_EQ(file.mode(), 0644u);
  EXPECT_EQ(file.links(), 1u);
  EXPECT_EQ(file.modified_at_ns(), absl::ToUnixNanos(executor_.clock().WallNow()));
  EXPECT_EQ(Stat("default")->entry().mode(), 0755u);
  EXPECT_EQ(Stat("")->entry().type(), wire::ENTRY_DIRECTORY);
}

}  // namespace
}  // namespace cairn
