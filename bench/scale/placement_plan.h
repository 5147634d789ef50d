// Which group each stripe of each rank goes to, and which calls a save and a restore make of that:
// all of it decided by Cairn's own code. server/cluster makes the groups, client/io/rotation
// chooses among them, client/io/read_plan plans the reads.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "client/io/stripe_cutter.h"
#include "common/placement/redundancy.h"
#include "proto/wire/meta.pb.h"

namespace cairn::scale {

// The map of a cluster whose nodes have joined and whose bucket has asked for the redundancy.
// `down` of the nodes have failed since. INVALID_ARGUMENT and FAILED_PRECONDITION in the words of
// server/cluster.
absl::StatusOr<wire::ClusterMap> MakeMap(uint32_t nodes, uint32_t targets_per_node,
                                         const Redundancy& redundancy, uint32_t down = 0);
// `map` after the first `down` nodes have failed.
void FailNodes(uint32_t down, wire::ClusterMap* map);

// One WRITE_FRAGMENT or READ_FRAGMENT.
struct PlannedCall {
  uint32_t target = 0;  // from 0
  uint32_t length_bytes = 0;
};
// What takes one place in a rank's window.
struct Item {
  const PlannedCall* calls = nullptr;
  uint32_t count = 0;
};

struct Shape {
  uint32_t ranks = 0;
  uint64_t rank_bytes = 0;  // one shard each
  Redundancy redundancy;
};

// Immutable once made.
class PlacementPlan {
 public:
  // Places every stripe of every rank by the map; `first_turn` is the first rank's (rotation.h).
  static absl::StatusOr<PlacementPlan> Make(const wire::ClusterMap& map, const Shape& shape,
                                            uint64_t first_turn);

  // The same placement of shorter shards. REQUIRES: not longer than this plan's.
  PlacementPlan WithShards(uint64_t rank_bytes) const;

  const Shape& shape() const { return shape_; }
  uint32_t ranks() const { return shape_.ranks; }
  uint32_t targets() const { return targets_; }
  // The stripes of a rank, as the client has them before RANK_DONE.
  std::vector<PlacedStripe> StripesOf(uint32_t rank) const;
  std::vector<wire::ExtentRun> ExtentsOf(uint32_t rank) const;

  // Makes the calls of one rank; what was made for another is gone.
  void MakeSave(uint32_t rank, std::vector<PlannedCall>* calls, std::vector<uint32_t>* ends) const;
  // `reachable[t]` false: what target t holds is recovered from others, in calls that take one
  // place in the window together. An error of the plan.
  absl::Status MakeRestore(uint32_t rank, const std::vector<bool>& reachable,
                           std::vector<PlannedCall>* calls, std::vector<uint32_t>* ends) const;

 private:
  const uint32_t* MembersOf(uint32_t rank, uint64_t stripe) const {
    return &members_[group_of_[rank * stride_ + stripe] * shape_.redundancy.width()];
  }

  Shape shape_;
  uint32_t targets_ = 0;
  uint64_t stripe_bytes_ = 0;
  std::vector<uint32_t> group_ids_;
  std::vector<uint32_t> members_;   // of group i from i * width on
  std::vector<uint32_t> group_of_;  // indices, of rank r from r * stride on
  uint64_t stride_ = 0;
  uint64_t stripes_per_rank_ = 0;
};

}  // namespace cairn::scale
