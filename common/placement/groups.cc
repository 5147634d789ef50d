#include "common/placement/groups.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "common/base/strings.h"

namespace cairn {
namespace {

// The finalizer of splitmix64: fixed for ever, since stored tables were made with it.
uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

uint64_t Score(uint32_t group, TargetId target) {
  return Mix(Mix(group + 0x9e3779b97f4a7c15) ^ target.value());
}

}  // namespace

absl::StatusOr<std::vector<PlacementGroupTargets>> BuildGroups(
    std::span<const PlacementTarget> targets, uint32_t group_count, uint32_t width,
    uint32_t first_id) {
  std::set<uint32_t> domains;
  for (const PlacementTarget& target : targets) domains.insert(target.failure_domain);
  if (width == 0 || domains.size() < width) {
    return absl::FailedPreconditionError(
        StrCat("a group needs ", width, " failure domains; the cluster has ", domains.size()));
  }
  std::map<TargetId, uint32_t> load;
  std::vector<PlacementGroupTargets> groups;
  for (uint32_t i = 0; i < group_count; ++i) {
    const uint32_t id = first_id + i;
    std::vector<PlacementTarget> order(targets.begin(), targets.end());
    std::sort(order.begin(), order.end(), [&](const PlacementTarget& a, const PlacementTarget& b) {
      // Least loaded first, then the highest score; the id only makes equal scores definite.
      return std::tuple(load[a.id], ~Score(id, a.id), a.id) <
             std::tuple(load[b.id], ~Score(id, b.id), b.id);
    });
    PlacementGroupTargets& group = groups.emplace_back();
    group.id = PgId(id);
    std::set<uint32_t> used;
    for (const PlacementTarget& target : order) {
      if (group.targets.size() == width) break;
      if (!used.insert(target.failure_domain).second) continue;
      group.targets.push_back(target.id);
      ++load[target.id];
    }
  }
  return groups;
}

}  // namespace cairn
