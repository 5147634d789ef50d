// Changes of the cluster map while the cluster serves: one at a time, durable in the metadata
// before anyone sees them, then told to clients by the version in every reply.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/task/semaphore.h"
#include "common/task/task.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/cluster/failure_detector.h"
#include "server/cluster/map_history.h"
#include "server/cluster/moves.h"
#include "server/meta/meta_engine.h"

namespace cairn {

// Lives on core 0's reactor.
class MapKeeper {
 public:
  // `map` is what is stored now, and is replaced by what is stored later; it and `engine` outlive
  // the keeper. `on_version` is told of each.
  MapKeeper(MetaEngine& engine, wire::ClusterMap& map, uint32_t groups_per_target,
            std::function<void(uint64_t version)> on_version);

  const wire::ClusterMap& map() const { return map_; }
  // Of the versions since the start.
  const MapHistory& history() const { return history_; }

  // Sees to it that there are placement groups for `redundancy` ("": the default).
  // INVALID_ARGUMENT when it is none; FAILED_PRECONDITION when the cluster has too few failure
  // domains, saying what would fit.
  Task<absl::Status> MakeGroups(std::string redundancy, wire::DomainLevel level);
  // Gives a node that joins, and its targets, their ids. Errors are AddNode's.
  Task<absl::StatusOr<wire::JoinReply>> Join(wire::JoinRequest request);
  // Brings what the map says of a node up to date. Costs nothing but a look when it is. Errors are
  // UpdateNode's.
  Task<absl::Status> Report(wire::HeartbeatRequest heartbeat);
  Task<absl::Status> SetNodeStates(std::vector<FailureDetector::Change> changes);
  // The id of a node's target. Errors are those of AddTarget() (membership.h).
  Task<absl::StatusOr<uint32_t>> AddNodeTarget(uint32_t node, uint32_t number);
  // What an operator wants of a node, of a target, and of how full targets are. Errors are those of
  // SetNodeIntent(), SetTargetIntent() and StartRebalance().
  Task<absl::Status> SetNode(wire::SetNodeRequest request, std::set<uint32_t> lost_groups);
  Task<absl::Status> SetTarget(wire::SetTargetRequest request,
                               std::map<uint32_t, MoveFacts::Usage> usage,
                               std::set<uint32_t> lost_groups);
  Task<absl::Status> Rebalance(wire::RebalanceRequest request);
  // For a writer who cannot reach some targets. INVALID_ARGUMENT when it is no redundancy;
  // RESOURCE_EXHAUSTED when so many have been made that no more are.
  Task<absl::Status> MakeGroupsWithout(wire::MakeGroupsRequest request);
  // Crowded groups that such a writer has wanted in the last minute: moves must not bring back
  // what it cannot reach. Ends as soon as all of that was away for everyone, down or restarted: it
  // comes back for everyone.
  std::set<uint32_t> KeepCrowded() const;
  // For the moves: `change` returns whether it has changed anything.
  Task<absl::Status> ChangeMoves(std::function<bool(wire::ClusterMap*)> change);

 private:
  struct Wanted {
    MonoTime last;
    std::set<uint32_t> out_of_reach;  // targets
  };
  using Change = absl::AnyInvocable<absl::Status(wire::ClusterMap*)>;
  // Stores what `change` makes of the map, unless it fails or changes nothing. RESOURCE_EXHAUSTED:
  // the map would be too large; a change of states only must always pass.
  enum class Kind { kMayGrow, kStates };
  Task<absl::Status> Apply(Change change, Kind kind = Kind::kMayGrow);
  Task<absl::Status> ApplyAlone(Change change, Kind kind);
  void NoteWanted(const wire::ClusterMap& map, std::string_view redundancy,
                  const std::set<uint32_t>& avoid);
  // `was_away`: a node that has restarted, besides those that cannot be reached now; 0: none.
  void ForgetWantedWithout(uint32_t was_away);

  MetaEngine& engine_;
  wire::ClusterMap& map_;
  const uint32_t groups_per_target_;
  const std::function<void(uint64_t version)> on_version_;
  MapHistory history_;
  std::map<uint32_t, Wanted> wanted_crowded_;  // by group
  Semaphore changing_{1};
};

}  // namespace cairn
