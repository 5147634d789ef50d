// See lock_table.h.
#include "client/fuse/lock_table.h"

namespace cairn {

void LockTable::Remember(InodeNumber inode, FileLockKind kind, uint64_t owner) {
  std::lock_guard lock(mutex_);
  held_.emplace(inode, kind, owner);
  size_.store(held_.size(), std::memory_order_release);
}

bool LockTable::Forget(InodeNumber inode, FileLockKind kind, uint64_t owner) {
  if (size_.load(std::memory_order_acquire) == 0) return false;
  std::lock_guard lock(mutex_);
  const bool was_held = held_.erase(Key(inode, kind, owner)) != 0;
  size_.store(held_.size(), std::memory_order_release);
  return was_held;
}

}  // namespace cairn
