// System calls on a tree of directories, made so that no symbolic link in it leads out of it, and
// what their errors mean to a tier. Blocking. Next: directory_store.h.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/units.h"
#include "server/tier/call_bounds.h"

namespace cairn {

// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// What `error` (an errno) means, said of `what`: RESOURCE_EXHAUSTED of a full disk or a quota,
// UNAVAILABLE of a mount whose server is away, and so on.
absl::Status DirectoryError(int error, std::string_view what);

// The directories from a root down to one, all open.
class DirectoryChain {
 public:
  enum class Missing { kFail, kMake };

  // Opens `path` ("" or "a/b") below `root`, each part without following symbolic links. NOT_FOUND
  // with kFail: there is no such directory. INVALID_ARGUMENT: a part is a file.
  // FAILED_PRECONDITION: a part is a symbolic link or the like.
  static absl::StatusOr<DirectoryChain> Open(Descriptor root, std::string_view path,
                                             Missing missing);

  // The last one.
  int fd() const { return levels_.back().fd(); }
  // Once OK the names in all directories of the chain are durable.
  absl::Status Flush() const;
  // Removes what is empty, from the last one up to but not the root, and makes that durable, and
  // what was unlinked in the last one before.
  absl::Status RemoveEmpty();

 private:
  std::vector<Descriptor> levels_;  // the root first
  std::vector<std::string> names_;  // names_[i] is that of levels_[i + 1]
};

// Writes all of `pieces` to the file, which is new, makes it durable and compares its size. Looks
// at `bounds` every few MiB.
absl::Status WriteDurably(int fd, std::span<const ConstBytes> pieces, std::string_view what,
                          const CallBounds& bounds, const Clock& clock);

// Fills `into` from `offset` on. DATA_LOSS: the file ends before, or the medium fails.
absl::Status ReadFully(int fd, uint64_t offset, MutableBytes into, std::string_view what,
                       const CallBounds& bounds, const Clock& clock);

// Names the content of a file: its size and modification time, which WriteDurably() sets. Not its
// inode, which some network mounts number anew.
std::string FileEtag(const struct stat& info);

absl::Time ModifiedTime(const struct stat& info);

}  // namespace cairn
