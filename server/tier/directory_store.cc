#include "server/tier/directory_store.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/tier/cold_key.h"
#include "server/tier/directory_list.h"

namespace cairn {
namespace {

constexpr char kMarker[] = ".cairn-tier";
constexpr char kTemporaries[] = ".cairn-tmp";
constexpr std::string_view kMarkerBegin = "cairn cold store 1\n";
constexpr size_t kMarkerBytesMax = 256;
constexpr size_t kListLimitMax = 10'000;
// How often a directory that another thread's Delete() found empty is made again.
constexpr int kPublishTries = 10;

std::string RandomName(Random& random) {
  return absl::StrCat(absl::Hex(random.Next(), absl::kZeroPad16),
                      absl::Hex(random.Next(), absl::kZeroPad16));
}

std::string_view ParentOf(std::string_view key) {
  const size_t slash = key.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : key.substr(0, slash);
}

std::string NameOf(std::string_view key) { return std::string(key.substr(key.rfind('/') + 1)); }

absl::Status NoSuchObject(std::string_view key) {
  return absl::NotFoundError(StrCat("there is no object ", QuotedKey(key)));
}

absl::StatusOr<Descriptor> OpenDirectoryAt(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) return Descriptor(fd);
  if (errno == ENOENT || errno == ENOTDIR) {
    return absl::NotFoundError(
        StrCat("there is no directory ", path, "; make it, or mount what is to be there"));
  }
  return DirectoryError(errno, StrCat("cannot open the directory ", path));
}

// The marker's text. NOT_FOUND: there is none.
absl::StatusOr<std::string> ReadMarker(int root, const std::string& path) {
  const Descriptor file(openat(root, kMarker, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  const std::string what = StrCat("the marker ", kMarker, " of ", path);
  if (file.fd() < 0) return DirectoryError(errno, StrCat("cannot open ", what));
  std::string text(kMarkerBytesMax, '\0');
  const ssize_t length = read(file.fd(), text.data(), text.size());
  if (length < 0) return DirectoryError(errno, StrCat("cannot read ", what));
  text.resize(static_cast<size_t>(length));
  if (!text.starts_with(kMarkerBegin) || !text.ends_with('\n')) {
    return absl::FailedPreconditionError(
        StrCat(what, " is damaged, or of a later version of Cairn"));
  }
  return text;
}

absl::Status CheckEmpty(int root, const std::string& path) {
  const int copy = fcntl(root, F_DUPFD_CLOEXEC, 0);
  DIR* stream = copy < 0 ? nullptr : fdopendir(copy);
  if (stream == nullptr) {
    const int error = errno;
    if (copy >= 0) close(copy);
    return DirectoryError(error, StrCat("cannot read the directory ", path));
  }
  std::string found;
  while (const dirent* entry = readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != ".." && name != "lost+found" && !name.starts_with(".cairn"))
      found = name;
  }
  closedir(stream);
  if (found.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat("the directory ", path,
                                              " is no cold store and holds ", QuotedKey(found),
                                              "; give an empty one"));
}

absl::Status CheckRegular(const struct stat& info, std::string_view key) {
  if (S_ISREG(info.st_mode)) return absl::OkStatus();
  if (S_ISDIR(info.st_mode)) return NoSuchObject(key);
  return absl::FailedPreconditionError(
      StrCat(QuotedKey(key), " is no plain file; symbolic links in the store are not followed"));
}

// What "no such directory", or "it is a file", on the way to a key means to who asks for an object.
absl::Status AsMissing(const absl::Status& status, std::string_view key) {
  return absl::IsNotFound(status) || absl::IsInvalidArgument(status) ? NoSuchObject(key) : status;
}

// A new file in the hidden directory. Gone with this, unless it was renamed.
class Temporary {
 public:
  Temporary(int directory, std::string name) : directory_(directory), name_(std::move(name)) {}
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (!kept_) unlinkat(directory_, name_.c_str(), 0);
  }
  void Keep() { kept_ = true; }

 private:
  const int directory_;
  const std::string name_;
  bool kept_ = false;
};

}  // namespace

absl::Status DirectoryStore::Prepare(const std::string& root, Random& random) {
  ASSIGN_OR_RETURN(const Descriptor directory, OpenDirectoryAt(root));
  const absl::Status present = ReadMarker(directory.fd(), root).status();
  if (!absl::IsNotFound(present)) return present;
  RETURN_IF_ERROR(CheckEmpty(directory.fd(), root));
  const std::string what = StrCat("the marker ", kMarker, " in ", root);
  const std::string aside = StrCat(kMarker, ".", RandomName(random));
  const Descriptor file(
      openat(directory.fd(), aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (file.fd() < 0) return DirectoryError(errno, StrCat("cannot make ", what));
  const Temporary temporary(directory.fd(), aside);
  const std::string text = StrCat(kMarkerBegin, RandomName(random), "\n");
  errno = ENOSPC;  // what a short write means
  if (write(file.fd(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      fsync(file.fd()) != 0) {
    return DirectoryError(errno, StrCat("cannot write ", what));
  }
  // Unlike a rename, a link never replaces a marker that another server has just made.
  if (linkat(directory.fd(), aside.c_str(), directory.fd(), kMarker, 0) != 0 && errno != EEXIST) {
    // Some network mounts have no links.
    if (renameat(directory.fd(), aside.c_str(), directory.fd(), kMarker) != 0)
      return DirectoryError(errno, StrCat("cannot make ", what));
  }
  if (fsync(directory.fd()) != 0) return DirectoryError(errno, StrCat("cannot flush ", root));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<DirectoryStore>> DirectoryStore::Open(const std::string& root,
                                                                     const Clock& clock,
                                                                     Random& random) {
  absl::StatusOr<Descriptor> directory = OpenDirectoryAt(root);
  const absl::StatusOr<std::string> marker =
      directory.ok() ? ReadMarker(directory->fd(), root) : directory.status();
  if (absl::IsNotFound(marker.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat(root, " is no cold store: ", marker.status().message(), "; is it mounted?"));
  }
  RETURN_IF_ERROR(marker.status());
  std::unique_ptr<DirectoryStore> store(new DirectoryStore(root, *marker, clock, random));
  RETURN_IF_ERROR(store->RemoveLeftovers());
  return store;
}

std::string DirectoryStore::Describe() const { return StrCat("dir://", root_); }

absl::StatusOr<Descriptor> DirectoryStore::OpenRoot() const {
  absl::StatusOr<Descriptor> directory = OpenDirectoryAt(root_);
  const absl::StatusOr<std::string> marker =
      directory.ok() ? ReadMarker(directory->fd(), root_) : directory.status();
  if (absl::IsNotFound(marker.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat(root_, " is not the cold store that it was: ", marker.status().message(),
                     "; is it mounted?"));
  }
  RETURN_IF_ERROR(marker.status());
  if (*marker != marker_) {
    return absl::FailedPreconditionError(
        StrCat(root_, " is another cold store than it was; is the right disk mounted?"));
  }
  return directory;
}

absl::Status DirectoryStore::RemoveLeftovers() {
  ASSIGN_OR_RETURN(Descriptor root, OpenRoot());
  ASSIGN_OR_RETURN(
      const DirectoryChain chain,
      DirectoryChain::Open(std::move(root), kTemporaries, DirectoryChain::Missing::kMake));
  const int copy = fcntl(chain.fd(), F_DUPFD_CLOEXEC, 0);
  DIR* stream = copy < 0 ? nullptr : fdopendir(copy);
  if (stream == nullptr) {
    const int error = errno;
    if (copy >= 0) close(copy);
    return DirectoryError(error, StrCat("cannot read ", root_, "/", kTemporaries));
  }
  const absl::Time before = clock_.WallNow() - kLeftoverAge;
  std::vector<std::string> old;
  while (const dirent* entry = readdir(stream)) {
    struct stat info {};
    if (fstatat(chain.fd(), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(info.st_mode) && ModifiedTime(info) < before) {
      old.push_back(entry->d_name);
    }
  }
  closedir(stream);
  // What cannot be removed now is in nobody's way.
  for (const std::string& name : old) unlinkat(chain.fd(), name.c_str(), 0);
  return absl::OkStatus();
}

absl::StatusOr<std::string> DirectoryStore::Put(std::string_view key,
                                                std::span<const ConstBytes> pieces,
                                                const ColdPutOptions&, const CallBounds& bounds) {
  RETURN_IF_ERROR(CheckColdKey(key));
  RETURN_IF_ERROR(CheckBounds(bounds, clock_));
  ASSIGN_OR_RETURN(Descriptor root, OpenRoot());
  ASSIGN_OR_RETURN(
      const DirectoryChain aside,
      DirectoryChain::Open(std::move(root), kTemporaries, DirectoryChain::Missing::kMake));
  const std::string name = RandomName(random_);
  const Descriptor file(
      openat(aside.fd(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (file.fd() < 0) return DirectoryError(errno, StrCat("cannot make a file in ", root_));
  Temporary temporary(aside.fd(), name);
  const std::string what = StrCat(QuotedKey(key), " in ", root_);
  RETURN_IF_ERROR(WriteDurably(file.fd(), pieces, what, bounds, clock_));
  struct stat info {};
  if (fstat(file.fd(), &info) != 0) return DirectoryError(errno, StrCat("cannot look at ", what));
  RETURN_IF_ERROR(Publish(aside.fd(), name, key));
  temporary.Keep();
  return FileEtag(info);
}

// Gives the whole file its key.
absl::Status DirectoryStore::Publish(int temporaries, const std::string& name,
                                     std::string_view key) {
  for (int tries = 1;; ++tries) {
    ASSIGN_OR_RETURN(Descriptor root, OpenRoot());
    const absl::StatusOr<DirectoryChain> chain =
        DirectoryChain::Open(std::move(root), ParentOf(key), DirectoryChain::Missing::kMake);
    // A delete may find a directory empty, and remove it, whenever nothing is in it yet.
    const bool again = tries < kPublishTries;
    if (absl::IsNotFound(chain.status()) && again) continue;
    RETURN_IF_ERROR(chain.status());
    if (renameat(temporaries, name.c_str(), chain->fd(), NameOf(key).c_str()) == 0)
      return chain->Flush();
    if (errno == ENOENT && again) continue;
    if (errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST) {
      return absl::InvalidArgumentError(
          StrCat(QuotedKey(key), " cannot be an object: there are others below it"));
    }
    return DirectoryError(errno, StrCat("cannot rename a file to ", QuotedKey(key), " in ", root_));
  }
}

// An open object, and what is known of it.
absl::StatusOr<Descriptor> DirectoryStore::OpenObject(std::string_view key,
                                                      struct stat* info) const {
  RETURN_IF_ERROR(CheckColdKey(key));
  ASSIGN_OR_RETURN(Descriptor root, OpenRoot());
  const absl::StatusOr<DirectoryChain> chain =
      DirectoryChain::Open(std::move(root), ParentOf(key), DirectoryChain::Missing::kFail);
  if (!chain.ok()) return AsMissing(chain.status(), key);
  const std::string name = NameOf(key);
  // Looked at before it is opened: opening a device or a pipe may do something.
  if (fstatat(chain->fd(), name.c_str(), info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? NoSuchObject(key)
                           : DirectoryError(errno, StrCat("cannot look at ", QuotedKey(key)));
  }
  RETURN_IF_ERROR(CheckRegular(*info, key));
  Descriptor file(
      openat(chain->fd(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file.fd() < 0 || fstat(file.fd(), info) != 0) {
    return errno == ENOENT ? NoSuchObject(key)
                           : DirectoryError(errno, StrCat("cannot open ", QuotedKey(key)));
  }
  RETURN_IF_ERROR(CheckRegular(*info, key));
  return file;
}

absl::Status DirectoryStore::Get(std::string_view key, uint64_t offset, MutableBytes into,
                                 std::string_view etag, const CallBounds& bounds) {
  RETURN_IF_ERROR(CheckBounds(bounds, clock_));
  struct stat info {};
  ASSIGN_OR_RETURN(const Descriptor file, OpenObject(key, &info));
  const auto size_bytes = static_cast<uint64_t>(info.st_size);
  if (!etag.empty() && FileEtag(info) != etag) {
    return absl::DataLossError(
        StrCat(QuotedKey(key), " in ", root_, " is not the object that was written"));
  }
  if (offset > size_bytes || into.size() > size_bytes - offset) {
    return absl::OutOfRangeError(StrCat(QuotedKey(key), " has ", size_bytes, " bytes, and ",
                                        into.size(), " from ", offset, " on were asked for"));
  }
  return ReadFully(file.fd(), offset, into, StrCat(QuotedKey(key), " in ", root_), bounds, clock_);
}

absl::StatusOr<ColdObject> DirectoryStore::Stat(std::string_view key, const CallBounds& bounds) {
  RETURN_IF_ERROR(CheckBounds(bounds, clock_));
  struct stat info {};
  ASSIGN_OR_RETURN(const Descriptor file, OpenObject(key, &info));
  return ColdObject{.key = std::string(key),
                    .size_bytes = static_cast<uint64_t>(info.st_size),
                    .etag = FileEtag(info),
                    .modified = ModifiedTime(info)};
}

absl::StatusOr<ColdListing> DirectoryStore::List(const ColdListOptions& options,
                                                 const CallBounds& bounds) {
  if (options.limit < 1 || options.limit > kListLimitMax)
    return absl::InvalidArgumentError(StrCat("a listing's limit must be 1 to ", kListLimitMax));
  ASSIGN_OR_RETURN(Descriptor root, OpenRoot());
  return ListDirectory(std::move(root), options, bounds, clock_);
}

absl::Status DirectoryStore::Delete(std::span<const std::string> keys, const CallBounds& bounds) {
  for (const std::string& key : keys) RETURN_IF_ERROR(CheckColdKey(key));
  // Neighbours share their directory's flush.
  for (size_t begin = 0; begin < keys.size();) {
    const std::string_view parent = ParentOf(keys[begin]);
    size_t end = begin + 1;
    while (end < keys.size() && ParentOf(keys[end]) == parent) ++end;
    RETURN_IF_ERROR(DeleteIn(parent, keys.subspan(begin, end - begin), bounds));
    begin = end;
  }
  return absl::OkStatus();
}

absl::Status DirectoryStore::DeleteIn(std::string_view directory, std::span<const std::string> keys,
                                      const CallBounds& bounds) {
  RETURN_IF_ERROR(CheckBounds(bounds, clock_));
  ASSIGN_OR_RETURN(Descriptor root, OpenRoot());
  absl::StatusOr<DirectoryChain> chain =
      DirectoryChain::Open(std::move(root), directory, DirectoryChain::Missing::kFail);
  if (!chain.ok()) {
    const absl::Status status = AsMissing(chain.status(), keys[0]);
    return absl::IsNotFound(status) ? absl::OkStatus() : status;
  }
  for (const std::string& key : keys) {
    RETURN_IF_ERROR(CheckBounds(bounds, clock_));
    const std::string name = NameOf(key);
    struct stat info {};
    const bool there = fstatat(chain->fd(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
    if (there && !S_ISREG(info.st_mode)) continue;
    if ((!there || unlinkat(chain->fd(), name.c_str(), 0) != 0) && errno != ENOENT)
      return DirectoryError(errno, StrCat("cannot delete ", QuotedKey(key), " in ", root_));
  }
  return chain->RemoveEmpty();
}

}  // namespace cairn
