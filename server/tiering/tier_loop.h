// Tiering as it goes on by itself, on the node with the metadata: looks at what has changed or come
// of age (server/meta/tier_evaluate.h), begins the steps that are queued, keeps watermarks, and
// gives back what lies in cold tiers for nothing. All of it is in the metadata: after a restart it
// goes on where it was.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/task/scope.h"
#include "common/task/stop.h"
#include "server/meta/meta_engine.h"
#include "server/tiering/collector.h"
#include "server/tiering/importer.h"
#include "server/tiering/tier_nodes.h"
#include "server/tiering/tier_shared.h"

namespace cairn {

// Lives on core 0's executor.
class TierLoop {
 public:
  TierLoop(MetaEngine& meta, TierNodes& nodes);
  ~TierLoop();

  void Start();
  void RequestStop();
  Task<void> Stop();

  // Something is to be looked at.
  void Wake();
  // A file was opened for reading: some of it lies in a cold tier alone, or not.
  void NoteRead(InodeId subject, bool cold);
  // Writers find all targets full: what may be let go of is, watermarks or not. Whether space is
  // coming.
  Task<absl::StatusOr<wire::AskForSpaceReply>> AskForSpace();
  // A job of it that is under way ends soon. Of 0: all that are under way look whether they are
  // still wanted.
  Task<void> CancelUnwanted();
  Importer& importer() { return importer_; }

  // Jobs under way, by subject.
  const std::map<uint64_t, TierProgress*>& running() const { return running_; }
  // For people: why nothing is begun; "": nothing holds it up.
  std::string HoldsBack() const;
  // What is wrong with tiers, as server/cluster/health.h has it.
  std::vector<wire::HealthItem> Health() const;

  struct Counters {
    uint64_t looked_at = 0;
    uint64_t steps_begun = 0;
    uint64_t waiting = 0;           // steps, when last looked
    int64_t oldest_waiting_ns = 0;  // Unix time of the one that waits longest; 0: none
    uint64_t deleted_objects = 0;
    uint64_t compacted_bytes = 0;
  };
  Counters counters() const;

 private:
  struct Job;
  Task<void> Run();
  Task<void> Nap(absl::Duration duration);
  Task<absl::Status> Prepare();
  Task<void> CollectAll();
  Task<absl::Status> Round();
  Task<absl::Status> LearnTiers();
  Task<absl::Status> Evaluate();
  Task<absl::Status> WritePressures(disk::RunTiering* run);
  Task<absl::StatusOr<std::vector<TierTask>>> FindSteps(TierTaskFilter filter);
  Task<absl::Status> BeginSteps();
  void Begin(std::vector<TierTask> tasks);
  Task<void> RunJob(Job* job);
  size_t RunningOf(wire::TierStep step) const;
  Task<absl::Status> FlushReads();
  bool IsFull(const wire::ListTierPoliciesReply::Entry& policy, const TierNodes::Fill& fill);

  MetaEngine& meta_;
  TierNodes& nodes_;
  TierShared shared_;
  Collector collector_;
  Importer importer_;
  Scope scope_;
  bool woken_ = true;
  std::unique_ptr<StopSource> nap_;
  std::vector<wire::ListTierPoliciesReply::Entry> policies_;
  std::set<std::string> draining_;  // policies above their high watermark, until below the low one
  std::list<Job> jobs_;
  std::map<uint64_t, TierProgress*> running_;
  struct Read {
    int64_t at_ns = 0;
    bool cold = false;
  };
  std::map<uint64_t, Read> reads_;
  MonoTime reads_flushed_at_;
  MonoTime learned_at_;
  MonoTime collected_at_;
  bool collecting_ = false;
  MonoTime pressed_at_;
  MonoTime starving_until_;
  uint64_t spared_bytes_ = 0;  // for writers in need, last
  int64_t next_due_ns_ = 0;
  bool steps_wait_ = false;
  std::string passed_by_;      // up to here, no step could begin
  bool hot_is_stuck_ = false;  // above a watermark, and nothing may be let go of
  Counters counters_;
};

}  // namespace cairn
