// What the jobs of tiering share: the metadata, the nodes that move bytes, whose turn it is, and
// how each tier does.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/task/semaphore.h"
#include "common/task/stop.h"
#include "common/task/task.h"
#include "proto/wire/tier.pb.h"
#include "server/meta/meta_engine.h"
#include "server/tiering/bandwidth.h"
#include "server/tiering/slots.h"
#include "server/tiering/tier_nodes.h"

namespace cairn {

// A job under way, for those who look.
struct TierProgress {
  wire::TierStep step = wire::TIER_STEP_NONE;
  uint64_t done_bytes = 0;
  bool cancelled = false;
};

// How a tier has done lately.
struct TierState {
  uint32_t failures = 0;  // in a row
  absl::Status error;     // the last
  MonoTime failed_at;
  absl::Time failing_since;
  MonoTime hold_until;  // nothing new is begun before
};

// Lives on core 0's executor.
class TierShared {
 public:
  TierShared(MetaEngine& meta, TierNodes& nodes);

  MetaEngine& meta() { return meta_; }
  TierNodes& nodes() { return nodes_; }
  Slots& slots() { return slots_; }
  StopSource& stop() { return stop_; }
  // Everything that waits ends with CANCELLED.
  void RequestStop();

  // As the metadata has had it a moment ago. NOT_FOUND.
  absl::StatusOr<wire::TierInfo> FindTier(const std::string& name) const;
  void SetTiers(const wire::ListTiersReply& tiers);
  const std::map<std::string, wire::TierInfo>& tiers() const { return tiers_; }

  // One after the other. UNAVAILABLE: none is there.
  absl::StatusOr<wire::NodeInfo> NextNode();
  // Waits until so many bytes may be moved: one at a time of each class, so that a limit which is
  // lifted is noticed, and without a slot, which others could use.
  Task<absl::Status> KeepPace(const wire::TierInfo& tier, Slots::Class of, uint64_t bytes);
  // What a node has answered: one that is stopping cancels, which is no more than that it is away.
  absl::Status OfNode(const absl::Status& answered) const;

  // How something that needed the tier has ended: what is the tier's fault holds up what follows.
  void NoteOutcome(const std::string& tier, const absl::Status& outcome);
  const std::map<std::string, TierState>& states() const { return states_; }
  bool IsHeld(const std::string& tier) const;

  Deadline After(absl::Duration timeout) const {
    return Deadline::After(Executor::Current().clock(), timeout);
  }

 private:
  MetaEngine& meta_;
  TierNodes& nodes_;
  Slots slots_;
  StopSource stop_;
  Pace pace_;
  std::map<std::pair<std::string, Slots::Class>, std::unique_ptr<Semaphore>> pacing_;
  std::map<std::string, wire::TierInfo> tiers_;
  std::map<std::string, TierState> states_;
  size_t next_node_ = 0;
};

// How a job ends that is not wanted any more.
absl::Status CancelledByOperator();
// A store that does not answer now may do so again; other errors stay.
bool MayRecover(const absl::Status& status);
// What the metadata refuses because it wants another thing by now says nothing of the tier.
absl::Status Superseded(const absl::Status& refused);
// The error says something of the tier, not of what was moved.
bool IsTiersFault(const absl::Status& status);

}  // namespace cairn
