// See lock_table.h.
#include "client/fuse/lock_table.h"

#include <algorithm>

namespace cairn {

void LockTable::Remember(InodeNumber inode, FileLockKind kind, uint64_t owner) {
  std::lock_guard lock(mutex_);
  held_[inode].emplace(kind, owner);
  size_.store(held_.size(), std::memory_order_release);
}

bool LockTable::Forget(InodeNumber inode, FileLockKind kind, uint64_t owner) {
  if (size_.load(std::memory_order_acquire) == 0) return false;
  std::lock_guard lock(mutex_);
  const auto owners = held_.find(inode);
  if (owners == held_.end()) return false;
  const bool was_held = owners->second.erase({kind, owner}) != 0;
  if (owners->second.empty()) held_.erase(owners);
  size_.store(held_.size(), std::memory_order_release);
  return was_held;
}

void LockTable::Close(InodeNumber inode, MonoTime now) {
  if (size_.load(std::memory_order_acquire) == 0) return;
  std::lock_guard lock(mutex_);
  const auto owners = held_.find(inode);
  if (owners == held_.end()) return;
  if (std::any_of(owners->second.begin(), owners->second.end(),
                  [](const auto& owner) { return owner.first == FileLockKind::kFlock; }))
    closed_at_[inode % closed_at_.size()].store(now.nanoseconds(), std::memory_order_relaxed);
}

MonoTime LockTable::ClosedAt(InodeNumber inode) const {
  return MonoTime(closed_at_[inode % closed_at_.size()].load(std::memory_order_relaxed));
}

}  // namespace cairn
