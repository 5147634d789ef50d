#include "server/cluster/group_members.h"

#include <algorithm>
#include <optional>

#include "server/cluster/cluster_map.h"

namespace cairn {

const wire::GroupMove* FindMove(const wire::PlacementGroup& group, int index) {
  for (const wire::GroupMove& move : group.moves())
    if (move.index() == static_cast<uint32_t>(index)) return &move;
  return nullptr;
}

wire::GroupMove* FindMove(wire::PlacementGroup* group, int index) {
  for (wire::GroupMove& move : *group->mutable_moves())
    if (move.index() == static_cast<uint32_t>(index)) return &move;
  return nullptr;
}

std::vector<uint32_t> HoldersBefore(const wire::GroupMove& move) {
  std::vector<uint32_t> holders = {move.from()};
  holders.insert(holders.end(), move.former().rbegin(), move.former().rend());
  return holders;
}

bool IsNamed(const wire::GroupMove& move, uint32_t target) {
  return move.to() == target || move.from() == target ||
         std::find(move.former().begin(), move.former().end(), target) != move.former().end();
}

bool IsLeaving(const MapDomains& domains, uint32_t target, const MoveFacts& facts) {
  const wire::NodeInfo* node = domains.NodeOf(target);
  if (node == nullptr) return true;
  const wire::TargetInfo& info = *domains.FindTarget(target);
  return node->state() == wire::NODE_OUT || node->draining() || node->removing() ||
         info.draining() || info.removing() || facts.given_up.contains(target);
}

bool CanBeMoved(const MapDomains& domains, const wire::PlacementGroup& group, int index) {
  const std::optional<Redundancy> redundancy = ParsedRedundancy(group);
  if (!redundancy.has_value()) return false;
  if (group.targets_size() != static_cast<int>(redundancy->width())) return false;
  const uint32_t member = group.targets(index);
  if (domains.IsReachable(member)) return true;
  if (domains.IsLost(member)) return true;
  const auto live =
      std::count_if(group.targets().begin(), group.targets().end(),
                    [&domains](uint32_t target) { return domains.IsReachable(target); });
  return live >= static_cast<int64_t>(redundancy->data_fragments);
}

std::map<uint32_t, uint32_t> DomainsOfOthers(const MapDomains& domains,
                                             const wire::PlacementGroup& group, int index) {
  std::map<uint32_t, uint32_t> count;
  for (int i = 0; i < group.targets_size(); ++i) {
    if (i == index) continue;
    const wire::GroupMove* move = FindMove(group, i);
    std::set<uint32_t> places;
    // Both, until it has moved.
    for (uint32_t target : {group.targets(i), move == nullptr ? group.targets(i) : move->to()})
      if (const auto domain = domains.DomainOf(target, group.level())) places.insert(*domain);
    for (uint32_t domain : places) ++count[domain];
  }
  return count;
}

bool SharesDomain(const MapDomains& domains, const wire::PlacementGroup& group, int index) {
  const auto own = domains.DomainOf(group.targets(index), group.level());
  if (!own.has_value()) return false;
  for (int i = 0; i < group.targets_size(); ++i) {
    if (i == index || domains.DomainOf(group.targets(i), group.level()) != own) continue;
    const wire::GroupMove* move = FindMove(group, i);
    if (move == nullptr || move->settling()) return true;
  }
  return false;
}

bool IsApart(const MapDomains& domains, const wire::PlacementGroup& group) {
  std::set<uint32_t> used;
  return std::all_of(group.targets().begin(), group.targets().end(), [&](uint32_t target) {
    const auto domain = domains.DomainOf(target, group.level());
    return domain.has_value() && used.insert(*domain).second;
  });
}

std::vector<uint32_t> BlockedMembers::Of(const wire::PlacementGroup& group) {
  const auto is_waiting = [&](int i) {
    return IsLeaving(domains_, group.targets(i), MoveFacts()) && FindMove(group, i) == nullptr &&
           CanBeMoved(domains_, group, i);
  };
  std::vector<uint32_t> waiting;
  for (int i = 0; i < group.targets_size(); ++i)
    if (is_waiting(i)) waiting.push_back(group.targets(i));
  if (waiting.empty()) return waiting;
  std::set<uint32_t> fresh = UsableDomains(group.level());
  for (int i = 0; i < group.targets_size(); ++i) {
    if (is_waiting(i)) continue;
    const wire::GroupMove* move = FindMove(group, i);
    const uint32_t place = move == nullptr ? group.targets(i) : move->to();
    if (const auto domain = domains_.DomainOf(place, group.level())) fresh.erase(*domain);
  }
  waiting.erase(waiting.begin(),
                waiting.begin() + std::min(std::ssize(waiting), std::ssize(fresh)));
  return waiting;
}

bool BlockedMembers::MayBeCrowded(const wire::PlacementGroup& group) {
  const std::optional<Redundancy> redundancy = ParsedRedundancy(group);
  return redundancy.has_value() && redundancy->width() > 1 &&
         Usable(group.level()) >= FewestDomains(*redundancy);
}

const std::set<uint32_t>& BlockedMembers::UsableDomains(wire::DomainLevel level) {
  const auto [found, is_new] = usable_.try_emplace(level);
  if (is_new) found->second = domains_.UsableDomains(level);
  return found->second;
}

}  // namespace cairn
