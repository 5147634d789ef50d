// Requests for locks, on threads of their own: those that wait for somebody would else take the
// threads that serve all other system calls, and what the kernel has cached of a file is dropped
// with each lock got, for which it may wait for reads that these threads serve. The service keeps
// no queue: a lock that somebody has is asked for again, more and more rarely.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace cairn {

class LockQueue {
 public:
  enum class Outcome {
    kGot,
    kTaken,        // somebody else has it, and the request does not wait (any longer)
    kInterrupted,  // by Interrupt() or Stop(): of those that never give up
    kFailed,
  };
  struct Request {
    const void* key = nullptr;  // what Interrupt() calls it by; unique among those under way
    // Until when it is asked for again while somebody else has it. Never(): until it is
    // interrupted.
    MonoTime gives_up;
    // Whether the lock was got. Called again and again, by one thread at a time.
    std::function<absl::StatusOr<bool>()> attempt;
    // Called once. The status is that of the attempt that failed.
    std::function<void(Outcome, const absl::Status&)> answer;
  };

  LockQueue(const Clock* clock, int threads);
  // Stop() has been called.
  ~LockQueue();
  LockQueue(const LockQueue&) = delete;
  LockQueue& operator=(const LockQueue&) = delete;

  // `before_start` is called when Interrupt() finds the request, and before it can be answered.
  void Add(Request request, const std::function<void()>& before_start = nullptr);
  // The request need not be there any more.
  void Interrupt(const void* key);
  // Somebody here has let go of a lock: those who wait try at once.
  void Retry();
  // Answers all that wait, and joins the threads.
  void Stop();

  // 5 ms, doubled up to 500 ms.
  static absl::Duration PauseAfter(absl::Duration pause);

 private:
  struct Waiting {
    Request request;
    MonoTime due;
    absl::Duration pause = absl::ZeroDuration();
    bool held = true;  // not to be touched by the threads yet
    bool tried = false;
    bool busy = false;
    bool interrupted = false;
    bool retry = false;
  };
  using Place = std::list<Waiting>::iterator;

  void Run();
  // The request to work on next; sets `until` to when to look again.
  Place NextLocked(MonoTime* until);
  void WorkOn(Place place, std::unique_lock<std::mutex>& lock);

  const Clock* clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Waiting> waiting_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace cairn
