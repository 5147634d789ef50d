// Gives back what lies in cold tiers for nothing: deletes objects that nothing refers to, manifests
// first, and writes anew what little is alive of others.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/task/task.h"
#include "server/tiering/tier_shared.h"

namespace cairn {

// Lives on core 0's executor.
class Collector {
 public:
  explicit Collector(TierShared& shared) : shared_(shared) {}

  // What was planned before this start and never noted is garbage. To be called before anything is
  // planned.
  Task<absl::Status> AbandonPlanned();
  // A round of both; does some, and says whether there may be more at once.
  Task<bool> Collect();

  uint64_t deleted_objects() const { return deleted_objects_; }
  uint64_t compacted_bytes() const { return compacted_bytes_; }

 private:
  // A page of the queue; whether it was the last. What cannot be deleted now is passed by, until
  // the next time: one tier that is away does not hold up the others.
  Task<bool> DeleteSome(ColdQueue queue);
  Task<absl::Status> DeleteOf(const std::string& tier, std::vector<ColdObjectFound> objects);
  Task<bool> CompactSome();
  Task<absl::Status> CompactOf(const std::string& tier, std::vector<ColdObjectFound> objects);
  // It may still be put, or a manifest may still tell of it.
  bool HasToWait(const ColdObjectFound& object) const;

  TierShared& shared_;
  uint64_t deleted_objects_ = 0;
  uint64_t compacted_bytes_ = 0;
  std::map<ColdQueue, uint64_t> delete_from_;  // that page
  uint64_t compacted_below_ = 0;               // those from here on were not looked at yet
};

}  // namespace cairn
