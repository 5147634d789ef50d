#include "common/placement/groups.h"

#include <algorithm>
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

struct Candidate {
  PlacementTarget target;
  uint32_t load = 0;
  uint64_t score = 0;
};

// Least loaded first, then the highest score; the id only makes equal scores definite.
bool ComesAfter(const Candidate& a, const Candidate& b) {
  return std::tuple(a.load, ~a.score, a.target.id) > std::tuple(b.load, ~b.score, b.target.id);
}

// Adds one to the load of those it takes. A heap and not a sort: of hundreds of targets only the
// first few are looked at.
std::vector<TargetId> TakeGroup(std::vector<Candidate>& candidates, uint32_t id, uint32_t width) {
  for (Candidate& candidate : candidates) candidate.score = PlacementScore(id, candidate.target.id);
  std::make_heap(candidates.begin(), candidates.end(), ComesAfter);
  std::vector<TargetId> group;
  std::set<uint32_t> used;
  for (auto end = candidates.end(); group.size() < width && end != candidates.begin(); --end) {
    std::pop_heap(candidates.begin(), end, ComesAfter);
    Candidate& first = *(end - 1);
    if (!used.insert(first.target.failure_domain).second) continue;
    group.push_back(first.target.id);
    ++first.load;
  }
  return group;
}

}  // namespace

uint64_t PlacementScore(uint32_t group, TargetId target) {
  return Mix(Mix(group + 0x9e3779b97f4a7c15) ^ target.value());
}

absl::StatusOr<std::vector<PlacementGroupTargets>> BuildGroups(
    std::span<const PlacementTarget> targets, uint32_t group_count, uint32_t width,
    uint32_t first_id, const std::map<TargetId, uint32_t>& load) {
  std::set<uint32_t> domains;
  std::vector<Candidate> candidates;
  for (const PlacementTarget& target : targets) {
    domains.insert(target.failure_domain);
    const auto loaded = load.find(target.id);
    candidates.push_back({target, loaded == load.end() ? 0 : loaded->second});
  }
  if (width == 0 || domains.size() < width) {
    return absl::FailedPreconditionError(
        StrCat("a group needs ", width, " failure domains; the cluster has ", domains.size()));
  }
  std::vector<PlacementGroupTargets> groups;
  for (uint32_t i = 0; i < group_count; ++i) {
    const uint32_t id = first_id + i;
    groups.push_back({PgId(id), TakeGroup(candidates, id, width)});
  }
  return groups;
}

void SpreadData(uint32_t data_fragments, std::map<TargetId, uint32_t> data_load,
                std::vector<PlacementGroupTargets>* groups) {
  for (PlacementGroupTargets& group : *groups) {
    std::stable_sort(group.targets.begin(), group.targets.end(),
                     [&data_load](TargetId a, TargetId b) { return data_load[a] < data_load[b]; });
    const size_t count = std::min<size_t>(data_fragments, group.targets.size());
    for (size_t i = 0; i < count; ++i) ++data_load[group.targets[i]];
  }
}

}  // namespace cairn
