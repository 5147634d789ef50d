#include "bench/scale/study.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "bench/scale/footprint.h"
#include "common/base/status_macros.h"
#include "common/base/units.h"

namespace cairn::scale {
namespace {

// Whole turns of the client's rotation, so that a shorter job loads targets as the long one does.
constexpr uint64_t kTurn = 16;

// Stripes of a rank in the longest run, and in one of half the length. 0: the whole job.
struct Lengths {
  uint64_t longest = 0;
  uint64_t shorter = 0;
};

Lengths LengthsOf(const Case& study) {
  const uint64_t stripes = DivideUp(study.shape.rank_bytes, kSlabBytes);
  const uint64_t allowed = study.stripes_max / study.shape.ranks / (2 * kTurn) * (2 * kTurn);
  if (study.stripes_max == 0 || stripes <= std::max(allowed, 2 * kTurn)) return {};
  const uint64_t longest = std::max(allowed, 2 * kTurn);
  return {longest, longest / 2};
}

absl::StatusOr<Outcome> Simulate(const Case& study, const PlacementPlan& whole, Direction direction,
                                 uint64_t rank_bytes) {
  const PlacementPlan plan = whole.WithShards(rank_bytes);
  std::vector<bool> reachable(study.hardware.targets(), true);
  const uint32_t down = direction == Direction::kRestore ? study.down_at_restore : 0;
  std::fill_n(reachable.begin(), down * study.hardware.disks_per_node, false);
  ASSIGN_OR_RETURN(const Work work, Work::Make(plan, direction, reachable));
  return Simulation(study.hardware, study.software, work).Run();
}

// A seal and a commit are over in no time that grows with the job, so what a byte more takes is the
// same for both runs and beyond.
absl::StatusOr<Measured> Measure(const Case& study, const PlacementPlan& plan,
                                 Direction direction) {
  Measured measured;
  measured.limit = HardwareLimit(study.hardware, study.shape, direction);
  measured.content_bytes = study.shape.ranks * study.shape.rank_bytes;
  const Lengths lengths = LengthsOf(study);
  const uint64_t longest =
      lengths.longest == 0 ? study.shape.rank_bytes : lengths.longest * kSlabBytes;
  ASSIGN_OR_RETURN(measured.simulated, Simulate(study, plan, direction, longest));
  const Outcome& outcome = measured.simulated;
  measured.simulated_bytes = longest * study.shape.ranks;
  measured.seconds = outcome.seconds;
  double moving = outcome.moved_seconds;
  if (lengths.longest != 0) {
    const uint64_t shorter_bytes = lengths.shorter * kSlabBytes;
    ASSIGN_OR_RETURN(const Outcome shorter, Simulate(study, plan, direction, shorter_bytes));
    const double further = static_cast<double>(study.shape.rank_bytes - longest) /
                           static_cast<double>(longest - shorter_bytes);
    const double more = further * (outcome.moved_seconds - shorter.moved_seconds);
    measured.seconds += more;
    moving += more;
  }
  const auto bytes = static_cast<double>(measured.content_bytes);
  measured.bytes_per_second = bytes / measured.seconds;
  measured.efficiency = measured.bytes_per_second / measured.limit.bytes_per_second;
  measured.moving_efficiency = bytes / moving / measured.limit.bytes_per_second;
  for (size_t i = 0; i < kResourceKinds; ++i) {
    const auto kind = static_cast<ResourceKind>(i);
    const double share = outcome.BusiestOf(kind) / outcome.seconds;
    if (share <= measured.busiest_share) continue;
    measured.busiest_share = share;
    measured.busiest = kind;
  }
  measured.meta_share = outcome.meta_seconds / outcome.seconds;
  return measured;
}

}  // namespace

absl::StatusOr<CaseResult> RunCase(const Case& study, const wire::ClusterMap& map,
                                   const PlacementPlan& plan, double session_bytes) {
  CaseResult result;
  ASSIGN_OR_RETURN(result.save, Measure(study, plan, Direction::kSave));
  ASSIGN_OR_RETURN(result.restore, Measure(study, plan, Direction::kRestore));
  result.footprint = FootprintOf(study, map, plan.WithShards(study.shape.rank_bytes).ExtentsOf(0),
                                 result.save.simulated.sessions_max, session_bytes);
  return result;
}

}  // namespace cairn::scale
