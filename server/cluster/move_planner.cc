#include "server/cluster/move_planner.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "common/base/ids.h"
#include "common/placement/groups.h"
#include "server/cluster/group_members.h"

namespace cairn {
namespace {

// As `cairn health` has it: a target that is fuller is given nothing more.
constexpr double kFullPercent = 95;
// Until then it keeps what it has been promised. What has been copied fills it, and to begin anew
// elsewhere would be for nothing.
constexpr double kNoRoomPercent = 99;

}  // namespace

MovePlanner::MovePlanner(wire::ClusterMap* map, const MoveFacts& facts)
    : map_(map), facts_(facts), domains_(*map) {}

bool MovePlanner::Plan() {
  auto& groups = *map_->mutable_groups();
  for (Group& group : groups) Revise(&group);
  FindCandidates();
  for (Group& group : groups) MoveLeaving(&group);
  for (Group& group : groups) MoveApart(&group);
  if (!is_busy_ && facts_.may_balance) Even();
  return changed_;
}

void MovePlanner::Revise(Group* group) {
  // Moves of a later release's groups are that one's business.
  if (group->moves().empty() || !ParsedRedundancy(*group).has_value()) return;
  for (int i = 0; i < group->moves_size();) {
    wire::GroupMove* move = group->mutable_moves(i);
    ForgetGone(move);
    if (!Stays(*group, *move)) {
      changed_ = true;
      if (TurnBack(*group, move)) continue;
      group->mutable_moves()->DeleteSubrange(i, 1);
      continue;
    }
    if (move->balance() && !move->settling() && IsLeaving(domains_, move->from(), facts_)) {
      move->set_balance(false);
      changed_ = true;
    }
    ++i;
  }
}

bool MovePlanner::Stays(const Group& group, const wire::GroupMove& move) const {
  const auto width = static_cast<uint32_t>(group.targets_size());
  if (move.index() >= width || move.from() == move.to()) return false;
  const auto index = static_cast<int>(move.index());
  if (FindMove(group, index) != &move) return false;  // one is enough
  if (group.targets(index) != (move.settling() ? move.to() : move.from())) return false;
  if (move.settling()) return true;
  if (!domains_.IsUsable(move.to()) || facts_.given_up.contains(move.to())) return false;
  if (IsFull(move.to(), kNoRoomPercent)) return false;
  const auto domain = domains_.DomainOf(move.to(), group.level());
  if (!domain.has_value()) return false;
  const uint32_t shared = FragmentsIn(*domain, group, index);
  if (shared > 0 && !(group.crowded() && MayShare(group, shared))) return false;
  return move.balance() || IsLeaving(domains_, move.from(), facts_) ||
         (group.crowded() && SharesDomain(domains_, group, index));
}

void MovePlanner::ForgetGone(wire::GroupMove* move) {
  auto& former = *move->mutable_former();
  const auto gone = std::remove_if(former.begin(), former.end(),
                                   [this](uint32_t target) { return IsGoneForGood(target); });
  changed_ = changed_ || gone != former.end();
  former.erase(gone, former.end());
}

// The member settles again, or waits for being replaced: what came before it must not be forgotten.
bool MovePlanner::TurnBack(const Group& group, wire::GroupMove* move) {
  const auto index = static_cast<int>(move->index());
  if (index >= group.targets_size() || FindMove(group, index) != move) return false;
  if (move->settling() || move->former().empty()) return false;
  if (group.targets(index) != move->from()) return false;
  const uint32_t before = *move->former().rbegin();
  if (before == move->from()) return false;
  move->set_to(move->from());
  move->set_from(before);
  move->mutable_former()->RemoveLast();
  move->set_settling(true);
  return true;
}

uint32_t MovePlanner::FragmentsIn(uint32_t domain, const Group& group, int index) const {
  const std::map<uint32_t, uint32_t> others = DomainsOfOthers(domains_, group, index);
  const auto found = others.find(domain);
  return found == others.end() ? 0 : found->second;
}

bool MovePlanner::MayShare(const Group& group, uint32_t others) {
  return others + 1 <= ParsedRedundancy(group)->parity_fragments;
}

bool MovePlanner::IsFull(uint32_t target, double percent) const {
  const auto usage = facts_.usage.find(target);
  if (usage == facts_.usage.end() || usage->second.capacity_bytes == 0) return false;
  return static_cast<double>(usage->second.used_bytes) >=
         static_cast<double>(usage->second.capacity_bytes) * percent / 100;
}

bool MovePlanner::CanBeChosen(const wire::TargetInfo& target) const {
  if (domains_.FindTarget(target.id()) != &target || !domains_.IsUsable(target.id())) return false;
  return target.state() == wire::TARGET_UP &&
         domains_.NodeOf(target.id())->state() == wire::NODE_UP &&
         !facts_.given_up.contains(target.id()) && !IsFull(target.id(), kFullPercent);
}

void MovePlanner::FindCandidates() {
  absl::flat_hash_map<uint32_t, uint32_t> promised;
  for (const Group& group : map_->groups()) {
    for (uint32_t target : group.targets()) ++members_of_[target];
    for (const wire::GroupMove& move : group.moves()) {
      is_busy_ = true;
      for (uint32_t holder : HoldersBefore(move)) giving_.insert(holder);
      if (move.settling()) continue;
      taking_.insert(move.to());
      ++promised[move.to()];
    }
  }
  for (const wire::TargetInfo& target : map_->targets()) {
    if (CanBeChosen(target))
      candidates_.push_back({target.id(), members_of_[target.id()] + promised[target.id()]});
  }
}

void MovePlanner::MoveLeaving(Group* group) {
  for (int i = 0; i < group->targets_size(); ++i) {
    if (!IsLeaving(domains_, group->targets(i), facts_)) continue;
    is_busy_ = true;
    const wire::GroupMove* move = FindMove(*group, i);
    // One that settles comes to its end first, if it can.
    const bool is_stuck =
        move != nullptr && move->settling() && !domains_.IsReachable(group->targets(i));
    if (move != nullptr && !is_stuck) continue;
    if (!CanBeMoved(domains_, *group, i)) continue;
    Candidate* to = Choose(*group, i, Sharing::kNo);
    if (to == nullptr) {
      // Better crowded than with a fragment less.
      to = Choose(*group, i, Sharing::kYes);
      if (to != nullptr) group->set_crowded(true);
    }
    if (to != nullptr) Add(group, i, to);
  }
}

bool MovePlanner::IsGoneForGood(uint32_t target) const {
  return domains_.NodeOf(target) == nullptr || domains_.IsLost(target);
}

void MovePlanner::MoveApart(Group* group) {
  if (!group->crowded() || !ParsedRedundancy(*group).has_value()) return;
  if (facts_.keep_crowded.contains(group->id())) return;
  // From the back, so that of those that share a domain the first stays.
  for (int i = group->targets_size() - 1; i >= 0; --i) {
    const uint32_t target = group->targets(i);
    if (FindMove(*group, i) != nullptr || IsLeaving(domains_, target, facts_)) continue;
    if (!domains_.IsReachable(target) || taking_.contains(target)) continue;
    if (!SharesDomain(domains_, *group, i)) continue;
    if (Candidate* to = Choose(*group, i, Sharing::kNo); to != nullptr) Add(group, i, to);
  }
  // Those on the move may be about to share one.
  if (!group->moves().empty() || !IsApart(domains_, *group)) return;
  group->set_crowded(false);
  changed_ = true;
}

// The fewest groups first, then as BuildGroups() has it; where domains are shared, those with the
// fewest fragments of the group before all.
MovePlanner::Candidate* MovePlanner::Choose(const Group& group, int index, Sharing sharing) {
  const std::map<uint32_t, uint32_t> others = DomainsOfOthers(domains_, group, index);
  const wire::GroupMove* before = FindMove(group, index);
  Candidate* best = nullptr;
  std::tuple<uint32_t, uint32_t, uint64_t, uint32_t> best_rank;
  for (Candidate& each : candidates_) {
    if (each.id == group.targets(index)) continue;
    // But whoever gave the very member may have it back.
    const bool had_it = before != nullptr && IsNamed(*before, each.id);
    if (giving_.contains(each.id) && !had_it) continue;
    const auto domain = domains_.DomainOf(each.id, group.level());
    if (!domain.has_value()) continue;
    const auto taken = others.find(*domain);
    const uint32_t shared = taken == others.end() ? 0 : taken->second;
    if (shared > 0 && (sharing == Sharing::kNo || !MayShare(group, shared))) continue;
    const std::tuple rank(shared, each.load, ~PlacementScore(group.id(), TargetId(each.id)),
                          each.id);
    if (best != nullptr && rank > best_rank) continue;
    best = &each;
    best_rank = rank;
  }
  return best;
}

wire::GroupMove* MovePlanner::Add(Group* group, int index, Candidate* to) {
  wire::GroupMove* move = FindMove(group, index);
  if (move == nullptr) move = group->add_moves();
  // It takes over from the one that was settling and from all that this one had still to take from.
  std::vector<uint32_t> former;
  if (move->settling()) former = HoldersBefore(*move);
  move->Clear();
  move->set_index(static_cast<uint32_t>(index));
  move->set_from(group->targets(index));
  move->set_to(to->id);
  std::reverse(former.begin(), former.end());
  for (uint32_t target : former)
    if (target != move->from() && !IsGoneForGood(target)) move->add_former(target);
  ++to->load;
  giving_.insert(move->from());
  taking_.insert(to->id);
  is_busy_ = true;
  changed_ = true;
  return move;
}

}  // namespace cairn
