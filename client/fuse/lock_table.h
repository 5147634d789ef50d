// Who of this machine may hold locks of which inode. Closing a file lets go of all that its owner
// holds there; the service is asked to only if there can be any, since nearly all files are closed
// without.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <tuple>

#include "absl/container/flat_hash_set.h"
#include "cairn/filesystem.h"

namespace cairn {

// Thread-safe.
class LockTable {
 public:
  // Before the lock is asked for: it is held as soon as the service says so.
  void Remember(InodeNumber inode, FileLockKind kind, uint64_t owner);
  // Whether the owner may have held one. From here on it does not.
  bool Forget(InodeNumber inode, FileLockKind kind, uint64_t owner);

 private:
  using Key = std::tuple<InodeNumber, FileLockKind, uint64_t>;
  std::mutex mutex_;
  absl::flat_hash_set<Key> held_;
  std::atomic<size_t> size_{0};
};

}  // namespace cairn
