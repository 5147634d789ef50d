// The seam for calls that block (RocksDB, getaddrinfo): they run on threads of their own, never on
// a reactor.
#pragma once

#include "absl/functional/any_invocable.h"
#include "common/task/task.h"

namespace cairn {

// The real one is BlockingPool in common/reactor; the simulated one runs the function at a later
// step of the same thread.
class BlockingRunner {
 public:
  virtual ~BlockingRunner() = default;
  // Runs `function` elsewhere and resumes the caller on its own executor when it has returned. Work
  // given to a runner with one thread runs in the order given. Never fails; a queue that is too
  // long is the caller's to prevent.
  virtual Task<void> Run(absl::AnyInvocable<void()> function) = 0;
};

}  // namespace cairn
