// System calls on locks: fcntl(2)'s and flock(2)'s, which other mounts see, too.
#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <cstdint>
#include <memory>

#include "client/fuse/bridge.h"
#include "client/fuse/lock_range.h"

namespace cairn {
namespace {

void TestLock(fuse_req_t request, fuse_ino_t node, fuse_file_info* file, struct flock* lock) {
  Call call(request, Operation::kLock, node);
  const auto found = call.file_system().TestLock(call.inode(), FromFlock(*lock, file->lock_owner));
  if (!found.ok()) return call.Answer(found.status());
  call.AnswerLock(ToFlock(*found));
}

void Unlock(Call& call, const FileLockRequest& lock) {
  // The service may have lost it: then nobody has it any more, which is what is asked for.
  const auto unlocked = call.file_system().Lock(call.inode(), lock);
  call.bridge().lock_queue.Retry();
  call.Answer(unlocked.status());
}

// close(2) comes back before the kernel tells the mount that an open file has ended, which is when
// its flock(2) ends: who does not want to wait waits so long for what was just closed.
constexpr absl::Duration kCloseTakes = absl::Milliseconds(100);

// Answered by the queue. What waits holds no thread of libfuse's, and is told when the process is.
void Enqueue(fuse_req_t request, fuse_ino_t node, const FileLockRequest& lock, bool waits) {
  auto call = std::make_shared<Call>(request, Operation::kLock, node);
  Bridge& bridge = call->bridge();
  bridge.locks.Remember(call->inode(), lock.kind, lock.owner);
  LockQueue::Request queued;
  queued.key = request;
  queued.gives_up = waits ? MonoTime::Never() : bridge.locks.ClosedAt(call->inode()) + kCloseTakes;
  queued.attempt = [call, lock] { return call->file_system().Lock(call->inode(), lock); };
  queued.answer = [call, node](LockQueue::Outcome outcome, const absl::Status& status) {
    if (outcome == LockQueue::Outcome::kInterrupted) return call->Refuse(EINTR);
    if (outcome == LockQueue::Outcome::kTaken) return call->Refuse(EAGAIN);
    // What others have written under their locks is to be seen under this one.
    if (outcome == LockQueue::Outcome::kGot) {
      call->bridge().DropCache(node);
      call->bridge().open_sizes.Forget(call->inode());
    }
    call->Answer(status);
  };
  bridge.lock_queue.Add(std::move(queued), [request, &bridge] {
    fuse_req_interrupt_func(
        request,
        [](fuse_req_t interrupted, void* data) {
          static_cast<Bridge*>(data)->lock_queue.Interrupt(interrupted);
        },
        &bridge);
  });
}

void SetLock(fuse_req_t request, fuse_ino_t node, fuse_file_info* file, struct flock* lock,
             int waits) {
  const FileLockRequest wanted = FromFlock(*lock, file->lock_owner);
  if (wanted.type != FileLockType::kUnlock) return Enqueue(request, node, wanted, waits != 0);
  Call call(request, Operation::kLock, node);
  Unlock(call, wanted);
}

void Flock(fuse_req_t request, fuse_ino_t node, fuse_file_info* file, int operation) {
  FileLockRequest wanted;
  wanted.kind = FileLockKind::kFlock;
  wanted.owner = file->lock_owner;
  wanted.process = static_cast<uint32_t>(fuse_req_ctx(request)->pid);
  switch (operation & ~LOCK_NB) {
    case LOCK_SH:
      wanted.type = FileLockType::kShared;
      break;
    case LOCK_EX:
      wanted.type = FileLockType::kExclusive;
      break;
    default:
      wanted.type = FileLockType::kUnlock;
      break;
  }
  if (wanted.type != FileLockType::kUnlock)
    return Enqueue(request, node, wanted, (operation & LOCK_NB) == 0);
  Call call(request, Operation::kLock, node);
  call.bridge().locks.Forget(call.inode(), wanted.kind, wanted.owner);
  Unlock(call, wanted);
}

}  // namespace

void ReleaseLocks(Call& call, FileLockKind kind, uint64_t owner) {
  if (!call.bridge().locks.Forget(call.inode(), kind, owner)) return;
  FileLockRequest all;
  all.kind = kind;
  all.type = FileLockType::kUnlock;
  all.owner = owner;
  const auto unlocked = call.file_system().Lock(call.inode(), all);
  if (!unlocked.ok()) call.bridge().Complain(Operation::kLock, call.inode(), unlocked.status());
  call.bridge().lock_queue.Retry();
}

void AddLockCalls(fuse_lowlevel_ops* calls) {
  calls->getlk = TestLock;
  calls->setlk = SetLock;
  calls->flock = Flock;
}

}  // namespace cairn
