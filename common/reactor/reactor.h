// The reactor: one core's loop. It runs coroutines, fires timers, drives the io_uring ring and the
// fabric endpoint, spins briefly when idle and then sleeps on all of them at once. Where the kernel
// refuses io_uring (or the SDK runs in a container that forbids it) the same loop sleeps in ppoll
// and there is no ring.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/task/deadline.h"
#include "common/task/executor.h"
#include "common/task/task.h"

struct io_uring;
struct io_uring_sqe;

namespace cairn {

// Something that makes progress only when called: a fabric completion queue. Lives on the reactor's
// thread.
class Poller {
 public:
  virtual ~Poller() = default;
  // Makes progress; true when there was any.
  virtual bool Poll() = 0;
  // Becomes readable when Poll() should be called.
  virtual int wait_fd() const = 0;
  // Called right before sleeping on wait_fd(): false when the reactor must Poll() again instead.
  virtual bool PrepareToSleep() = 0;
};

// One operation in the ring. Stays where it is until OnCompletion(), which the reactor calls
// exactly once, on its thread, with the CQE's result: the kernel may work on its buffers until
// then, whoever stopped waiting.
class RingOperation {
 public:
  virtual void OnCompletion(int32_t result) = 0;

 protected:
  ~RingOperation() = default;
};

class Reactor final : public Executor {
 public:
  enum class Backend {
    kAuto,     // io_uring, else ppoll with a warning to ring_refusal()
    kIoUring,  // or fail
    kPoll,
  };
  struct Options {
    Backend backend = Backend::kAuto;
    // Twice the disk operations that a core's slabs allow; the ring refuses more by making GetSqe()
    // submit first.
    unsigned ring_entries = 256;
    // How long an idle loop polls before it sleeps. Spinning pays only where cores are plenty.
    absl::Duration spin = absl::ZeroDuration();
  };
  // FAILED_PRECONDITION when kIoUring is wanted and refused; the message names the setting to
  // change.
  static absl::StatusOr<std::unique_ptr<Reactor>> Create(Options options);
  ~Reactor() override;

  // Runs on the calling thread until Stop(). What was posted before runs first. May be called
  // again, on the same thread.
  void Run();
  // Ends Run() once it has run the messages that came before. From any thread.
  void Stop();

  void Post(std::coroutine_handle<> handle) override;
  void PostRemote(absl::AnyInvocable<void()> function) override;
  TimerId AddTimer(MonoTime at, absl::AnyInvocable<void()> function) override;
  bool CancelTimer(TimerId timer) override;
  Clock& clock() override;

  void AddPoller(Poller* poller);
  void RemovePoller(Poller* poller);

  // OK when `fd` is readable (writable) or has an error or a hang-up to report; DEADLINE_EXCEEDED.
  // The fd stays open until the call returns.
  Task<absl::Status> WaitReadable(int fd, Deadline deadline);
  Task<absl::Status> WaitWritable(int fd, Deadline deadline);

  // Null without io_uring. The reactor submits once a step; an entry from GetSqe() must be prepared
  // before the next step and carry `operation` (set by this call) until its completion.
  io_uring* ring();
  io_uring_sqe* GetSqe(RingOperation* operation);
  // Why there is no ring: what the kernel said and which setting to change. Empty when there is
  // one.
  const std::string& ring_refusal() const;

  // The longest single step (one coroutine resumption, timer, message or poll) since the last call:
  // a step over 10 ms stalls everything on this core.
  absl::Duration TakeLongestStep();

  // Since the start. From any thread.
  struct Load {
    absl::Duration busy;     // in steps: neither asleep nor waiting
    absl::Duration stalled;  // in those of over 10 ms
    uint64_t stalls = 0;     // so many
  };
  Load load() const;

 private:
  struct Impl;
  explicit Reactor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn
