// Who of this machine may hold locks of which inode. Closing a file lets go of all that its owner
// holds there; the service is asked to only if there can be any, since nearly all files are closed
// without.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "cairn/filesystem.h"
#include "common/base/clock.h"

namespace cairn {

// Thread-safe.
class LockTable {
 public:
  // Before the lock is asked for: it is held as soon as the service says so.
  void Remember(InodeNumber inode, FileLockKind kind, uint64_t owner);
  // Whether the owner may have held one. From here on it does not.
  bool Forget(InodeNumber inode, FileLockKind kind, uint64_t owner);

  // A descriptor of the inode is closed, perhaps the last one of an open file.
  void Close(InodeNumber inode, MonoTime now);
  // When that happened last while somebody may have held a flock(2) of it, as far as is known: some
  // inodes share a place.
  MonoTime ClosedAt(InodeNumber inode) const;

 private:
  using Owners = absl::flat_hash_set<std::pair<FileLockKind, uint64_t>>;
  std::mutex mutex_;
  absl::flat_hash_map<InodeNumber, Owners> held_;
  std::atomic<size_t> size_{0};
  std::array<std::atomic<int64_t>, 64> closed_at_{};  // nanoseconds
};

}  // namespace cairn
