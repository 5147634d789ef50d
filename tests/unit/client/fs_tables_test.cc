// Goal: the tables that a mount keeps of names, locks and readers say what the service would.
// Method: cases by hand; locks against a naive table of bytes, with a seed that is printed.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "client/core/fs_listings.h"
#include "client/core/fs_locks.h"
#include "client/core/fs_names.h"
#include "client/core/fs_readahead.h"
#include "common/base/random.h"

namespace cairn::client_internal {
namespace {

wire::FileLock Lock(uint64_t owner, wire::LockType type, uint64_t begin, uint64_t end) {
  wire::FileLock lock;
  lock.set_inode(9);
  lock.set_owner(owner);
  lock.set_type(type);
  lock.set_begin_bytes(begin);
  lock.set_end_bytes(end);
  return lock;
}

TEST(LockTable, LocksOfAnOwnerReplaceEachOtherByteByByte) {
  const uint64_t seed = SystemRandom().Next() % 1'000'000;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  SeededRandom random(seed);
  LockTable table;
  std::map<std::pair<uint64_t, uint64_t>, wire::LockType> naive;  // owner, byte
  for (int i = 0; i < 2000; ++i) {
    const uint64_t owner = 1 + random.Below(2);
    const auto type = static_cast<wire::LockType>(random.Below(3));
    const uint64_t begin = random.Below(30), end = begin + 1 + random.Below(10);
    table.Apply(Lock(owner, type, begin, end));
    for (uint64_t at = begin; at < end; ++at) {
      if (type == wire::FILE_LOCK_UNLOCK) {
        naive.erase({owner, at});
      } else {
        naive[{owner, at}] = type;
      }
    }
    std::map<std::pair<uint64_t, uint64_t>, wire::LockType> held;
    for (const wire::FileLock& lock : table.All()) {
      for (uint64_t at = lock.begin_bytes(); at < lock.end_bytes(); ++at)
        ASSERT_TRUE(held.emplace(std::pair(lock.owner(), at), lock.type()).second) << "twice";
    }
    ASSERT_EQ(held, naive);
    ASSERT_EQ(table.HoldsAny(9), !naive.empty());
  }
}

TEST(LockTable, KindsOfLocksDoNotTouchEachOther) {
  LockTable table;
  table.Apply(Lock(1, wire::FILE_LOCK_SHARED, 0, 10));
  wire::FileLock flock = Lock(1, wire::FILE_LOCK_UNLOCK, 0, UINT64_MAX);
  flock.set_kind(wire::FILE_LOCK_FLOCK);
  table.Apply(flock);
  EXPECT_TRUE(table.Holds(9, wire::FILE_LOCK_POSIX, 1));
  EXPECT_FALSE(table.Holds(9, wire::FILE_LOCK_FLOCK, 1));
}

TEST(NameHints, PathsAndBucketsAreFoundAlongTheNames) {
  NameHints names;
  names.SetRoot(1, "");
  names.Found(2, 1, "bucket");
  names.Found(3, 2, "dir");
  names.Found(4, 3, "file");
  EXPECT_EQ(names.PathOf(4), "bucket/dir/file");
  EXPECT_EQ(names.BucketOf(4), 2u);
  EXPECT_EQ(names.BucketOf(2), 2u);
  EXPECT_EQ(names.InodeAt(3, "file"), 4u);
  EXPECT_EQ(names.Refer(4).parent(), 3u);
  names.Forget(3);
  EXPECT_EQ(names.PathOf(4), std::nullopt);
  EXPECT_EQ(names.BucketOf(4), std::nullopt);
  EXPECT_EQ(names.Refer(77).parent(), 0u);
}

TEST(NameHints, BelowADirectoryAllIsOfOneBucket) {
  NameHints names;
  names.SetRoot(5, "bucket/run");
  names.Found(6, 5, "a");
  EXPECT_EQ(names.PathOf(6), "bucket/run/a");
  EXPECT_EQ(names.PathOf(5), "bucket/run");
  EXPECT_EQ(names.BucketOf(6), 5u);
  EXPECT_EQ(names.BucketOf(999), 5u);
}

TEST(NameHints, ANameLeadsToTheLastThatHadItAndNowhereWhenItIsGone) {
  NameHints names;
  names.SetRoot(1, "");
  names.Found(2, 1, "a");
  names.Found(3, 1, "a");
  EXPECT_EQ(names.Refer(2).parent(), 0u) << "another has its name";
  names.Gone(1, "a");
  EXPECT_EQ(names.InodeAt(1, "a"), std::nullopt);
  EXPECT_EQ(names.size(), 0u);
}

TEST(NameHints, AnInodeIsReferredToByTheNameFoundLastAndItsOthersAreKnownToo) {
  NameHints names;
  names.SetRoot(1, "");
  names.Found(3, 1, "a");
  names.Found(3, 2, "b");
  EXPECT_EQ(names.Refer(3).name(), "b");
  EXPECT_EQ(names.InodeAt(1, "a"), 3u);
  names.Found(3, 1, "a");
  EXPECT_EQ(names.Refer(3).name(), "a");
  names.Gone(1, "a");
  EXPECT_EQ(names.Refer(3).name(), "b");
  names.Forget(3);
  EXPECT_EQ(names.InodeAt(2, "b"), std::nullopt);
  for (int i = 0; i < 100; ++i) names.Found(4, 2, std::to_string(i));
  EXPECT_EQ(names.NamesIn(2).size(), NameHints::kNamesMax);
  EXPECT_EQ(names.Refer(4).name(), "99");
}

TEST(NameHints, AllNamesInADirectoryAreFound) {
  NameHints names;
  names.SetRoot(1, "");
  names.Found(10, 2, "x");
  names.Found(11, 2, "");
  names.Found(12, 3, "y");
  names.Found(13, 1, "z");
  using Names = std::vector<std::pair<std::string, uint64_t>>;
  EXPECT_EQ(names.NamesIn(2), (Names{{"", 11}, {"x", 10}}));
  EXPECT_EQ(names.NamesIn(3), (Names{{"y", 12}}));
  EXPECT_EQ(names.NamesIn(4), Names());
}

TEST(NameHints, TheDirectoriesOfAnInodeAreThoseOfAllItsNames) {
  NameHints names;
  names.SetRoot(1, "");
  names.Found(7, 1, "a");
  names.Found(7, 3, "b");
  names.Found(7, 3, "c");
  EXPECT_EQ(names.DirectoriesOf(7), (std::vector<uint64_t>{1, 3, 3}));
  names.Gone(1, "a");
  EXPECT_EQ(names.DirectoriesOf(7), (std::vector<uint64_t>{3, 3}));
  EXPECT_TRUE(names.DirectoriesOf(8).empty());
}

TEST(Listings, CountChangesForAsLongAsSomebodyWantsToKnow) {
  Listings listings;
  EXPECT_TRUE(listings.empty());
  listings.NoteChange(1);
  auto first = listings.Count(1);
  const uint64_t began = first->load();
  listings.NoteChange(2);
  EXPECT_EQ(first->load(), began);
  const auto other = listings.Count(1);
  EXPECT_EQ(other->load(), first->load());
  listings.NoteChange(1);
  EXPECT_NE(first->load(), began);
  first.reset();
  listings.NoteChange(1);
  EXPECT_EQ(other->load(), began + 2);
}

TEST(Listings, ThoseThatHaveEndedAreForgotten) {
  Listings listings;
  const auto kept = listings.Count(1);
  for (uint64_t directory = 2; directory < 1000; ++directory) (void)listings.Count(directory);
  for (uint64_t directory = 2; directory < 1000; ++directory) listings.NoteChange(directory);
  listings.NoteChange(1);
  EXPECT_EQ(kept->load(), 1u);
}

TEST(NameHints, NamesThatGoInCirclesEnd) {
  NameHints names;
  names.SetRoot(1, "");
  names.Found(2, 3, "a");
  names.Found(3, 2, "b");
  EXPECT_EQ(names.PathOf(2), std::nullopt);
  EXPECT_EQ(names.BucketOf(2), std::nullopt);
}

TEST(ReadPattern, WhoReadsInOrderGetsMoreAndMoreAheadAndWhoJumpsNothing) {
  ReadPattern pattern;
  constexpr uint64_t kRead = 128 * kKiB;
  EXPECT_EQ(pattern.Note(0, kRead, 16 * kMiB), 0u);
  EXPECT_EQ(pattern.Note(kRead, kRead, 16 * kMiB), 4 * kRead);
  // As the kernel's threads bring them.
  EXPECT_EQ(pattern.Note(3 * kRead, kRead, 16 * kMiB), 6 * kRead);
  EXPECT_EQ(pattern.Note(2 * kRead, kRead, 16 * kMiB), 8 * kRead);
  EXPECT_EQ(pattern.next(), 4 * kRead);
  EXPECT_EQ(pattern.Note(4 * kRead, 20 * kMiB, 16 * kMiB), 16 * kMiB);
  // As far from each other as the kernel reads ahead.
  EXPECT_EQ(pattern.Note(36 * kMiB, kRead, 16 * kMiB), 16 * kMiB);
  EXPECT_EQ(pattern.Note(24 * kMiB, kRead, 16 * kMiB), 16 * kMiB);
  EXPECT_EQ(pattern.next(), 36 * kMiB + kRead);
  EXPECT_EQ(pattern.Note(500 * kMiB, kRead, 16 * kMiB), 0u);
}

}  // namespace
}  // namespace cairn::client_internal
