// Locks of files, pure: ranges of POSIX's against a model by bytes, whole ones of BSD's, mounts
// that go.
#include "server/meta/file_locks.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace cairn {
namespace {

wire::FileLock Lock(uint64_t owner, wire::LockType type, uint64_t begin = 0,
                    uint64_t end = UINT64_MAX, wire::LockKind kind = wire::FILE_LOCK_POSIX) {
  wire::FileLock lock;
  lock.set_inode(5);
  lock.set_owner(owner);
  lock.set_type(type);
  lock.set_begin_bytes(begin);
  lock.set_end_bytes(end);
  lock.set_kind(kind);
  return lock;
}

TEST(FileLocks, ExclusiveOnesExcludeAndSharedOnesDoNot) {
  FileLocks locks;
  EXPECT_TRUE(locks.Set(1, Lock(1, wire::FILE_LOCK_SHARED)).granted);
  EXPECT_TRUE(locks.Set(2, Lock(1, wire::FILE_LOCK_SHARED)).granted);
  const auto refused = locks.Set(1, Lock(1, wire::FILE_LOCK_EXCLUSIVE));
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.conflict_mount, 2u);
  EXPECT_TRUE(locks.Set(2, Lock(1, wire::FILE_LOCK_UNLOCK)).granted);
  EXPECT_TRUE(locks.Set(1, Lock(1, wire::FILE_LOCK_EXCLUSIVE)).granted);
  EXPECT_FALSE(locks.Test(2, Lock(1, wire::FILE_LOCK_SHARED)).granted);
  // The other kind knows nothing of it.
  EXPECT_TRUE(locks.Set(2, Lock(1, wire::FILE_LOCK_EXCLUSIVE, 0, UINT64_MAX, wire::FILE_LOCK_FLOCK))
                  .granted);
}

TEST(FileLocks, MountThatGoesTakesItsLocksAlong) {
  FileLocks locks;
  locks.Set(1, Lock(1, wire::FILE_LOCK_EXCLUSIVE, 0, 10));
  locks.Set(2, Lock(1, wire::FILE_LOCK_EXCLUSIVE, 10, 20));
  locks.DropMount(1);
  EXPECT_EQ(locks.size(), 1u);
  EXPECT_EQ(locks.SizeOf(1), 0u);
  EXPECT_TRUE(locks.Set(3, Lock(1, wire::FILE_LOCK_SHARED, 0, 10)).granted);
  EXPECT_FALSE(locks.Set(3, Lock(1, wire::FILE_LOCK_SHARED, 0, 11)).granted);
}

TEST(FileLocks, RandomRangesMatchAModelByBytes) {
  const auto seed = static_cast<uint64_t>(::testing::UnitTest::GetInstance()->random_seed()) + 3;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  constexpr uint64_t kBytes = 24, kOwners = 3;
  using Owner = std::pair<uint64_t, uint64_t>;
  std::map<Owner, std::vector<wire::LockType>> model;
  FileLocks locks;
  for (int i = 0; i < 20'000; ++i) {
    const Owner owner{1 + random() % 2, random() % kOwners};
    const uint64_t begin = random() % kBytes, end = begin + 1 + random() % (kBytes - begin);
    const auto type = static_cast<wire::LockType>(random() % 3);
    bool free = true;
    for (const auto& [other, bytes] : model) {
      if (other == owner) continue;
      for (uint64_t at = begin; at < end; ++at) {
        const bool excludes =
            bytes[at] == wire::FILE_LOCK_EXCLUSIVE ||
            (bytes[at] == wire::FILE_LOCK_SHARED && type == wire::FILE_LOCK_EXCLUSIVE);
        if (excludes && type != wire::FILE_LOCK_UNLOCK) free = false;
      }
    }
    const auto result = locks.Set(owner.first, Lock(owner.second, type, begin, end));
    ASSERT_EQ(result.granted, free) << "step " << i;
    if (!free) continue;
    auto& bytes = model[owner];
    bytes.resize(kBytes, wire::FILE_LOCK_UNLOCK);
    for (uint64_t at = begin; at < end; ++at) bytes[at] = type;
  }
}

}  // namespace
}  // namespace cairn
