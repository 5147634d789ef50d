// How saves go, for operators: the attempts at checkpoints that are open, and how those have ended
// that did since the start. Only in memory; owned by MetaEngine, which fills it from what commands
// have done.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/ids.h"
#include "common/telemetry/histogram.h"
#include "server/meta/transaction.h"

namespace cairn {

// An attempt that was open when the process started.
struct OpenAttempt {
  LeaseId lease;
  int64_t begun_at_ns = 0;
};

// Times are of the commands: Unix time, in nanoseconds. Lives on one executor.
class SaveLog {
 public:
  struct Totals {
    uint64_t committed = 0;
    uint64_t committed_bytes = 0;
    uint64_t aborted = 0;
    int64_t last_commit_ns = 0;  // 0: none yet
    Histogram durations_ns;      // from begin to commit
  };

  void Recover(const std::vector<OpenAttempt>& attempts);
  void Note(const SaveEvent& event);

  const Totals& totals() const { return totals_; }
  size_t open() const { return begun_.size(); }
  // When the oldest of the open attempts was begun; 0: none is open. Looks at all of them.
  int64_t oldest_begun_ns() const;

 private:
  Totals totals_;
  absl::flat_hash_map<LeaseId, int64_t> begun_;
};

}  // namespace cairn
