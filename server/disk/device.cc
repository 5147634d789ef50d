#include "server/disk/device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/time/clock.h"
#include "common/base/file_lock.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/units.h"
#include "server/disk/disk_error.h"

namespace cairn {
namespace {

// Not in linux/magic.h.
constexpr uint64_t kZfsMagic = 0x2fc12fc1;
constexpr uint64_t kFuseMagic = 0x65735546;

std::string FilesystemName(uint64_t magic) {
  switch (magic) {
    case EXT4_SUPER_MAGIC:
      return "ext4";
    case XFS_SUPER_MAGIC:
      return "xfs";
    case BTRFS_SUPER_MAGIC:
      return "btrfs";
    case TMPFS_MAGIC:
      return "tmpfs";
    case OVERLAYFS_SUPER_MAGIC:
      return "overlayfs";
    case NFS_SUPER_MAGIC:
      return "nfs";
    case kZfsMagic:
      return "zfs";
    case kFuseMagic:
      return "fuse";
    default:
      return StrCat("filesystem 0x", absl::Hex(magic));
  }
}

absl::Status SyncDirectoryOf(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const int fd =
      open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return DiskError(errno, StrCat("opening the directory of ", path));
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  return result == 0 ? absl::OkStatus()
                     : DiskError(error, StrCat("syncing the directory of ", path));
}

// Preallocates, so that a target never runs out of space that it counts on, and syncs.
absl::Status Fill(int fd, const std::string& path, uint64_t size_bytes) {
  if (fallocate(fd, 0, 0, static_cast<off_t>(size_bytes)) != 0) {
    const int error = errno;
    if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
      return absl::ResourceExhaustedError(StrCat(path, ": no space for a target of ", size_bytes,
                                                 " bytes: ", std::strerror(error),
                                                 "; ask for less with 'size'"));
    }
    return absl::FailedPreconditionError(StrCat(path, ": its filesystem cannot preallocate (",
                                                std::strerror(error),
                                                "); use XFS, ext4 or a block device"));
  }
  if (fsync(fd) != 0) return DiskError(errno, StrCat("syncing ", path));
  return absl::OkStatus();
}

// Under a temporary name first: a file that exists has all its space.
absl::Status MakeFile(const std::string& path, uint64_t size_bytes) {
  const std::string temporary = StrCat(path, ".new");
  const int fd = open(temporary.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return DiskError(errno, StrCat("making ", temporary));
  absl::Status made = LockExclusively(fd, temporary);
  if (made.ok()) made = Fill(fd, temporary, size_bytes);
  // renameat2: never over a file that appeared meanwhile.
  if (made.ok() &&
      renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0) {
    made = DiskError(errno, StrCat("renaming ", temporary));
  }
  if (!made.ok()) unlink(temporary.c_str());
  close(fd);
  return made.ok() ? SyncDirectoryOf(path) : made;
}

absl::StatusOr<int> OpenFile(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags);
  if (fd < 0) return DiskError(errno, StrCat("opening ", path));
  return fd;
}

// O_EXCL: not while it is mounted or part of an array.
absl::StatusOr<int> ClaimBlockDevice(const std::string& path) {
  constexpr absl::Duration kPollInterval = absl::Milliseconds(5);
  constexpr int kPollsMax = 200;
  // A cairnd that was killed keeps its claim and its lock until its last I/O has ended. The lock
  // says whose it is and is waited for; it goes a moment before the claim.
  ASSIGN_OR_RETURN(const int probe, OpenFile(path, O_RDONLY | O_CLOEXEC));
  const absl::Status locked = LockExclusively(probe, path);
  close(probe);
  RETURN_IF_ERROR(locked);
  for (int polls = 0;; ++polls) {
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_EXCL);
    if (fd >= 0) return fd;
    if (errno != EBUSY) return DiskError(errno, StrCat("opening ", path));
    if (polls == kPollsMax)
      return absl::FailedPreconditionError(StrCat(path, ": mounted or part of an array"));
    absl::SleepFor(kPollInterval);  // lint: allow sleep: the end of a claim tells nobody
  }
}

}  // namespace

absl::StatusOr<Device> Device::Open(const Options& options) {
  const std::string& path = options.path;
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return DiskError(errno, StrCat("opening ", path));
    const uint64_t size = AlignDown(options.size_bytes, kDiskBlockBytes);
    if (size == 0) return absl::NotFoundError(StrCat(path, ": no such file or device"));
    RETURN_IF_ERROR(MakeFile(path, size));
    if (stat(path.c_str(), &info) != 0) return DiskError(errno, StrCat("opening ", path));
  }
  if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode)) {
    return absl::FailedPreconditionError(StrCat(path, ": neither a file nor a block device"));
  }
  ASSIGN_OR_RETURN(const int fd, S_ISBLK(info.st_mode) ? ClaimBlockDevice(path)
                                                       : OpenFile(path, O_RDWR | O_CLOEXEC));
  Device device(fd, path);
  RETURN_IF_ERROR(LockExclusively(fd, path));
  RETURN_IF_ERROR(device.Inspect());
  if (options.size_bytes != 0 && S_ISREG(info.st_mode) &&
      AlignDown(options.size_bytes, kDiskBlockBytes) != device.size_bytes_) {
    device.warnings_.push_back(StrCat(path, " keeps its ", device.size_bytes_, " bytes; the ",
                                      options.size_bytes, " asked for apply only when it is made"));
  }
  return device;
}

Device::~Device() {
  if (fd_ >= 0) close(fd_);
}

absl::Status Device::Inspect() {
  struct stat info {};
  if (fstat(fd_, &info) != 0) return DiskError(errno, StrCat("inspecting ", path_));
  if (S_ISBLK(info.st_mode)) {
    uint64_t bytes = 0;
    if (ioctl(fd_, BLKGETSIZE64, &bytes) != 0)
      return DiskError(errno, StrCat("asking the size of ", path_));
    size_bytes_ = AlignDown(bytes, kDiskBlockBytes);
  } else {
    size_bytes_ = AlignDown(static_cast<uint64_t>(info.st_size), kDiskBlockBytes);
    // st_blocks counts 512 bytes.
    if (static_cast<uint64_t>(info.st_blocks) * 512 < size_bytes_) {
      warnings_.push_back(
          StrCat(path_,
                 " is sparse: its space is not reserved, so writes can fail although the target "
                 "is not full; make it with fallocate"));
    }
    InspectFilesystem();
  }
  return MakeDirect();
}

void Device::InspectFilesystem() {
  struct statfs filesystem {};
  if (fstatfs(fd_, &filesystem) != 0) return;
  const uint64_t magic = static_cast<uint32_t>(filesystem.f_type);
  if (magic == EXT4_SUPER_MAGIC || magic == XFS_SUPER_MAGIC) return;
  const std::string name = FilesystemName(magic);
  if (magic == TMPFS_MAGIC) {
    warnings_.push_back(
        StrCat(path_, " is on tmpfs: its content is gone when the machine restarts"));
  } else if (magic == BTRFS_SUPER_MAGIC || magic == kZfsMagic) {
    warnings_.push_back(StrCat(path_, " is on ", name,
                               ", which copies on write: space can run out although the "
                               "file is preallocated; use XFS, ext4 or a block device"));
  } else {
    warnings_.push_back(StrCat(path_, " is on ", name,
                               ", which Cairn is not tested on; use XFS, ext4 or a block "
                               "device"));
  }
}

absl::Status Device::MakeDirect() {
#ifdef STATX_DIOALIGN
  struct statx info {};
  if (statx(fd_, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) == 0 &&
      (info.stx_mask & STATX_DIOALIGN) != 0) {
    if (info.stx_dio_offset_align > kDiskBlockBytes || info.stx_dio_mem_align > kDiskBlockBytes) {
      return absl::FailedPreconditionError(
          StrCat(path_, ": direct I/O needs blocks of ",
                 std::max(info.stx_dio_offset_align, info.stx_dio_mem_align), " bytes; at most ",
                 kDiskBlockBytes, " is supported"));
    }
  }
#endif
  const int flags = fcntl(fd_, F_GETFL);
  direct_ = flags >= 0 && fcntl(fd_, F_SETFL, flags | O_DIRECT) == 0;
  if (!direct_) {
    warnings_.push_back(
        StrCat(path_, ": its filesystem has no direct I/O (", std::strerror(errno),
               "); going through the page cache, which is slower and takes memory"));
  }
  return absl::OkStatus();
}

}  // namespace cairn
