// The commit point: everything that changes the metadata passes through here. Commands that arrive
// while a write is on its way wait, and go together into the next one. Owned by MetaEngine; next on
// the data path: state_machine.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/task/blocking.h"
#include "common/task/event.h"
#include "common/task/task.h"
#include "common/telemetry/histogram.h"
#include "proto/disk/meta_log.pb.h"
#include "server/kv/kv.h"
#include "server/meta/transaction.h"

namespace cairn {

// Lives on one executor. REQUIRES: `runner` has one thread, which alone writes `kv`.
class GroupCommitter {
 public:
  // Called with what a group did, after it is durable and before anyone is told.
  using OnCommitted = std::function<void(const Effects&)>;
  GroupCommitter(Kv& kv, BlockingRunner& runner, OnCommitted on_committed);
  ~GroupCommitter();
  GroupCommitter(const GroupCommitter&) = delete;
  GroupCommitter& operator=(const GroupCommitter&) = delete;

  // Applies the command in its turn; returns the serialized reply once it is durable, and all that
  // was replied to before with it; of a buffered one (state_machine.h) at once. UNAVAILABLE:
  // the queue is full, the committer has stopped (nothing was done), or the store has failed (the
  // outcome is unknown). RESOURCE_EXHAUSTED: the store is full; nothing was done, and commands that
  // free space still go.
  Task<absl::StatusOr<std::string>> Execute(disk::Command command);

  // The loop. Ends after Stop(), when all that was accepted has been answered.
  Task<void> Run();
  void Stop();

  // Some of what was replied to is not durable yet: it will be with the next command that is not
  // buffered.
  bool has_unsynced() const { return unsynced_; }

  // Not OK once a write has failed: for good, since nobody knows what the log holds after that.
  const absl::Status& failure() const { return failure_; }

  // What happened since the start, for metrics.
  struct Counters {
    Histogram group_commands;  // how many went together
    Histogram group_ns;        // applying and writing a group, until it is durable
    uint64_t refused = 0;      // commands that the queue had no room for
  };
  const Counters& counters() const { return counters_; }
  // Commands that wait for their group.
  size_t queued() const { return queue_.size(); }

  // A round number of a few groups: clients beyond it are told to come back, and memory stays
  // bounded.
  static constexpr size_t kMaxQueued = 32768;
  static constexpr size_t kMaxQueuedBytes = 64 << 20;
  // Bounds the memory of one overlay and batch, and how long the first command of a group waits for
  // the last.
  static constexpr size_t kMaxGroup = 1024;
  static constexpr size_t kMaxGroupBytes = 4 << 20;

 private:
  struct Waiting {
    disk::Command command;
    size_t bytes;
    absl::StatusOr<std::string> reply;
    Event done;
  };
  struct Group {
    std::vector<Waiting*> members;
    Effects effects;
    absl::Status written;
  };
  Group TakeGroup();
  // On the runner's thread:
  void ApplyAndWrite(Group& group);
  absl::Status ApplyTo(const std::vector<Waiting*>& members, Effects* effects);
  absl::Status Write(KvBatch batch, KvDurability durability);

  Kv& kv_;
  BlockingRunner& runner_;
  OnCommitted on_committed_;
  std::deque<Waiting*> queue_;
  size_t queued_bytes_ = 0;
  Counters counters_;
  Event work_;
  bool stopping_ = false;
  absl::Status failure_;
  // Written on the runner's thread while a group is on its way.
  std::atomic<bool> unsynced_ = false;
};

}  // namespace cairn
