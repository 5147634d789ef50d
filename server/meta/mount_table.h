// Which mounts there are, what they have open, locked and done. In memory only: a mount
// says all of it again when the service does not know it, and until mounts have had the time for
// that, nothing is taken for closed or free. Owned by MetaEngine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "proto/wire/fs.pb.h"
#include "proto/wire/load.pb.h"
#include "server/meta/file_locks.h"
#include "server/meta/mount_reports.h"

namespace cairn {

// Lives on one executor.
class MountTable {
 public:
  // A mount that is silent for so long is gone, with its locks.
  static constexpr absl::Duration kTtl = absl::Seconds(30);

  // `any_before`: there may be mounts that know an earlier process of this service.
  void Start(const Clock& clock, bool any_before);

  // A mount is known once it has said all that it has open and locked. One that is not is told so.
  wire::RenewMountReply Renew(const wire::RenewMountRequest& request);
  // False: it has it open already.
  bool Open(uint64_t mount, uint64_t inode);
  void Close(uint64_t mount, uint64_t inode);

  // Some mount has it open, or may have: those that this process has not heard of yet count until
  // they have had their time.
  bool MayBeOpen(uint64_t inode);
  bool AnyLive();
  // New locks are given to nobody: others may have had them.
  bool InGrace() const;

  FileLocks& locks() { return locks_; }
  size_t mounts() const { return mounts_.size(); }
  size_t open_inodes() const { return opens_.size(); }
  // What the mounts that do most are doing, at most `count` of them, the busiest first. Names are
  // cut to kTextBytesMax, in whole characters.
  std::vector<wire::MountLoad> Busiest(size_t count);

  // Mounts choose their names, and those of some have to fit a message.
  static constexpr size_t kTextBytesMax = 128;

 private:
  struct Mount {
    std::string name, client, path;
    MountReports reports;
    MonoTime heard_at;
    bool known = false;
    absl::flat_hash_set<uint64_t> open;
  };
  Mount& Touch(uint64_t mount);
  static void Describe(const wire::RenewMountRequest& request, MonoTime now, Mount* mount);
  void Drop(uint64_t mount);
  void DropSilent();

  const Clock* clock_ = nullptr;
  MonoTime grace_until_;
  MonoTime looked_at_;
  absl::flat_hash_map<uint64_t, Mount> mounts_;
  absl::flat_hash_map<uint64_t, int> opens_;  // by inode: how many mounts
  FileLocks locks_;
};

}  // namespace cairn
