// Goal: what a system call sets and sees is what the SDK is told and tells. Method: conversions
// alone, with values that would show a field taken for another.
#include "client/fuse/attributes.h"

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <gtest/gtest.h>

#include "client/fuse/directory_positions.h"
#include "client/fuse/lock_range.h"

namespace cairn {
namespace {

TEST(ToStat, TellsEveryField) {
  NodeAttributes attributes;
  attributes.inode = 300;
  attributes.type = NodeType::kFile;
  attributes.mode = 04751;
  attributes.uid = 11;
  attributes.gid = 12;
  attributes.links = 3;
  attributes.size_bytes = (uint64_t{5} << 40) + 1;
  attributes.stored_bytes = 513;
  attributes.device = 99;
  attributes.accessed = absl::FromUnixNanos(1'000'000'001);
  attributes.modified = absl::FromUnixNanos(2'000'000'002);
  attributes.changed = absl::FromUnixNanos(3'000'000'003);
  const struct stat stat = ToStat(attributes);
  EXPECT_EQ(stat.st_ino, 300u);
  EXPECT_EQ(stat.st_mode, S_IFREG | 04751u);
  EXPECT_EQ(stat.st_uid, 11u);
  EXPECT_EQ(stat.st_gid, 12u);
  EXPECT_EQ(stat.st_nlink, 3u);
  EXPECT_EQ(stat.st_size, (int64_t{5} << 40) + 1);
  EXPECT_EQ(stat.st_blocks, 2);
  EXPECT_EQ(stat.st_rdev, 99u);
  EXPECT_EQ(stat.st_atim.tv_sec, 1);
  EXPECT_EQ(stat.st_atim.tv_nsec, 1);
  EXPECT_EQ(stat.st_mtim.tv_sec, 2);
  EXPECT_EQ(stat.st_mtim.tv_nsec, 2);
  EXPECT_EQ(stat.st_ctim.tv_sec, 3);
  EXPECT_EQ(stat.st_ctim.tv_nsec, 3);
}

TEST(ToStat, TimesBeforeTheEpochAreTold) {
  NodeAttributes attributes;
  attributes.modified = absl::FromUnixNanos(-1);
  EXPECT_EQ(ToStat(attributes).st_mtim.tv_sec, -1);
  EXPECT_EQ(ToStat(attributes).st_mtim.tv_nsec, 999'999'999);
}

TEST(Types, GoThereAndBack) {
  for (const NodeType type : {NodeType::kFile, NodeType::kFifo, NodeType::kSocket,
                              NodeType::kCharacterDevice, NodeType::kBlockDevice}) {
    EXPECT_EQ(TypeOfMode(TypeBits(type) | 0644), type);
  }
  EXPECT_EQ(TypeBits(NodeType::kDirectory), mode_t{S_IFDIR});
  EXPECT_EQ(TypeBits(NodeType::kSymlink), mode_t{S_IFLNK});
  // mknod(2) takes no type for a file.
  EXPECT_EQ(TypeOfMode(0600), NodeType::kFile);
}

struct stat Wanted() {
  struct stat wanted = {};
  wanted.st_mode = S_IFREG | 0640;
  wanted.st_uid = 11;
  wanted.st_gid = 12;
  wanted.st_size = 77;
  wanted.st_atim = {5, 6};
  wanted.st_mtim = {7, 8};
  return wanted;
}

TEST(ToChanges, NothingIsChangedThatTheMaskLeavesOut) {
  const AttributeChanges none = ToChanges(Wanted(), 0);
  EXPECT_FALSE(none.mode || none.uid || none.gid || none.size_bytes || none.accessed ||
               none.modified || none.accessed_now || none.modified_now || none.kill_privileges);
}

TEST(ToChanges, EachBitChangesItsOwn) {
  EXPECT_EQ(ToChanges(Wanted(), FUSE_SET_ATTR_MODE).mode, 0640u);
  EXPECT_EQ(ToChanges(Wanted(), FUSE_SET_ATTR_UID).uid, 11u);
  EXPECT_EQ(ToChanges(Wanted(), FUSE_SET_ATTR_GID).gid, 12u);
  EXPECT_EQ(ToChanges(Wanted(), FUSE_SET_ATTR_SIZE).size_bytes, 77u);
  EXPECT_EQ(ToChanges(Wanted(), FUSE_SET_ATTR_ATIME).accessed, absl::FromUnixNanos(5'000'000'006));
  EXPECT_EQ(ToChanges(Wanted(), FUSE_SET_ATTR_MTIME).modified, absl::FromUnixNanos(7'000'000'008));
  EXPECT_FALSE(ToChanges(Wanted(), FUSE_SET_ATTR_UID).gid.has_value());
}

TEST(ToChanges, NowIsTheServicesAndNotATime) {
  const AttributeChanges now =
      ToChanges(Wanted(), FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME |
                              FUSE_SET_ATTR_MTIME_NOW);
  EXPECT_TRUE(now.accessed_now && now.modified_now);
  EXPECT_FALSE(now.accessed || now.modified);
}

TEST(ToChanges, NewOwnersAndSizesTakePrivilegesAwayUnlessTheModeIsGiven) {
  for (const int mask : {FUSE_SET_ATTR_UID, FUSE_SET_ATTR_GID, FUSE_SET_ATTR_SIZE}) {
    EXPECT_TRUE(ToChanges(Wanted(), mask).kill_privileges) << mask;
    EXPECT_FALSE(ToChanges(Wanted(), mask | FUSE_SET_ATTR_MODE).kill_privileges) << mask;
  }
  EXPECT_FALSE(ToChanges(Wanted(), FUSE_SET_ATTR_MODE).kill_privileges);
  EXPECT_FALSE(ToChanges(Wanted(), FUSE_SET_ATTR_MTIME).kill_privileges);
}

TEST(ToStatvfs, FreeIsNeverMoreThanAll) {
  const struct statvfs space = ToStatvfs({uint64_t{1} << 30, uint64_t{1} << 20, 5});
  EXPECT_EQ(space.f_blocks * space.f_frsize, uint64_t{1} << 30);
  EXPECT_EQ(space.f_bavail * space.f_frsize, uint64_t{1} << 20);
  EXPECT_EQ(space.f_files - space.f_ffree, 5u);
  EXPECT_EQ(space.f_namemax, 255u);
  const struct statvfs over = ToStatvfs({4096, 8192, 0});
  EXPECT_EQ(over.f_bfree, 1u);
}

TEST(IsStoredXattr, OnlyWhatNobodyElseEnforces) {
  EXPECT_TRUE(IsStoredXattr("user.mime"));
  EXPECT_TRUE(IsStoredXattr("trusted.overlay.opaque"));
  for (const char* name : {"security.capability", "system.posix_acl_access", "userx", "", "x"})
    EXPECT_FALSE(IsStoredXattr(name)) << name;
}

TEST(DirectoryPositions, DotsComeFirstAndItemsFollowWithoutAGap) {
  EXPECT_EQ(PlaceAt(0), DirectoryPlace::kSelf);
  EXPECT_EQ(PlaceAt(1), DirectoryPlace::kParent);
  EXPECT_EQ(PlaceAt(2), DirectoryPlace::kItem);
  EXPECT_EQ(ItemAt(2), 0u);
  EXPECT_EQ(ItemAt(1'000'002), 1'000'000u);
}

TEST(LockRange, OfNoLengthReachesToTheEnd) {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_start = 10;
  lock.l_pid = 4;
  const FileLockRequest all = FromFlock(lock, 9);
  EXPECT_EQ(all.kind, FileLockKind::kPosix);
  EXPECT_EQ(all.type, FileLockType::kExclusive);
  EXPECT_EQ(all.owner, 9u);
  EXPECT_EQ(all.process, 4u);
  EXPECT_EQ(all.begin_bytes, 10u);
  EXPECT_EQ(all.end_bytes, UINT64_MAX);
  EXPECT_EQ(ToFlock(all).l_len, 0);
}

TEST(LockRange, GoesThereAndBack) {
  struct flock lock = {};
  lock.l_type = F_RDLCK;
  lock.l_start = 10;
  lock.l_len = 5;
  lock.l_pid = 4;
  const FileLockRequest some = FromFlock(lock, 9);
  EXPECT_EQ(some.type, FileLockType::kShared);
  EXPECT_EQ(some.end_bytes, 15u);
  const struct flock back = ToFlock(some);
  EXPECT_EQ(back.l_type, F_RDLCK);
  EXPECT_EQ(back.l_start, 10);
  EXPECT_EQ(back.l_len, 5);
  EXPECT_EQ(back.l_pid, 4);
  lock.l_type = F_UNLCK;
  EXPECT_EQ(FromFlock(lock, 9).type, FileLockType::kUnlock);
  EXPECT_EQ(ToFlock(std::nullopt).l_type, F_UNLCK);
}

}  // namespace
}  // namespace cairn
