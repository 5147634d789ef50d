// The locks on files, of all mounts: POSIX's, which a process has by ranges, and BSD's, which an
// open file has whole. Pure; MountTable keeps them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proto/wire/fs.pb.h"

namespace cairn {

class FileLocks {
 public:
  struct Result {
    bool granted = false;
    std::optional<wire::FileLock> conflict;
    uint64_t conflict_mount = 0;
  };
  // Gives the owner the lock, in place of what it had in the range; FILE_LOCK_UNLOCK takes away.
  // Not granted, and nothing changed, when another owner has one that it does not go with.
  Result Set(uint64_t mount, const wire::FileLock& lock);
  // Whether it could be had.
  Result Test(uint64_t mount, const wire::FileLock& lock) const;
  void DropMount(uint64_t mount);
  // Of all files.
  size_t size() const { return size_; }
  size_t SizeOf(uint64_t mount) const;

 private:
  struct Held {
    uint64_t mount = 0;
    wire::FileLock lock;
  };
  const Held* FindConflict(uint64_t mount, const wire::FileLock& lock) const;
  // What the owner has in the range of `lock` goes; parts outside of it stay.
  void TakeAway(std::vector<Held>* held, uint64_t mount, const wire::FileLock& lock);

  absl::flat_hash_map<uint64_t, std::vector<Held>> files_;
  absl::flat_hash_map<uint64_t, size_t> of_mounts_;
  size_t size_ = 0;
};

}  // namespace cairn
