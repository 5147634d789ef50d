// See losses.h.
#include "server/cluster/losses.h"

#include <algorithm>
#include <map>
#include <optional>

#include "common/base/strings.h"
#include "server/cluster/map_domains.h"
#include "server/cluster/wording.h"

namespace cairn {
namespace {

// Of how many members a stripe of the group can be made again. All, where nobody here knows.
int64_t Needed(const wire::PlacementGroup& group) {
  const std::optional<Redundancy> redundancy = ParsedRedundancy(group);
  return redundancy.has_value() ? redundancy->data_fragments : group.targets_size();
}

// It may come back with what it holds, or is there.
bool MayBeRead(const MapDomains& domains, uint32_t target) {
  return domains.NodeOf(target) != nullptr &&
         (domains.IsReachable(target) || !domains.IsLost(target));
}

std::set<uint32_t> GroupsLostWith(const wire::ClusterMap& map, const MapDomains& domains,
                                  const std::set<uint32_t>& targets) {
  std::set<uint32_t> lost;
  if (targets.empty()) return lost;
  for (const wire::PlacementGroup& group : map.groups()) {
    const auto& members = group.targets();
    const bool is_in = std::any_of(members.begin(), members.end(),
                                   [&](uint32_t target) { return targets.contains(target); });
    if (!is_in) continue;
    const auto left = std::count_if(members.begin(), members.end(), [&](uint32_t target) {
      return !targets.contains(target) && MayBeRead(domains, target);
    });
    if (left < Needed(group)) lost.insert(group.id());
  }
  return lost;
}

}  // namespace

std::set<uint32_t> GroupsUnreadableWithout(const wire::ClusterMap& map,
                                           const std::vector<uint32_t>& nodes) {
  const std::set<uint32_t> stopped(nodes.begin(), nodes.end());
  const MapDomains domains(map);
  std::set<uint32_t> unreadable;
  for (const wire::PlacementGroup& group : map.groups()) {
    const auto live =
        std::count_if(group.targets().begin(), group.targets().end(), [&](uint32_t target) {
          return domains.IsReachable(target) && !stopped.contains(domains.NodeOf(target)->id());
        });
    if (live < Needed(group)) unreadable.insert(group.id());
  }
  return unreadable;
}

std::set<uint32_t> GroupsLostWithNode(const wire::ClusterMap& map, uint32_t node) {
  const MapDomains domains(map);
  const wire::NodeInfo* info = domains.FindNode(node);
  const bool is_away =
      info != nullptr && (info->state() == wire::NODE_DOWN || info->state() == wire::NODE_OUT);
  std::set<uint32_t> targets;
  for (const wire::TargetInfo& target : map.targets())
    if (is_away && target.node() == node) targets.insert(target.id());
  return GroupsLostWith(map, domains, targets);
}

std::set<uint32_t> GroupsLostWithTarget(const wire::ClusterMap& map, uint32_t target) {
  const MapDomains domains(map);
  if (domains.FindTarget(target) == nullptr || domains.IsReachable(target)) return {};
  return GroupsLostWith(map, domains, {target});
}

std::vector<std::string> DescribeGroups(const wire::ClusterMap& map,
                                        const std::set<uint32_t>& groups) {
  std::map<std::string, uint64_t> counts;
  for (const wire::PlacementGroup& group : map.groups())
    if (groups.contains(group.id())) ++counts[RedundancyNameOf(group)];
  std::vector<std::string> texts;
  for (const auto& [name, count] : counts)
    texts.push_back(StrCat(Counted(count, "placement group"), " of ", name));
  return texts;
}

}  // namespace cairn
