// See attributes.h.
#include "client/fuse/attributes.h"

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "absl/strings/match.h"

namespace cairn {
namespace {

// What stdio and Python read at once. Larger ones make small random reads cost more, and copying
// tools take more anyway.
constexpr blksize_t kPreferredBytes = 64 << 10;
constexpr uint64_t kSectorBytes = 512;  // st_blocks counts these
constexpr uint64_t kBlockBytes = 4096;  // of statvfs: what df counts in
// Inodes are not limited; programs that look want to see some free.
constexpr uint64_t kFreeFiles = uint64_t{1} << 40;
constexpr size_t kNameBytesMax = 255;

}  // namespace

mode_t TypeBits(NodeType type) {
  switch (type) {
    case NodeType::kFile:
      return S_IFREG;
    case NodeType::kDirectory:
      return S_IFDIR;
    case NodeType::kSymlink:
      return S_IFLNK;
    case NodeType::kFifo:
      return S_IFIFO;
    case NodeType::kSocket:
      return S_IFSOCK;
    case NodeType::kCharacterDevice:
      return S_IFCHR;
    case NodeType::kBlockDevice:
      return S_IFBLK;
  }
  return S_IFREG;
}

NodeType TypeOfMode(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFIFO:
      return NodeType::kFifo;
    case S_IFSOCK:
      return NodeType::kSocket;
    case S_IFCHR:
      return NodeType::kCharacterDevice;
    case S_IFBLK:
      return NodeType::kBlockDevice;
    default:
      return NodeType::kFile;
  }
}

struct stat ToStat(const NodeAttributes& attributes) {
  struct stat stat = {};
  stat.st_ino = attributes.inode;
  stat.st_mode = TypeBits(attributes.type) | (attributes.mode & 07777);
  stat.st_nlink = attributes.links;
  stat.st_uid = attributes.uid;
  stat.st_gid = attributes.gid;
  stat.st_rdev = attributes.device;
  stat.st_size = static_cast<off_t>(attributes.size_bytes);
  stat.st_blksize = kPreferredBytes;
  stat.st_blocks =
      static_cast<blkcnt_t>((attributes.stored_bytes + kSectorBytes - 1) / kSectorBytes);
  stat.st_atim = absl::ToTimespec(attributes.accessed);
  stat.st_mtim = absl::ToTimespec(attributes.modified);
  stat.st_ctim = absl::ToTimespec(attributes.changed);
  return stat;
}

AttributeChanges ToChanges(const struct stat& wanted, int mask) {
  AttributeChanges changes;
  if ((mask & FUSE_SET_ATTR_MODE) != 0) changes.mode = wanted.st_mode & 07777;
  if ((mask & FUSE_SET_ATTR_UID) != 0) changes.uid = wanted.st_uid;
  if ((mask & FUSE_SET_ATTR_GID) != 0) changes.gid = wanted.st_gid;
  if ((mask & FUSE_SET_ATTR_SIZE) != 0)
    changes.size_bytes = static_cast<uint64_t>(std::max<off_t>(wanted.st_size, 0));
  // The kernel sets both bits for "now".
  if ((mask & FUSE_SET_ATTR_ATIME_NOW) != 0) {
    changes.accessed_now = true;
  } else if ((mask & FUSE_SET_ATTR_ATIME) != 0) {
    changes.accessed = absl::TimeFromTimespec(wanted.st_atim);
  }
  if ((mask & FUSE_SET_ATTR_MTIME_NOW) != 0) {
    changes.modified_now = true;
  } else if ((mask & FUSE_SET_ATTR_MTIME) != 0) {
    changes.modified = absl::TimeFromTimespec(wanted.st_mtim);
  }
  const bool loses_trust =
      changes.uid.has_value() || changes.gid.has_value() || changes.size_bytes.has_value();
  changes.kill_privileges = loses_trust && !changes.mode.has_value();
  return changes;
}

struct statvfs ToStatvfs(const Space& space) {
  struct statvfs result = {};
  result.f_bsize = result.f_frsize = kBlockBytes;
  result.f_blocks = space.total_bytes / kBlockBytes;
  result.f_bfree = result.f_bavail = std::min(space.free_bytes, space.total_bytes) / kBlockBytes;
  result.f_files = space.files + kFreeFiles;
  result.f_ffree = result.f_favail = kFreeFiles;
  result.f_namemax = kNameBytesMax;
  return result;
}

bool IsStoredXattr(std::string_view name) {
  const absl::string_view text(name.data(), name.size());
  return absl::StartsWith(text, "user.") || absl::StartsWith(text, "trusted.");
}

}  // namespace cairn
