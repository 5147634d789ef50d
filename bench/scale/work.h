// All calls of all ranks, one behind the other.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/scale/placement_plan.h"
#include "bench/scale/topology.h"

namespace cairn::scale {

class Work {
 public:
  // `reachable[t]` false: see PlacementPlan::MakeRestore.
  static absl::StatusOr<Work> Make(const PlacementPlan& plan, Direction direction,
                                   const std::vector<bool>& reachable);

  Direction direction = Direction::kSave;
  uint32_t ranks() const { return static_cast<uint32_t>(first_item.size() - 1); }
  std::span<const PlannedCall> CallsOf(uint32_t item) const {
    const uint32_t begin = item == 0 ? 0 : item_ends[item - 1];
    return std::span(calls).subspan(begin, item_ends[item] - begin);
  }
  // Content of the file that a save's item holds.
  uint32_t ContentOf(uint32_t item) const { return item_content[item]; }
  // Every call of a rank.
  std::span<const PlannedCall> CallsOfRank(uint32_t rank) const {
    const uint32_t first = first_item[rank];
    const uint32_t begin = first == 0 ? 0 : item_ends[first - 1];
    const uint32_t end = first_item[rank + 1] == 0 ? 0 : item_ends[first_item[rank + 1] - 1];
    return std::span(calls).subspan(begin, end - begin);
  }

  std::vector<PlannedCall> calls;
  std::vector<uint32_t> item_ends;     // in `calls`
  std::vector<uint32_t> first_item;    // of each rank, and the end
  std::vector<uint32_t> item_content;  // bytes; of a save
  uint64_t content_bytes = 0;
};

}  // namespace cairn::scale
