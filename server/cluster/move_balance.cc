// The part of MovePlanner that evens out how full targets are, when nothing else is to be moved.
//
// A move goes from a target to one that is emptier by over Gap(), and by a few times what is moved.
// So each brings the two nearer to each other, though it is a guess how much that is, and it comes
// to an end.

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

#include "common/base/ids.h"
#include "common/placement/groups.h"
#include "server/cluster/group_members.h"
#include "server/cluster/move_planner.h"

namespace cairn {
namespace {

// As many as usual when an operator asks for it. How much a member holds is a guess, and the next
// ones are chosen when it shows: all at once would be to act on the first guess alone.
constexpr int kMovesFactor = 4;
// Of the capacity. Nearer to each other targets are as even as groups of a few percent make them.
constexpr double kGap = 0.1;
// The gap closes by two members when one is moved. It has to be wider than three, so that one which
// holds half as much again as it seems still leaves the other target the fuller one. In simulated
// clusters two made some move for ever where members differed much, three none; four left gaps a
// tenth wider.
constexpr double kGapInMembers = 3;
// None is filled beyond this.
constexpr double kFullShare = 0.95;

}  // namespace

double MovePlanner::Gap() const {
  return map_->rebalance_percent() == 0 ? kGap : map_->rebalance_percent() / 100.0;
}

void MovePlanner::Even() {
  std::vector<Fill> fills = MeasureFills();
  if (fills.empty()) return;
  const bool is_asked = map_->rebalance_percent() != 0;
  const auto [least, most] =
      std::minmax_element(fills.begin(), fills.end(),
                          [](const Fill& a, const Fill& b) { return a.share() < b.share(); });
  if (most->share() - least->share() <= Gap()) {
    if (is_asked) EndRebalance();
    return;
  }
  Members members;
  for (Group& group : *map_->mutable_groups()) {
    for (int i = 0; i < group.targets_size(); ++i)
      members[group.targets(i)].emplace_back(&group, i);
  }
  const int moves_max = facts_.balance_moves_max * (is_asked ? kMovesFactor : 1);
  int moves = 0;
  while (moves < moves_max && EvenOnce(members, &fills)) ++moves;
  if (is_asked && moves == 0) EndRebalance();
}

void MovePlanner::EndRebalance() {
  map_->clear_rebalance_percent();
  changed_ = true;
}

std::vector<MovePlanner::Fill> MovePlanner::MeasureFills() {
  absl::flat_hash_map<uint32_t, Candidate*> candidates;
  for (Candidate& candidate : candidates_) candidates.emplace(candidate.id, &candidate);
  std::vector<Fill> fills;
  for (const auto& [target, usage] : facts_.usage) {
    if (usage.capacity_bytes == 0 || !domains_.IsUsable(target)) continue;
    Fill fill;
    fill.target = target;
    fill.used_bytes = static_cast<double>(usage.used_bytes);
    fill.capacity_bytes = static_cast<double>(usage.capacity_bytes);
    const uint32_t members = members_of_[target];
    if (members > 0) fill.member_bytes = fill.used_bytes / members;
    const auto candidate = candidates.find(target);
    if (candidate != candidates.end()) fill.candidate = candidate->second;
    fills.push_back(fill);
  }
  return fills;
}

// From the fullest that anything can be taken from.
bool MovePlanner::EvenOnce(const Members& members, std::vector<Fill>* fills) {
  std::sort(fills->begin(), fills->end(), [](const Fill& a, const Fill& b) {
    return std::tuple(-a.share(), a.target) < std::tuple(-b.share(), b.target);
  });
  for (Fill& from : *fills) {
    if (from.share() - fills->back().share() <= Gap()) return false;
    if (taking_.contains(from.target)) continue;
    const Evening found = FindEvening(members, from, fills);
    if (found.group == nullptr) continue;
    wire::GroupMove* move = Add(found.group, found.index, found.to->candidate);
    move->set_balance(true);
    balanced_.push_back({found.group, *move, static_cast<uint64_t>(from.member_bytes)});
    found.to->used_bytes += from.member_bytes;
    from.used_bytes -= from.member_bytes;
    return true;
  }
  return false;
}

// The member that can go to the emptiest target.
MovePlanner::Evening MovePlanner::FindEvening(const Members& members, const Fill& from,
                                              std::vector<Fill>* fills) {
  Evening best;
  std::tuple<double, uint64_t> best_rank;
  const auto of_target = members.find(from.target);
  if (of_target == members.end()) return best;
  for (const auto& [group, index] : of_target->second) {
    if (!group->moves().empty() || !CanBeMoved(domains_, *group, index)) continue;
    Fill* to = EmptiestFor(*group, index, from, fills);
    if (to == nullptr) continue;
    const std::tuple rank(to->share(), ~PlacementScore(group->id(), TargetId(to->target)));
    if (best.group != nullptr && rank >= best_rank) continue;
    best = {group, index, to};
    best_rank = rank;
  }
  return best;
}

MovePlanner::Fill* MovePlanner::EmptiestFor(const Group& group, int index, const Fill& from,
                                            std::vector<Fill>* fills) {
  const std::map<uint32_t, uint32_t> taken = DomainsOfOthers(domains_, group, index);
  for (auto to = fills->rbegin(); to != fills->rend(); ++to) {
    if (from.share() - to->share() <= Gap()) return nullptr;
    if (to->candidate == nullptr || giving_.contains(to->target)) continue;
    const double lost = from.member_bytes / from.capacity_bytes;
    const double gained = from.member_bytes / to->capacity_bytes;
    if ((lost + gained) / 2 * kGapInMembers > from.share() - to->share()) continue;
    if (to->share() + gained >= kFullShare) continue;
    const auto domain = domains_.DomainOf(to->target, group.level());
    if (domain.has_value() && !taken.contains(*domain)) return &*to;
  }
  return nullptr;
}

}  // namespace cairn
