// Pure: the locks that this mount holds at the service, to say them again to one that has
// forgotten.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "proto/wire/fs.pb.h"

namespace cairn::client_internal {

// Not thread-safe.
class LockTable {
 public:
  // A lock was granted, or given back, with POSIX's rules: it takes the place of what its owner had
  // there of that kind.
  void Apply(const wire::FileLock& lock);
  bool Holds(uint64_t inode, wire::LockKind kind, uint64_t owner) const;
  bool HoldsAny(uint64_t inode) const { return locks_.contains(inode); }
  // Of all files, or of one.
  std::vector<wire::FileLock> All() const;
  std::vector<wire::FileLock> Of(uint64_t inode) const;

 private:
  std::map<uint64_t, std::vector<wire::FileLock>> locks_;  // by inode
};

}  // namespace cairn::client_internal
