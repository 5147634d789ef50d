#include "server/tier/directory_files.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/tier/cold_key.h"
#include "server/tier/piece_list.h"

namespace cairn {
namespace {

// Between two looks at the bounds: some milliseconds of a slow disk.
constexpr size_t kStepBytes = 4 * kMiB;
// As in a key of 1,024 bytes.
constexpr size_t kDepthMax = 512;

std::string_view Meaning(int error) {
  switch (error) {
    case ENOSPC:
      return "the file system is full; make room or give it more";
    case EDQUOT:
      return "the quota is used up; raise it or delete what is not needed";
    case EROFS:
      return "the file system is read-only; was it remounted so after an error?";
    case EACCES:
    case EPERM:
      return "the server's user lacks the right; change owner or mode of the directory";
    case ESTALE:
    case ENOTCONN:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT:
    case ENODEV:
    case ENXIO:
      return "the mount's server or device is away; it is tried again";
    case EIO:
      return "an I/O error; look at the kernel's log and the device";
    default:
      return "";
  }
}

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EROFS:
    case ELOOP:
    case EXDEV:
      return absl::StatusCode::kFailedPrecondition;
    case EACCES:
    case EPERM:
      return absl::StatusCode::kPermissionDenied;
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case ENAMETOOLONG:
    case EINVAL:
    case EILSEQ:
    case EFBIG:
    case ENOTDIR:
    case EISDIR:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

// Why `name` cannot be opened as a directory.
absl::Status NotADirectory(int parent, const std::string& name, int error) {
  struct stat info {};
  if (fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(info.st_mode))
    return DirectoryError(error, StrCat("cannot open the directory ", QuotedKey(name)));
  if (S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        StrCat(QuotedKey(name), " is an object, so a directory cannot have objects below it"));
  }
  return absl::FailedPreconditionError(
      StrCat(QuotedKey(name),
             " is neither a directory nor a file; symbolic links in the store are not followed"));
}

absl::StatusOr<Descriptor> OpenLevel(int parent, const std::string& name,
                                     DirectoryChain::Missing missing) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat(parent, name.c_str(), kFlags);
  if (fd < 0 && errno == ENOENT && missing == DirectoryChain::Missing::kMake) {
    if (mkdirat(parent, name.c_str(), 0755) != 0 && errno != EEXIST)
      return DirectoryError(errno, StrCat("cannot make the directory ", QuotedKey(name)));
    fd = openat(parent, name.c_str(), kFlags);
  }
  if (fd < 0) return NotADirectory(parent, name, errno);
  return Descriptor(fd);
}

}  // namespace

absl::Status DirectoryError(int error, std::string_view what) {
  const std::string_view meaning = Meaning(error);
  const absl::Status system = absl::ErrnoToStatus(error, ToAbsl(what));
  return absl::Status(CodeOf(error), meaning.empty()
                                         ? std::string(system.message())
                                         : StrCat(ToStd(system.message()), ": ", meaning));
}

absl::StatusOr<DirectoryChain> DirectoryChain::Open(Descriptor root, std::string_view path,
                                                    Missing missing) {
  DirectoryChain chain;
  chain.levels_.push_back(std::move(root));
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    std::string name(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
    if (chain.names_.size() >= kDepthMax)
      return absl::InvalidArgumentError("the key has too many parts");
    ASSIGN_OR_RETURN(Descriptor level, OpenLevel(chain.fd(), name, missing));
    chain.levels_.push_back(std::move(level));
    chain.names_.push_back(std::move(name));
  }
  return chain;
}

absl::Status DirectoryChain::Flush() const {
  // All of them: one that another thread has made is not durable before somebody flushes its
  // parent.
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    if (fsync(level->fd()) != 0) return DirectoryError(errno, "cannot flush a directory");
  }
  return absl::OkStatus();
}

absl::Status DirectoryChain::RemoveEmpty() {
  size_t last = levels_.size() - 1;
  while (last > 0 &&
         unlinkat(levels_[last - 1].fd(), names_[last - 1].c_str(), AT_REMOVEDIR) == 0) {
    --last;
  }
  if (fsync(levels_[last].fd()) != 0) return DirectoryError(errno, "cannot flush a directory");
  return absl::OkStatus();
}

absl::Status WriteDurably(int fd, std::span<const ConstBytes> pieces, std::string_view what,
                          const CallBounds& bounds, const Clock& clock) {
  const uint64_t size_bytes = BytesInAll(pieces);
  // A full disk says so before anything is written, where the file system can do this.
  if (size_bytes > 0 && fallocate(fd, 0, 0, static_cast<off_t>(size_bytes)) != 0 &&
      (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
    return DirectoryError(errno, StrCat("cannot write ", what));
  }
  for (ConstBytes piece : pieces) {
    while (!piece.empty()) {
      RETURN_IF_ERROR(CheckBounds(bounds, clock));
      const ssize_t written = write(fd, piece.data(), std::min(piece.size(), kStepBytes));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return DirectoryError(errno, StrCat("cannot write ", what));
      piece = piece.subspan(static_cast<size_t>(written));
    }
  }
  // Said explicitly, in whole microseconds: a mount's server would else set one of its own, later
  // or with other digits than this machine remembers, and the ETag would change by itself.
  const timespec now = absl::ToTimespec(absl::FromUnixMicros(absl::ToUnixMicros(clock.WallNow())));
  const timespec times[2] = {now, now};
  if (futimens(fd, times) != 0 || fsync(fd) != 0)
    return DirectoryError(errno, StrCat("cannot flush ", what));
  struct stat info {};
  if (fstat(fd, &info) != 0) return DirectoryError(errno, StrCat("cannot look at ", what));
  if (static_cast<uint64_t>(info.st_size) != size_bytes) {
    return absl::DataLossError(StrCat("the file system has ", info.st_size, " bytes of ", what,
                                      ", of which ", size_bytes, " were written"));
  }
  return absl::OkStatus();
}

absl::Status ReadFully(int fd, uint64_t offset, MutableBytes into, std::string_view what,
                       const CallBounds& bounds, const Clock& clock) {
  while (!into.empty()) {
    RETURN_IF_ERROR(CheckBounds(bounds, clock));
    const ssize_t got =
        pread(fd, into.data(), std::min(into.size(), kStepBytes), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EIO)
      return absl::DataLossError(StrCat("cannot read ", what, ": ", Meaning(EIO)));
    if (got < 0) return DirectoryError(errno, StrCat("cannot read ", what));
    if (got == 0) return absl::DataLossError(StrCat(what, " became shorter while it was read"));
    into = into.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return absl::OkStatus();
}

absl::Time ModifiedTime(const struct stat& info) { return absl::TimeFromTimespec(info.st_mtim); }

std::string FileEtag(const struct stat& info) {
  return absl::StrCat(absl::Hex(static_cast<uint64_t>(info.st_size)), "-",
                      absl::Hex(static_cast<uint64_t>(absl::ToUnixMicros(ModifiedTime(info)))));
}

}  // namespace cairn
