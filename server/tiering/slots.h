// How many moves of bytes are under way at once: as many as the cluster's nodes are good for, which
// changes with them. Who brings bytes back goes before who takes them away.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>

#include "absl/status/status.h"
#include "common/task/event.h"
#include "common/task/task.h"

namespace cairn {

// Lives on one executor.
class Slots {
 public:
  enum class Class { kRecall, kArchive };
  // `limit` may change from call to call; at least one slot there is always.
  explicit Slots(std::function<size_t()> limit) : limit_(std::move(limit)) {}

  // CANCELLED after Stop().
  Task<absl::Status> Take(Class of);
  void Give();
  void Stop();
  size_t used() const { return used_; }

 private:
  struct Waiter {
    Event granted;
  };
  void Grant();
  bool HasRoom() const;

  const std::function<size_t()> limit_;
  size_t used_ = 0;
  bool stopped_ = false;
  std::deque<Waiter*> recalls_;
  std::deque<Waiter*> archives_;
};

}  // namespace cairn
