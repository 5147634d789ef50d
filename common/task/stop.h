// Cooperative stopping. A stopped task ends with CANCELLED, which is not an error: never logged,
// never retried.
#pragma once

#include <coroutine>

#include "absl/status/status.h"
#include "common/task/deadline.h"
#include "common/task/executor.h"
#include "common/task/task.h"

namespace cairn {

// Lives on one executor; outlives everyone who waits on it.
class StopSource {
 public:
  StopSource() = default;
  StopSource(const StopSource&) = delete;
  StopSource& operator=(const StopSource&) = delete;

  void RequestStop();
  bool stop_requested() const { return stopped_; }

 private:
  friend Task<absl::Status> SleepUntil(Deadline deadline, StopSource& stop);
  struct Sleeper {
    std::coroutine_handle<> handle;
    TimerId timer;
    Sleeper* next;
  };
  struct Awaiter;
  bool stopped_ = false;
  Sleeper* sleepers_ = nullptr;
};

// OK once the deadline has passed; CANCELLED at once when `stop` is or becomes requested.
Task<absl::Status> SleepUntil(Deadline deadline, StopSource& stop);
inline Task<absl::Status> SleepFor(absl::Duration duration, StopSource& stop) {
  return SleepUntil(Deadline::After(Executor::Current().clock(), duration), stop);
}

}  // namespace cairn
