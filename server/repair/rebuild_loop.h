// Carries out the moves of the cluster map: plans them (server/cluster/moves.h), has the targets
// that take over given what the group's stripes have there, switches the members, and goes on until
// nothing written before that can be missing. One mechanism for nodes that are lost, drained,
// added, or back.
//
// Keeps no state of its own that a restart would miss: moves are in the map, and what a target
// holds already is not made again.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/task/scope.h"
#include "common/task/semaphore.h"
#include "common/task/stop.h"
#include "proto/wire/cluster.pb.h"
#include "server/cluster/moves.h"
#include "server/cluster/peers.h"
#include "server/meta/meta_engine.h"
#include "server/repair/map_view.h"
#include "server/repair/storage_check.h"

namespace cairn {

// Lives on the executor of `peers`, on the node with the metadata role.
class RebuildLoop {
 public:
  // What changes the map, durably, and what it is now (server/service/map_keeper.h).
  struct Map {
    std::function<const wire::ClusterMap&()> get;
    // Makes `change` of it; it returns whether it has changed anything.
    std::function<Task<absl::Status>(std::function<bool(wire::ClusterMap*)> change)> apply;
    // How full targets are.
    std::function<std::map<uint32_t, MoveFacts::Usage>()> usage;
    // Groups that stay crowded for now.
    std::function<std::set<uint32_t>()> keep_crowded;
  };
  struct Options {
    // A target that has failed for so long is given up, and what it held is made again.
    absl::Duration give_up_after = absl::Minutes(10);
  };
  RebuildLoop(MetaEngine& meta, Peers& peers, Map map, Options options);
  ~RebuildLoop();

  void Start() { scope_.Spawn(Run()); }
  // From now on it says nothing of what fails.
  void RequestStop() { stop_.RequestStop(); }
  // `peers` must have been stopped: what is under way waits for them.
  Task<void> Stop();

  // What compares and frees, for all who do.
  StorageCheck& check() { return check_; }
  // Of the moment.
  wire::RebuildStatusReply Status() const;
  // By which moves are planned now.
  MoveFacts Facts() const;

 private:
  // Which member is to be given its fragments: group, index, target.
  using MoveKey = std::tuple<uint32_t, uint32_t, uint32_t>;
  struct Batch;
  struct Pass;

  Task<void> Run();
  Task<absl::Status> Plan();
  bool NotePlanFacts();
  Task<absl::Status> ApplyPlan(std::function<bool(wire::ClusterMap*)> change);
  Task<absl::Status> FenceSettling();
  std::vector<MoveKey> Due() const;
  void NoteTry(const std::vector<MoveKey>& due);
  void WantSweep();
  bool SweepIsDue();
  bool CanSweepMore() const;
  bool SweepIsExpected() const;
  Task<absl::Status> RunPass(std::vector<MoveKey> due);
  Task<absl::Status> RestorePage(Pass& pass, const StripePage& page);
  Task<void> RestoreBatch(Pass* pass, Batch batch);
  void NoteReply(Pass& pass, const MoveKey& key,
                 const absl::StatusOr<wire::RestoreFragmentsReply>& reply, size_t stripes);
  Task<absl::Status> FreeGone(Pass& pass, const StripePage& page, uint64_t from);
  Task<absl::Status> EndPass(const Pass& pass);
  Task<absl::Status> Sweep();

  MetaEngine& meta_;
  Peers& peers_;
  const Map map_;
  const Options options_;
  StorageCheck check_;
  MoveFacts facts_;
  std::map<uint32_t, MonoTime> failed_since_;  // by target
  uint64_t planned_version_ = 0;
  MonoTime plan_again_;
  // Of settling moves: leases from before this may still refer to what the new member lacks.
  std::map<MoveKey, LeaseId> fences_;
  std::set<MoveKey> copying_;  // at the last look
  // Of the last try that has left something undone, what was to be done.
  std::vector<MoveKey> failed_due_;
  uint64_t tried_version_ = 0;  // of the map
  MonoTime next_try_;
  absl::Duration patience_;
  // Fragments are left where no group has them any more.
  bool sweep_wanted_ = false;
  uint64_t wishes_ = 0;    // WantSweep(), so often
  int sweeps_failed_ = 0;  // in a row: something was left
  MonoTime next_sweep_;
  MonoTime first_sweep_;
  std::set<uint32_t> unswept_;  // targets that the last sweep could not ask
  std::map<uint32_t, std::unique_ptr<Semaphore>> calls_;  // under way, by node

  wire::RebuildStatusReply status_;
  struct RateMark {
    MonoTime at;
    uint64_t bytes = 0;
  };
  std::vector<RateMark> marks_;
  StopSource stop_;
  Scope scope_;
};

}  // namespace cairn
