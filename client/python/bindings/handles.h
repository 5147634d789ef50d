// The SDK's objects as Python holds them. Each remembers the process that made it: after fork() the
// SDK's thread is gone, so a child refuses to use an inherited one and never destroys it. Calls on
// a shard, which is not thread-safe, are serialised: one that Ctrl-C interrupted may still be
// running.
#pragma once

#include <unistd.h>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cairn/client.h"
#include "client/python/bindings/memory.h"

namespace cairn::python {

template <class T>
class Handle {
 public:
  explicit Handle(std::unique_ptr<T> object) : object_(std::move(object)), pid_(getpid()) {}
  ~Handle() {
    if (pid_ != getpid()) {
      (void)object_.release();
    } else {
      Destroy();
    }
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  // Runs `use(T&)`, side by side with other calls. FAILED_PRECONDITION in a child process.
  template <class Use>
  auto With(Use use) -> std::invoke_result_t<Use, T&> {
    if (pid_ != getpid()) {
      return absl::FailedPreconditionError(
          "made before fork(): make a new one in the child process");
    }
    return use(*object_);
  }

  // As With(), one call at a time.
  template <class Use>
  auto WithLock(Use use) -> std::invoke_result_t<Use, T&> {
    // Refused before the lock: a child may have inherited it held by a thread of the parent's.
    if (pid_ != getpid()) return With(std::move(use));
    std::lock_guard lock(mutex_);
    return With(std::move(use));
  }

  // For what needs neither a thread nor the network.
  const T& get() const { return *object_; }

 private:
  // The SDK's destructors wait for what is under way: not with the GIL in hand.
  void Destroy() {
    if (Py_IsInitialized() && PyGILState_Check()) {
      pybind11::gil_scoped_release release;
      object_.reset();
    } else {
      object_.reset();
    }
  }

  std::unique_ptr<T> object_;
  pid_t pid_;
  std::mutex mutex_;
};

using ClientHandle = Handle<Client>;
using FileHandle = Handle<File>;
using CheckpointHandle = Handle<CheckpointWriter>;

// A shard, and the memory lent to it since the last Flush().
class ShardHandle {
 public:
  explicit ShardHandle(ShardWriter writer)
      : writer(std::make_unique<ShardWriter>(std::move(writer))) {}

  // REQUIRES: the GIL is held.
  void Lent(std::shared_ptr<Loan> loan) { loans.push_back(std::move(loan)); }

  // Declared before the writer: destroyed after it, when no server reads the memory any more.
  std::vector<std::shared_ptr<Loan>> loans;
  Handle<ShardWriter> writer;
};

}  // namespace cairn::python
