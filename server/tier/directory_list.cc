#include "server/tier/directory_list.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/tier/cold_key.h"

namespace cairn {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

class Lister {
 public:
  Lister(const ColdListOptions& options, const CallBounds& bounds, const Clock& clock)
      : options_(options), bounds_(bounds), clock_(clock) {}

  // Adds what is below `directory`, whose keys begin with `path` ("" or "a/b/").
  absl::Status Walk(Descriptor directory, const std::string& path);
  ColdListing Take() { return std::move(listing_); }

 private:
  // The names in a directory that may matter, in order; those of directories end in "/".
  absl::StatusOr<std::vector<std::string>> Names(DIR* directory, const std::string& path);
  std::optional<std::string> Name(DIR* directory, const dirent& entry) const;
  bool MayMatter(const std::string& key) const;
  absl::Status Add(int directory, const std::string& name, const std::string& key);
  bool Full() const { return listing_.more; }

  const ColdListOptions& options_;
  const CallBounds& bounds_;
  const Clock& clock_;
  ColdListing listing_;
};

// Whether `key`, or one that begins with it where it ends in "/", may be in the page.
bool Lister::MayMatter(const std::string& key) const {
  const std::string& prefix = options_.prefix;
  const std::string& after = options_.start_after;
  if (!key.ends_with('/')) return key.starts_with(prefix) && (after.empty() || key > after);
  const size_t common = std::min(key.size(), prefix.size());
  if (key.compare(0, common, prefix, 0, common) != 0) return false;
  // All keys in a directory are greater than `after`, or some may be, as it is in there itself.
  return after.empty() || key > after || after.starts_with(key);
}

// None of what is no object and no directory.
std::optional<std::string> Lister::Name(DIR* directory, const dirent& entry) const {
  std::string name = entry.d_name;
  if (name == "." || name == "..") return std::nullopt;
  mode_t type = DTTOIF(entry.d_type);
  if (entry.d_type == DT_UNKNOWN) {
    struct stat info {};
    if (fstatat(dirfd(directory), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return std::nullopt;
    type = info.st_mode & S_IFMT;
  }
  if (S_ISDIR(type)) return name + "/";
  if (S_ISREG(type)) return name;
  return std::nullopt;
}

absl::StatusOr<std::vector<std::string>> Lister::Names(DIR* directory, const std::string& path) {
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory);
    if (entry == nullptr) break;
    std::optional<std::string> name = Name(directory, *entry);
    if (!name.has_value() || !MayMatter(path + *name)) continue;
    const size_t length = name->size() - (name->ends_with('/') ? 1 : 0);
    if (CheckColdKey(path + name->substr(0, length)).ok()) names.push_back(*std::move(name));
  }
  if (errno != 0)
    return DirectoryError(errno, StrCat("cannot read the directory ", QuotedKey(path)));
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status Lister::Add(int directory, const std::string& name, const std::string& key) {
  struct stat info {};
  if (fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    // Deleted meanwhile.
    return errno == ENOENT ? absl::OkStatus()
                           : DirectoryError(errno, StrCat("cannot look at ", QuotedKey(key)));
  }
  if (!S_ISREG(info.st_mode)) return absl::OkStatus();
  if (listing_.objects.size() == options_.limit) {
    listing_.more = true;
    return absl::OkStatus();
  }
  listing_.objects.push_back({.key = key,
                              .size_bytes = static_cast<uint64_t>(info.st_size),
                              .etag = FileEtag(info),
                              .modified = ModifiedTime(info)});
  return absl::OkStatus();
}

absl::Status Lister::Walk(Descriptor directory, const std::string& path) {
  // The stream owns a descriptor of its own, as it must.
  const int copy = fcntl(directory.fd(), F_DUPFD_CLOEXEC, 0);
  std::unique_ptr<DIR, CloseDirectory> stream(copy < 0 ? nullptr : fdopendir(copy));
  if (stream == nullptr) {
    const int error = errno;
    if (copy >= 0) close(copy);
    return DirectoryError(error, StrCat("cannot read the directory ", QuotedKey(path)));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, Names(stream.get(), path));
  stream.reset();
  for (const std::string& name : names) {
    if (Full()) break;
    RETURN_IF_ERROR(CheckBounds(bounds_, clock_));
    if (!name.ends_with('/')) {
      RETURN_IF_ERROR(Add(directory.fd(), name, path + name));
      continue;
    }
    const std::string plain = name.substr(0, name.size() - 1);
    const int fd =
        openat(directory.fd(), plain.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) continue;
    if (fd < 0)
      return DirectoryError(errno, StrCat("cannot open the directory ", QuotedKey(path + plain)));
    RETURN_IF_ERROR(Walk(Descriptor(fd), path + name));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ColdListing> ListDirectory(Descriptor root, const ColdListOptions& options,
                                          const CallBounds& bounds, const Clock& clock) {
  Lister lister(options, bounds, clock);
  RETURN_IF_ERROR(lister.Walk(std::move(root), ""));
  return lister.Take();
}

}  // namespace cairn
