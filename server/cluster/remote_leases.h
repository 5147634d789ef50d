// On a node without the metadata: whether leases still live, asked of the node that knows. One
// question carries all leases that wait, and a lease found live counts as such for a second, so
// that a checkpoint of any number of ranks costs a node one small call a second.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/task/event.h"
#include "common/task/scope.h"
#include "common/task/task.h"

namespace cairn {

// Lives on one executor.
class RemoteLeases {
 public:
  // Which of the leases are live; an error when nobody answers.
  using Ask = std::function<Task<absl::StatusOr<std::vector<LeaseId>>>(std::vector<LeaseId>)>;
  explicit RemoteLeases(Ask ask) : ask_(std::move(ask)) {}

  // UNAVAILABLE and the like when it cannot be known now.
  Task<absl::StatusOr<bool>> IsLive(LeaseId lease);
  // No lease counts as live any more without asking again, those being asked about included. To be
  // called before anything is freed: what is sealed under a lease that has ended would stay for
  // ever.
  void Forget();
  // Waits for questions under way.
  Task<void> Stop() { return scope_.Join(); }

 private:
  struct Waiting {
    Event answered;
    absl::StatusOr<bool> live = false;
  };
  using Round = absl::flat_hash_map<LeaseId, std::shared_ptr<Waiting>>;
  Task<void> AskAll();
  void Answer(const Round& round, const absl::StatusOr<std::vector<LeaseId>>& live, bool keep);

  const Ask ask_;
  absl::flat_hash_map<LeaseId, MonoTime> live_until_;
  Round waiting_;
  bool asking_ = false;
  uint64_t forgotten_ = 0;
  Scope scope_;
};

}  // namespace cairn
