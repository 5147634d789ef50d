// What a reactor sleeps on. Two kinds: the io_uring ring (ring_backend.h) and, where the kernel
// refuses that, ppoll (poll_backend.h). Everything above sees one-shot readiness reports; only
// disks see the ring itself.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "common/reactor/reactor.h"

namespace cairn {

// Lives on the reactor's thread.
class ReactorBackend {
 public:
  virtual ~ReactorBackend() = default;

  // Called by each Run() on the thread that will do everything else.
  virtual void BindToThread() = 0;

  // Reports `events` of `fd` (poll(2)'s bits; errors and hang-ups always) to `operation` once: the
  // bits, or a negative errno. The fd stays open and the operation in place until then.
  virtual void ArmPoll(int fd, short events, RingOperation* operation) = 0;
  // Makes an armed operation complete soon, with -ECANCELED unless its event came first.
  virtual void DisarmPoll(RingOperation* operation) = 0;

  // Hands what is prepared to the kernel; completions wait for Poll().
  virtual void Submit() = 0;
  // As Submit(), then runs the completions that are there. True when there was any.
  virtual bool Poll() = 0;
  // As Poll(), but waits for a completion, at most `timeout`. Can return early with nothing.
  virtual void Wait(absl::Duration timeout) = 0;

  // Null without io_uring.
  virtual io_uring* ring() = 0;
  virtual io_uring_sqe* GetSqe(RingOperation* operation) = 0;
};

}  // namespace cairn
