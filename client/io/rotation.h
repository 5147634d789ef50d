// Where the stripes of one write go: a rotation over placement groups, less those with a target
// that has refused. Pure: write_path.h moves the bytes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "common/base/ids.h"
#include "common/base/random.h"
#include "common/placement/redundancy.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

class Rotation {
 public:
  // Over the groups of `map` that have `redundancy` and whose targets and nodes are all up, in
  // random order, so that every rank spreads over other ones.
  Rotation(const wire::ClusterMap& map, const Redundancy& redundancy, Random& random);

  // REQUIRES: Usable() is OK.
  PgId GroupOf(StripeId stripe) const;
  // The target is full or has failed, or its node is silent: no later stripe of this write is meant
  // for it. What has refused once is not asked again, so that a full cluster is found out in one
  // round; what was silent is, once nothing else is left.
  void Refuse(TargetId target, absl::Status why);
  // Whether stripes could go on without the target.
  bool CanAvoid(TargetId target) const;
  // OK while a group is left. RESOURCE_EXHAUSTED: all targets that work are full. UNAVAILABLE: none
  // was up. FAILED_PRECONDITION: those that were have failed.
  absl::Status Usable() const;

 private:
  struct Group {
    PgId id;
    std::vector<TargetId> targets;
  };
  // Those whose targets are all among `usable`.
  void AddGroups(const wire::ClusterMap& map, const absl::flat_hash_set<uint32_t>& usable);
  void Choose();
  bool IsRefused(const Group& group) const;

  const std::string redundancy_;
  std::vector<Group> groups_;
  std::vector<PgId> chosen_;
  std::map<TargetId, absl::Status> refused_;
};

}  // namespace cairn
