// Where the stripes of one write go: a rotation over placement groups, less those with a target
// that has refused. Pure: write_path.h moves the bytes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/base/ids.h"
#include "common/placement/redundancy.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

class Rotation {
 public:
  // Over groups of `map` that have `redundancy` and whose targets and nodes are all up. Writers
  // that begin together, as the ranks of a job do, give consecutive numbers as `turn`: theirs then
  // are all groups, one as often as another, although none knows of the others. `shard` counts what
  // one of them writes, so that its shards go to other groups each.
  Rotation(const wire::ClusterMap& map, const Redundancy& redundancy, uint64_t turn,
           uint64_t shard = 0);

  // What a newer map says: groups that it has made or that are whole again are used, targets that
  // are not up any more are avoided. Maps that are not newer are ignored.
  void Learn(const wire::ClusterMap& map);

  // REQUIRES: Usable() is OK.
  PgId GroupOf(StripeId stripe) const;
  // The target is full or has failed, or its node is silent: no later stripe of this write is meant
  // for it. What has refused once is not asked again, so that a full cluster is found out in one
  // round; what was silent is, once nothing else is left.
  void Refuse(TargetId target, absl::Status why);
  // Targets that were silent, and of which `is_back` says that they are not any more.
  void Forgive(absl::FunctionRef<bool(TargetId)> is_back);
  // Targets that were full: space may have come back.
  void ForgiveFull();
  // It has refused, or a map has said that it is not up.
  bool IsAvoided(TargetId target) const { return refused_.contains(target); }
  // Whether stripes could go on without the target.
  bool CanAvoid(TargetId target) const;
  // All that are avoided.
  std::vector<TargetId> Avoided() const;
  // Stripes go to crowded groups, because targets of the full ones are silent.
  bool IsCrowdedForSilence() const;
  // OK while a group is left. RESOURCE_EXHAUSTED: all targets that work are full. UNAVAILABLE: none
  // was up. FAILED_PRECONDITION: those that were have failed.
  absl::Status Usable() const;

 private:
  struct Group {
    PgId id;
    std::vector<TargetId> targets;
    bool crowded = false;
  };
  // Those whose targets are all among `usable`, but for those there already.
  void AddGroups(const wire::ClusterMap& map, const absl::flat_hash_set<uint32_t>& usable);
  // Groups that are next to each other have no target in common, as far as that goes.
  void Arrange();
  // Also forgives silence once nothing else is left.
  void Choose();
  void ChooseAll();
  void ChooseAmong(bool crowded);
  bool IsRefused(const Group& group) const;

  const std::string redundancy_;
  uint64_t version_;
  std::vector<Group> groups_;
  std::vector<PgId> chosen_;
  bool chosen_are_crowded_ = false;
  std::map<TargetId, absl::Status> refused_;
};

}  // namespace cairn
