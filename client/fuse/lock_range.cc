// See lock_range.h.
#include "client/fuse/lock_range.h"

namespace cairn {

FileLockRequest FromFlock(const struct flock& lock, uint64_t owner) {
  FileLockRequest request;
  request.kind = FileLockKind::kPosix;
  request.type = lock.l_type == F_WRLCK   ? FileLockType::kExclusive
                 : lock.l_type == F_RDLCK ? FileLockType::kShared
                                          : FileLockType::kUnlock;
  request.owner = owner;
  request.begin_bytes = static_cast<uint64_t>(lock.l_start);
  // No length: as far as the file will ever reach.
  if (lock.l_len > 0) request.end_bytes = request.begin_bytes + static_cast<uint64_t>(lock.l_len);
  request.process = static_cast<uint32_t>(lock.l_pid);
  return request;
}

struct flock ToFlock(const std::optional<FileLockRequest>& lock) {
  struct flock result = {};
  result.l_type = F_UNLCK;
  result.l_whence = SEEK_SET;
  if (!lock.has_value()) return result;
  result.l_type = lock->type == FileLockType::kExclusive ? F_WRLCK : F_RDLCK;
  result.l_start = static_cast<off_t>(lock->begin_bytes);
  result.l_len =
      lock->end_bytes > INT64_MAX ? 0 : static_cast<off_t>(lock->end_bytes - lock->begin_bytes);
  result.l_pid = static_cast<pid_t>(lock->process);
  return result;
}

}  // namespace cairn
