#include "server/cluster/health_moves.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/base/strings.h"
#include "server/cluster/group_members.h"
#include "server/cluster/health_item.h"
#include "server/cluster/map_domains.h"
#include "server/cluster/wording.h"

namespace cairn {
namespace {

constexpr char kWatch[] = "cairn rebuild status shows how far it is";

// Nodes whose targets the group still names.
std::set<uint32_t> NodesOf(const MapDomains& domains, const wire::PlacementGroup& group) {
  std::set<uint32_t> nodes;
  const auto add = [&](uint32_t target) {
    if (const wire::NodeInfo* node = domains.NodeOf(target)) nodes.insert(node->id());
  };
  for (uint32_t target : group.targets()) add(target);
  for (const wire::GroupMove& move : group.moves())
    for (uint32_t target : HoldersBefore(move)) add(target);
  return nodes;
}

wire::HealthItem DrainingItem(const wire::NodeInfo& node, uint64_t groups) {
  wire::HealthItem item = MakeHealthItem("NODE_DRAINING", wire::HEALTH_WARNING);
  item.add_nodes(node.id());
  if (groups == 0) {
    item.set_summary(StrCat(Describe(node), " is empty, as an operator wanted it"));
    item.set_endangers("nothing; it is not used");
    item.set_todo(node.removing() ? "wait: it leaves the cluster in a moment"
                                  : "take it out (cairn node rm) or use it again (cairn node "
                                    "undrain)");
    return item;
  }
  item.set_summary(StrCat(Describe(node),
                          node.removing() ? " is being removed" : " is being emptied",
                          ": it is still in ", Counted(groups, "placement group")));
  item.set_endangers("nothing that is stored; it takes no new data where others can");
  item.set_todo(StrCat("wait: ", kWatch, "; cairn node undrain takes it back"));
  return item;
}

void JudgeDraining(const wire::ClusterMap& map, const MapDomains& domains,
                   std::vector<wire::HealthItem>* items) {
  std::map<uint32_t, uint64_t> groups_of;
  for (const wire::NodeInfo& node : map.nodes())
    if (node.draining() || node.removing()) groups_of.try_emplace(node.id(), 0);
  if (groups_of.empty()) return;
  for (const wire::PlacementGroup& group : map.groups()) {
    for (uint32_t node : NodesOf(domains, group)) {
      if (const auto found = groups_of.find(node); found != groups_of.end()) ++found->second;
    }
  }
  for (const auto& [node, groups] : groups_of)
    items->push_back(DrainingItem(*domains.FindNode(node), groups));
}

wire::HealthItem DrainingItem(const wire::TargetInfo& target, uint64_t groups) {
  wire::HealthItem item = MakeHealthItem("TARGET_DRAINING", wire::HEALTH_WARNING);
  item.add_nodes(target.node());
  item.add_targets(target.id());
  item.set_summary(groups == 0
                       ? StrCat(Describe(target), " is empty, as an operator wanted it")
                       : StrCat(Describe(target),
                                target.removing() ? " is being removed" : " is being emptied",
                                ": it is still in ", Counted(groups, "placement group")));
  item.set_endangers(target.lost() && groups > 0
                         ? "what only it holds counts as lost"
                         : "nothing that is stored; it takes no new data where others can");
  if (groups > 0) {
    item.set_todo(StrCat("wait: ", kWatch, "; cairn target undrain takes it back"));
  } else {
    item.set_todo(target.removing() ? "wait: it leaves the cluster in a moment"
                                    : "take it out (cairn target rm) or use it again (cairn "
                                      "target undrain)");
  }
  return item;
}

// Those of nodes that are drained as a whole go with them.
void JudgeDrainingTargets(const wire::ClusterMap& map, const MapDomains& domains,
                          std::vector<wire::HealthItem>* items) {
  std::map<uint32_t, uint64_t> groups_of;
  for (const wire::TargetInfo& target : map.targets()) {
    const wire::NodeInfo* node = domains.NodeOf(target.id());
    const bool goes_alone = node == nullptr || !(node->draining() || node->removing());
    if (goes_alone && (target.draining() || target.removing()))
      groups_of.try_emplace(target.id(), 0);
  }
  if (groups_of.empty()) return;
  for (const wire::PlacementGroup& group : map.groups()) {
    std::set<uint32_t> named(group.targets().begin(), group.targets().end());
    for (const wire::GroupMove& move : group.moves())
      for (uint32_t target : HoldersBefore(move)) named.insert(target);
    for (uint32_t target : named)
      if (const auto found = groups_of.find(target); found != groups_of.end()) ++found->second;
  }
  for (const auto& [target, groups] : groups_of)
    items->push_back(DrainingItem(*domains.FindTarget(target), groups));
}

void JudgeMoving(const wire::ClusterMap& map, std::vector<wire::HealthItem>* items) {
  uint64_t copying = 0, settling = 0;
  std::set<uint32_t> targets;
  for (const wire::PlacementGroup& group : map.groups()) {
    for (const wire::GroupMove& move : group.moves()) {
      ++(move.settling() ? settling : copying);
      targets.insert(move.to());
    }
  }
  if (targets.empty()) return;
  wire::HealthItem item = MakeHealthItem("DATA_MOVING", wire::HEALTH_WARNING);
  item.set_summary(StrCat(Counted(copying, "member"), " of placement groups ",
                          copying == 1 ? "is" : "are", " being made elsewhere, ", settling,
                          " more ", settling == 1 ? "settles" : "settle"));
  item.set_endangers("nothing; it shares disks and network with saves and restores");
  item.set_todo(StrCat("wait: ", kWatch));
  item.mutable_targets()->Add(targets.begin(), targets.end());
  items->push_back(std::move(item));
}

void JudgeBlocked(const wire::ClusterMap& map, const MapDomains& domains,
                  std::vector<wire::HealthItem>* items) {
  struct Blocked {
    uint64_t members = 0;
    std::set<uint32_t> targets;
  };
  std::map<std::pair<std::string, wire::DomainLevel>, Blocked> kinds;
  BlockedMembers members(domains);
  for (const wire::PlacementGroup& group : map.groups()) {
    const std::vector<uint32_t> blocked = members.Of(group);
    if (blocked.empty() || members.MayBeCrowded(group)) continue;
    Blocked& kind = kinds[{RedundancyNameOf(group), group.level()}];
    kind.members += blocked.size();
    kind.targets.insert(blocked.begin(), blocked.end());
  }
  for (const auto& [kind, blocked] : kinds) {
    const auto& [name, level] = kind;
    const char* noun = DomainNoun(level);
    const uint32_t width = ParseRedundancy(name)->width();  // of others nothing is blocked
    wire::HealthItem item = MakeHealthItem("REBUILD_BLOCKED", wire::HEALTH_ERROR);
    item.set_summary(StrCat(Counted(blocked.members, "member"), " of placement groups of ", name,
                            " ", blocked.members == 1 ? "has" : "have", " nowhere to go: it needs ",
                            Counted(width, noun), ", and ", members.Usable(level), " take data"));
    item.set_endangers(
        "what is lost of them is not made again, and nodes that are to be empty are not");
    item.set_todo(StrCat("add ", noun, "s, or bring back what is down"));
    item.mutable_targets()->Add(blocked.targets.begin(), blocked.targets.end());
    std::set<uint32_t> nodes;
    for (uint32_t target : blocked.targets) {
      if (const wire::NodeInfo* node = domains.NodeOf(target)) nodes.insert(node->id());
    }
    item.mutable_nodes()->Add(nodes.begin(), nodes.end());
    items->push_back(std::move(item));
  }
}

}  // namespace

void JudgeMoves(const wire::ClusterMap& map, std::vector<wire::HealthItem>* items) {
  const MapDomains domains(map);
  JudgeDraining(map, domains, items);
  JudgeDrainingTargets(map, domains, items);
  JudgeMoving(map, items);
  JudgeBlocked(map, domains, items);
}

}  // namespace cairn
