#include "bench/scale/work.h"

#include "common/base/status_macros.h"

namespace cairn::scale {

absl::StatusOr<Work> Work::Make(const PlacementPlan& plan, Direction direction,
                                const std::vector<bool>& reachable) {
  Work work;
  work.direction = direction;
  work.content_bytes = plan.ranks() * plan.shape().rank_bytes;
  std::vector<PlannedCall> calls;
  std::vector<uint32_t> ends;
  for (uint32_t rank = 0; rank < plan.ranks(); ++rank) {
    if (direction == Direction::kSave) {
      plan.MakeSave(rank, &calls, &ends);
      for (const PlacedStripe& stripe : plan.StripesOf(rank))
        work.item_content.push_back(static_cast<uint32_t>(stripe.length_bytes));
    } else {
      RETURN_IF_ERROR(plan.MakeRestore(rank, reachable, &calls, &ends));
    }
    const auto before = static_cast<uint32_t>(work.calls.size());
    work.first_item.push_back(static_cast<uint32_t>(work.item_ends.size()));
    work.calls.insert(work.calls.end(), calls.begin(), calls.end());
    for (uint32_t end : ends) work.item_ends.push_back(before + end);
  }
  work.first_item.push_back(static_cast<uint32_t>(work.item_ends.size()));
  return work;
}

}  // namespace cairn::scale
