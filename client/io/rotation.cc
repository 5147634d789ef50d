#include "client/io/rotation.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "client/io/group_redundancy.h"
#include "client/io/silence.h"
#include "common/base/check.h"
#include "common/base/strings.h"
#include "common/placement/groups.h"

namespace cairn {
namespace {

// PGs that one shard rotates over. Bounds the connections of a rank; 16 spread a shard well enough
// that no target gets more than a few percent over its share.
constexpr size_t kRotationMax = 16;
// Of so many the best are chosen: enough for sixteen that share no target, where there are.
constexpr size_t kCandidatesMax = 256;

// Whether what is being emptied counts, too.
enum class Draining { kLeftOut, kTaken };

// Targets that are open on nodes in one of the states.
absl::flat_hash_set<uint32_t> TargetsOn(const wire::ClusterMap& map,
                                        std::initializer_list<wire::NodeState> states,
                                        Draining draining) {
  const bool all = draining == Draining::kTaken;
  absl::flat_hash_set<uint32_t> nodes;
  for (const wire::NodeInfo& node : map.nodes()) {
    if (!all && (node.draining() || node.removing())) continue;
    if (std::find(states.begin(), states.end(), node.state()) != states.end())
      nodes.insert(node.id());
  }
  absl::flat_hash_set<uint32_t> targets;
  for (const wire::TargetInfo& target : map.targets()) {
    if (!all && target.draining()) continue;
    if (target.state() == wire::TARGET_UP && nodes.contains(target.node()))
      targets.insert(target.id());
  }
  return targets;
}

// `fraction` of 2^64, as a number below `count`; 0 for none.
uint64_t ScaleTo(uint64_t fraction, uint64_t count) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(fraction) * count) >> 64);
}

}  // namespace

Rotation::Rotation(const wire::ClusterMap& map, const Redundancy& redundancy, uint64_t turn,
                   uint64_t shard)
    : redundancy_(FormatRedundancy(redundancy)), version_(map.version()) {
  AddGroups(map, TargetsOn(map, {wire::NODE_UP}, Draining::kLeftOut));
  // One that has missed a heartbeat or two is better than none, and so is one that is to be empty.
  for (Draining draining : {Draining::kLeftOut, Draining::kTaken}) {
    if (groups_.empty())
      AddGroups(map, TargetsOn(map, {wire::NODE_UP, wire::NODE_SUSPECT}, draining));
  }
  Arrange();
  // Each turn starts a golden section of the circle further, which spreads any number of them
  // evenly, and any selection at equal distances. Random starts left the busiest of 2,048 targets
  // with an eighth more than its share of a save of 16,384 ranks (bench/scale).
  constexpr uint64_t kGoldenSection = 0x9e3779b97f4a7c15;
  // And each shard by another number that no sum of these comes back to soon.
  constexpr uint64_t kPlasticSection = 0x91e10da5c79e7b1c;
  const uint64_t fraction = turn * kGoldenSection + shard * kPlasticSection;
  const auto start = static_cast<ptrdiff_t>(ScaleTo(fraction, groups_.size()));
  std::rotate(groups_.begin(), groups_.begin() + start, groups_.end());
  Choose();
}

// The map has the groups of a target or a node side by side; a shard is to reach many of them. So
// first come groups whose targets are all in none before them, then those with targets in one, and
// so on: the same order for everyone who knows this map. Each time round the targets come in one
// order, so that sixteen in a row have none twice also where a round ends, and Choose() takes them
// as they are.
void Rotation::Arrange() {
  struct Place {
    size_t before = 0;  // groups that its targets are in, together
    uint64_t score = 0;
    size_t index = 0;
    auto operator<=>(const Place&) const = default;
  };
  absl::flat_hash_map<TargetId, size_t> load;
  std::vector<Place> places;
  for (size_t i = 0; i < groups_.size(); ++i) {
    Place& place = places.emplace_back();
    place.score = PlacementScore(0, groups_[i].targets.front());
    place.index = i;
    for (TargetId target : groups_[i].targets) place.before += load[target]++;
  }
  std::sort(places.begin(), places.end());
  std::vector<Group> arranged;
  for (const Place& place : places) arranged.push_back(std::move(groups_[place.index]));
  groups_ = std::move(arranged);
}

void Rotation::AddGroups(const wire::ClusterMap& map, const absl::flat_hash_set<uint32_t>& usable) {
  absl::flat_hash_set<uint64_t> known;
  for (const Group& group : groups_) known.insert(group.id.value());
  for (const wire::PlacementGroup& group : map.groups()) {
    if (RedundancyTextOf(group) != redundancy_ || known.contains(group.id())) continue;
    const bool healthy = std::all_of(group.targets().begin(), group.targets().end(),
                                     [&usable](uint32_t id) { return usable.contains(id); });
    if (!healthy) continue;
    Group& added = groups_.emplace_back();
    added.id = PgId(group.id());
    added.crowded = group.crowded();
    for (uint32_t target : group.targets()) added.targets.push_back(TargetId(target));
  }
}

void Rotation::Learn(const wire::ClusterMap& map) {
  if (map.version() <= version_) return;
  version_ = map.version();
  const absl::flat_hash_set<uint32_t> alive =
      TargetsOn(map, {wire::NODE_UP, wire::NODE_SUSPECT}, Draining::kTaken);
  std::erase_if(refused_, [&alive](const auto& refusal) {
    return IsSilence(refusal.second) && alive.contains(refusal.first.value());
  });
  for (const Group& group : groups_) {
    for (TargetId target : group.targets) {
      if (!alive.contains(target.value()))
        refused_.emplace(target, absl::UnavailableError("its node is down"));
    }
  }
  AddGroups(map, TargetsOn(map, {wire::NODE_UP, wire::NODE_SUSPECT}, Draining::kLeftOut));
  if (groups_.empty()) AddGroups(map, alive);
  Choose();
}

void Rotation::Choose() {
  ChooseAll();
  if (!chosen_.empty()) return;
  // Those that were only silent may be back, and are better than none.
  std::erase_if(refused_, [](const auto& refusal) { return IsSilence(refusal.second); });
  ChooseAll();
}

void Rotation::ChooseAll() {
  chosen_.clear();
  ChooseAmong(false);
  chosen_are_crowded_ = chosen_.empty();
  if (chosen_.empty()) ChooseAmong(true);
}

bool Rotation::IsCrowdedForSilence() const {
  return chosen_are_crowded_ && std::any_of(refused_.begin(), refused_.end(), [](const auto& each) {
           return IsSilence(each.second);
         });
}

// One after the other that whose targets have the least to do with those chosen before, so that no
// target gets more of this write than another.
void Rotation::ChooseAmong(bool crowded) {
  std::vector<const Group*> candidates;
  for (const Group& group : groups_) {
    if (candidates.size() == kCandidatesMax) break;
    if (group.crowded == crowded && !IsRefused(group)) candidates.push_back(&group);
  }
  absl::flat_hash_map<TargetId, size_t> load;
  while (chosen_.size() < kRotationMax && !candidates.empty()) {
    auto best = candidates.begin();
    size_t least = SIZE_MAX;
    for (auto candidate = candidates.begin(); candidate != candidates.end(); ++candidate) {
      size_t sum = 0;
      for (TargetId target : (*candidate)->targets) sum += load[target];
      if (sum >= least) continue;
      least = sum;
      best = candidate;
    }
    chosen_.push_back((*best)->id);
    for (TargetId target : (*best)->targets) ++load[target];
    candidates.erase(best);
  }
}

bool Rotation::IsRefused(const Group& group) const {
  return std::any_of(group.targets.begin(), group.targets.end(),
                     [this](TargetId target) { return refused_.contains(target); });
}

// Crowded or not: better than a target that does not answer.
bool Rotation::CanAvoid(TargetId target) const {
  return std::any_of(groups_.begin(), groups_.end(), [this, target](const Group& group) {
    return !IsRefused(group) &&
           std::find(group.targets.begin(), group.targets.end(), target) == group.targets.end();
  });
}

void Rotation::Forgive(absl::FunctionRef<bool(TargetId)> is_back) {
  const size_t forgiven = std::erase_if(refused_, [&is_back](const auto& refusal) {
    return IsSilence(refusal.second) && is_back(refusal.first);
  });
  if (forgiven > 0) Choose();
}

void Rotation::ForgiveFull() {
  const size_t forgiven = std::erase_if(
      refused_, [](const auto& refusal) { return absl::IsResourceExhausted(refusal.second); });
  if (forgiven > 0) Choose();
}

std::vector<TargetId> Rotation::Avoided() const {
  std::vector<TargetId> avoided;
  for (const auto& [target, why] : refused_) avoided.push_back(target);
  return avoided;
}

// By the id, so that consecutive ids rotate.
PgId Rotation::GroupOf(StripeId stripe) const {
  CAIRN_CHECK(!chosen_.empty());
  return chosen_[stripe.value() % chosen_.size()];
}

void Rotation::Refuse(TargetId target, absl::Status why) {
  if (refused_.emplace(target, std::move(why)).second) Choose();
}

absl::Status Rotation::Usable() const {
  if (!chosen_.empty()) return absl::OkStatus();
  if (groups_.empty()) {
    return absl::UnavailableError(StrCat("no placement group for ", redundancy_,
                                         " has all its targets up; `cairn status` shows why"));
  }
  const auto full = std::find_if(refused_.begin(), refused_.end(), [](const auto& refusal) {
    return absl::IsResourceExhausted(refusal.second);
  });
  if (full != refused_.end()) {
    return absl::ResourceExhaustedError(StrCat("no target has room for more of this write (",
                                               refused_.size(),
                                               " asked): ", ToStd(full->second.message()),
                                               "; remove or prune checkpoints, or add targets"));
  }
  return absl::FailedPreconditionError(
      StrCat("no target takes more of this write (", refused_.size(),
             " asked): ", ToStd(refused_.begin()->second.message())));
}

}  // namespace cairn
