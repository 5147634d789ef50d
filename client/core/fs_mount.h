// What the service knows of this mount while it lives: which files it has open, so that they
// outlive their last name, and which locks it holds. Said again to a service that has forgotten.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "client/core/fs_context.h"
#include "client/core/fs_locks.h"

namespace cairn::client_internal {

// Lives on the session's executor.
class MountSession {
 public:
  MountSession(FsContext& context, uint64_t id) : context_(context), id_(id) {}

  // Introduces the mount, and goes on doing so until the context stops.
  Task<absl::Status> Start();
  // Says what was closed, and goodbye.
  Task<void> End();

  uint64_t id() const { return id_; }

  // A file is open until it was closed as often. Errors are those of OPEN_NODE: NOT_FOUND (ESTALE).
  Task<absl::StatusOr<wire::OpenNodeReply>> Open(uint64_t inode, bool for_reading);
  // The service has made the file, and has it open for this mount.
  void NoteOpen(uint64_t inode) { ++open_[inode]; }
  void Close(uint64_t inode);

  // LOCK_FILE. FAILED_PRECONDITION (EIO): the owner has lost a lock of the file, and has not
  // unlocked it since.
  Task<absl::StatusOr<wire::LockFileReply>> Lock(wire::FileLock lock, bool test);
  const LockTable& locks() const { return locks_; }
  // Somebody has lost a lock of it: what is done under it would harm others.
  bool HasLost(uint64_t inode) const;

  // Now rather than at its time. For tests.
  Task<absl::Status> Renew();

 private:
  Task<void> Run();
  Task<absl::Status> Say(wire::RenewMountRequest request, bool* known);
  // What this mount has done since it began.
  wire::MountCounts Counts() const;
  // All that is open and locked.
  Task<absl::Status> Introduce();
  void NoteLost(const wire::FileLock& lock);
  Task<absl::StatusOr<wire::LockFileReply>> AskForLock(wire::FileLock lock, bool test);
  // Gives back what could not be given back before: of one owner in one file, or all.
  Task<absl::Status> PayOwed(std::optional<std::pair<uint64_t, uint64_t>> of);

  FsContext& context_;
  const uint64_t id_;
  absl::Duration ttl_ = absl::Seconds(20);
  absl::flat_hash_map<uint64_t, int> open_;
  std::set<uint64_t> closed_;        // to be told
  std::set<uint64_t> being_closed_;  // is being told
  Event told_;
  LockTable locks_;
  std::set<std::pair<uint64_t, uint64_t>> lost_;  // inode, owner
  std::vector<wire::FileLock> owed_;              // unlockings that the service may not know of
};

}  // namespace cairn::client_internal
