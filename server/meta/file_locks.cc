#include "server/meta/file_locks.h"

#include <algorithm>
#include <utility>

namespace cairn {
namespace {

bool IsOwner(uint64_t mount, const wire::FileLock& lock, uint64_t held_mount,
             const wire::FileLock& held) {
  return held_mount == mount && held.kind() == lock.kind() && held.owner() == lock.owner();
}

bool Overlap(const wire::FileLock& a, const wire::FileLock& b) {
  return a.begin_bytes() < b.end_bytes() && b.begin_bytes() < a.end_bytes();
}

bool Exclude(const wire::FileLock& a, const wire::FileLock& b) {
  return a.type() == wire::FILE_LOCK_EXCLUSIVE || b.type() == wire::FILE_LOCK_EXCLUSIVE;
}

}  // namespace

const FileLocks::Held* FileLocks::FindConflict(uint64_t mount, const wire::FileLock& lock) const {
  if (lock.type() == wire::FILE_LOCK_UNLOCK) return nullptr;
  const auto file = files_.find(lock.inode());
  if (file == files_.end()) return nullptr;
  for (const Held& held : file->second) {
    if (held.lock.kind() != lock.kind() || IsOwner(mount, lock, held.mount, held.lock)) continue;
    if (Overlap(held.lock, lock) && Exclude(held.lock, lock)) return &held;
  }
  return nullptr;
}

FileLocks::Result FileLocks::Test(uint64_t mount, const wire::FileLock& lock) const {
  const Held* conflict = FindConflict(mount, lock);
  if (conflict == nullptr) return {true, std::nullopt, 0};
  return {false, conflict->lock, conflict->mount};
}

FileLocks::Result FileLocks::Set(uint64_t mount, const wire::FileLock& lock) {
  Result result = Test(mount, lock);
  if (!result.granted) return result;
  std::vector<Held>& held = files_[lock.inode()];
  const size_t before = held.size();
  TakeAway(&held, mount, lock);
  if (lock.type() != wire::FILE_LOCK_UNLOCK && lock.begin_bytes() < lock.end_bytes())
    held.push_back({mount, lock});
  size_ += held.size() - before;
  of_mounts_[mount] += held.size() - before;
  if (held.empty()) files_.erase(lock.inode());
  return result;
}

void FileLocks::TakeAway(std::vector<Held>* held, uint64_t mount, const wire::FileLock& lock) {
  std::vector<Held> kept;
  for (Held& each : *held) {
    if (!IsOwner(mount, lock, each.mount, each.lock) || !Overlap(each.lock, lock)) {
      kept.push_back(std::move(each));
      continue;
    }
    if (each.lock.begin_bytes() < lock.begin_bytes()) {
      Held left = each;
      left.lock.set_end_bytes(lock.begin_bytes());
      kept.push_back(std::move(left));
    }
    if (each.lock.end_bytes() > lock.end_bytes()) {
      Held right = each;
      right.lock.set_begin_bytes(lock.end_bytes());
      kept.push_back(std::move(right));
    }
  }
  *held = std::move(kept);
}

void FileLocks::DropMount(uint64_t mount) {
  of_mounts_.erase(mount);
  for (auto file = files_.begin(); file != files_.end();) {
    std::vector<Held>& held = file->second;
    const size_t before = held.size();
    std::erase_if(held, [mount](const Held& each) { return each.mount == mount; });
    size_ -= before - held.size();
    const auto next = std::next(file);
    if (held.empty()) files_.erase(file);
    file = next;
  }
}

size_t FileLocks::SizeOf(uint64_t mount) const {
  const auto found = of_mounts_.find(mount);
  return found == of_mounts_.end() ? 0 : found->second;
}

}  // namespace cairn
