#include "client/core/fs_locks.h"

#include <algorithm>
#include <utility>

namespace cairn::client_internal {

void LockTable::Apply(const wire::FileLock& lock) {
  std::vector<wire::FileLock>& held = locks_[lock.inode()];
  std::vector<wire::FileLock> rest;
  for (wire::FileLock& each : held) {
    const bool is_other = each.kind() != lock.kind() || each.owner() != lock.owner();
    if (is_other || each.end_bytes() <= lock.begin_bytes() ||
        lock.end_bytes() <= each.begin_bytes()) {
      rest.push_back(std::move(each));
      continue;
    }
    if (each.begin_bytes() < lock.begin_bytes()) {
      rest.push_back(each);
      rest.back().set_end_bytes(lock.begin_bytes());
    }
    if (lock.end_bytes() < each.end_bytes()) {
      rest.push_back(each);
      rest.back().set_begin_bytes(lock.end_bytes());
    }
  }
  if (lock.type() != wire::FILE_LOCK_UNLOCK) rest.push_back(lock);
  if (rest.empty()) {
    locks_.erase(lock.inode());
  } else {
    held = std::move(rest);
  }
}

bool LockTable::Holds(uint64_t inode, wire::LockKind kind, uint64_t owner) const {
  const auto held = locks_.find(inode);
  if (held == locks_.end()) return false;
  return std::any_of(held->second.begin(), held->second.end(), [&](const wire::FileLock& each) {
    return each.kind() == kind && each.owner() == owner;
  });
}

std::vector<wire::FileLock> LockTable::Of(uint64_t inode) const {
  const auto held = locks_.find(inode);
  return held == locks_.end() ? std::vector<wire::FileLock>() : held->second;
}

std::vector<wire::FileLock> LockTable::All() const {
  std::vector<wire::FileLock> all;
  for (const auto& [inode, held] : locks_) all.insert(all.end(), held.begin(), held.end());
  return all;
}

}  // namespace cairn::client_internal
