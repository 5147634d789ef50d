#include "server/cluster/cluster_map.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/units.h"
#include "common/placement/groups.h"
#include "server/cluster/map_domains.h"

namespace cairn {
namespace {

// New targets get this share of what the others are in on average. Old groups stay as they are, so
// an equal share takes several times as many new ones, and soon the bound below leaves little to
// those that join later. ec:4+2 on 6 nodes, joined by one at a time: of the bandwidth of all
// targets the busiest one leaves at 8, 11 and 14 nodes 100, 81 and 77 % with an equal share, 97, 97
// and 85 % with three quarters, 92, 94 and 96 % with half.
constexpr int64_t kShareNumerator = 3;
constexpr int64_t kShareDenominator = 4;
// To even out, a redundancy gets groups up to this many times `groups_per_target` for each target
// of the map and no more: every client holds the map.
constexpr uint32_t kGroupsMaxFactor = 4;

template <class Entries>
auto FindById(Entries& entries, uint32_t id) {
  return std::find_if(entries.begin(), entries.end(),
                      [id](const auto& entry) { return entry.id() == id; });
}

// What a bucket could ask for instead.
std::string WhatFits(size_t domains, const Redundancy& wanted) {
  std::vector<std::string> fits;
  if (domains >= 3 && wanted.scheme == Redundancy::Scheme::kErasureCode) {
    const uint32_t parity =
        std::min(wanted.parity_fragments, static_cast<uint32_t>(domains - 1) / 2);
    const uint32_t data = std::min(wanted.data_fragments, static_cast<uint32_t>(domains) - parity);
    fits.push_back(FormatRedundancy({Redundancy::Scheme::kErasureCode, data, parity}));
  }
  const auto copies = static_cast<uint32_t>(std::min<size_t>(domains, 3));
  fits.push_back(FormatRedundancy({Redundancy::Scheme::kReplica, 1, copies - 1}));
  std::string text = fits[0];
  for (size_t i = 1; i < fits.size(); ++i) text += " or " + fits[i];
  return text;
}

bool Contains(const google::protobuf::RepeatedPtrField<wire::TargetInfo>& targets, uint32_t id) {
  return FindById(targets, id) != targets.end();
}

// Where new groups may lie.
struct Usable {
  std::vector<PlacementTarget> targets;
  size_t domains = 0;
  // Asked for racks: a node with targets left out because it has not said its own; 0: none.
  uint32_t node_without_rack = 0;
};

// `heard`: a node that is known to be alive, whatever the map says of it; 0: none.
Usable FindUsable(const wire::ClusterMap& map, wire::DomainLevel level, uint32_t heard,
                  const std::set<uint32_t>& avoid = {}) {
  const MapDomains domains(map, heard);
  Usable usable;
  std::set<uint32_t> used;
  for (const wire::TargetInfo& target : map.targets()) {
    if (!domains.IsUsable(target.id()) || avoid.contains(target.id())) continue;
    const std::optional<uint32_t> domain = domains.DomainOf(target.id(), level);
    if (!domain.has_value()) {
      usable.node_without_rack = target.node();
      continue;
    }
    usable.targets.push_back({TargetId(target.id()), *domain});
    used.insert(*domain);
  }
  usable.domains = used.size();
  return usable;
}

uint32_t NextGroupId(const wire::ClusterMap& map) {
  uint32_t next = 0;
  for (const wire::PlacementGroup& group : map.groups()) next = std::max(next, group.id() + 1);
  return next;
}

void AppendGroups(std::span<const PlacementGroupTargets> groups, const std::string& redundancy,
                  wire::DomainLevel level, wire::ClusterMap* map) {
  for (const PlacementGroupTargets& group : groups) {
    wire::PlacementGroup* added = map->add_groups();
    added->set_id(group.id.value());
    added->set_redundancy(redundancy);
    added->set_level(level);
    for (TargetId target : group.targets) added->add_targets(target.value());
  }
}

// A number that is taken by another node's target, or was.
bool IsForeign(const wire::ClusterMap& stored, const wire::TargetInfo& target) {
  const auto known = FindById(stored.targets(), target.id());
  if (known != stored.targets().end()) return known->node() != target.node();
  if (target.id() <= stored.last_removed_target()) return true;
  return std::any_of(stored.groups().begin(), stored.groups().end(), [&target](const auto& group) {
    return std::find(group.targets().begin(), group.targets().end(), target.id()) !=
           group.targets().end();
  });
}

absl::Status CheckTargets(const wire::ClusterMap& stored, const wire::ClusterMap& present) {
  for (const wire::TargetInfo& target : stored.targets()) {
    if (FindById(present.nodes(), target.node()) == present.nodes().end()) continue;
    if (Contains(present.targets(), target.id()) || target.joining()) continue;
    return absl::FailedPreconditionError(
        StrCat("target ", target.id(), " (", target.path(),
               ") holds data of this cluster but is not configured any more; put it back"));
  }
  for (const wire::TargetInfo& target : present.targets()) {
    if (IsForeign(stored, target)) {
      return absl::FailedPreconditionError(StrCat(
          "target ", target.id(), " (", target.path(),
          ") cannot be added: its id is that of another node's target; adding targets to "
          "the founding node after others have joined is not supported; add a node instead"));
    }
    if (target.state() == wire::TARGET_FAILED && !Contains(stored.targets(), target.id())) {
      return absl::FailedPreconditionError(
          StrCat("target ", target.id(), " (", target.path(), ") is new and could not be opened"));
    }
  }
  return absl::OkStatus();
}

void MergeNode(const wire::NodeInfo& present, wire::ClusterMap* map) {
  const auto known = FindById(*map->mutable_nodes(), present.id());
  wire::NodeInfo* node = known == map->mutable_nodes()->end() ? map->add_nodes() : &*known;
  node->MergeFrom(present);
  node->set_state(present.state());  // UP is 0, which MergeFrom takes for nothing said
}

// Targets that were given an id and not made any more: they hold nothing.
void DropUnmade(const wire::ClusterMap& present, wire::ClusterMap* map) {
  auto& targets = *map->mutable_targets();
  for (auto target = targets.begin(); target != targets.end();) {
    const bool is_own = FindById(present.nodes(), target->node()) != present.nodes().end();
    if (!target->joining() || !is_own || Contains(present.targets(), target->id())) {
      ++target;
      continue;
    }
    map->set_last_removed_target(std::max(map->last_removed_target(), target->id()));
    target = targets.erase(target);
  }
}

// Groups that do for one another.
struct Kind {
  std::string redundancy;  // "": one copy
  wire::DomainLevel level = wire::DOMAIN_NODE;

  friend auto operator<=>(const Kind&, const Kind&) = default;
};

struct GroupsOfKind {
  uint64_t count = 0;
  std::map<TargetId, uint32_t> load;  // in how many a target is
};

// All kinds that have groups, and one copy in any case: every target is to have groups of that.
std::map<Kind, GroupsOfKind> CountByKind(const wire::ClusterMap& map) {
  const Kind one_copy;  // on one target, so no level matters
  std::map<Kind, GroupsOfKind> kinds = {{one_copy, {}}};
  for (const wire::PlacementGroup& group : map.groups()) {
    if (group.crowded()) continue;  // not there to stay in use
    const bool is_one = RedundancyNameOf(group) == "replica:1";
    GroupsOfKind& kind = kinds[is_one ? one_copy : Kind{group.redundancy(), group.level()}];
    ++kind.count;
    for (uint32_t target : group.targets()) ++kind.load[TargetId(target)];
  }
  return kinds;
}

// In how many groups of a kind each target holds data, and not parity.
std::map<TargetId, uint32_t> DataLoadOf(const Kind& kind, const Redundancy& redundancy,
                                        const wire::ClusterMap& map) {
  std::map<TargetId, uint32_t> load;
  for (const wire::PlacementGroup& group : map.groups()) {
    if (group.redundancy() != kind.redundancy || group.level() != kind.level) continue;
    const int count = std::min(static_cast<int>(redundancy.data_fragments), group.targets_size());
    for (int i = 0; i < count; ++i) ++load[TargetId(group.targets(i))];
  }
  return load;
}

// How far new targets are behind what they are to get.
struct Lag {
  uint32_t least = 0;  // groups that a new one is in
  int64_t gap = 0;     // what they lack, in a unit that stays the same
};

Lag MeasureLag(const Usable& usable, const std::set<TargetId>& fresh,
               const std::map<TargetId, uint32_t>& load) {
  Lag lag{std::numeric_limits<uint32_t>::max(), 0};
  int64_t others = 0;
  int64_t others_groups = 0;
  for (const PlacementTarget& target : usable.targets) {
    const auto found = load.find(target.id);
    const uint32_t groups = found == load.end() ? 0 : found->second;
    if (fresh.contains(target.id)) {
      lag.least = std::min(lag.least, groups);
    } else {
      others_groups += groups;
      ++others;
    }
  }
  lag.gap = kShareNumerator * others_groups - kShareDenominator * others * lag.least;
  return lag;
}

// AddGroupsForNewTargets() for one kind.
void AddGroupsOfKind(const Kind& kind, GroupsOfKind groups, uint32_t heard,
                     uint32_t groups_per_target, wire::ClusterMap* map) {
  const absl::StatusOr<Redundancy> redundancy =
      ParseRedundancy(kind.redundancy.empty() ? "replica:1" : kind.redundancy);
  if (!redundancy.ok()) return;  // a later release made it, and will make more
  const Usable usable = FindUsable(*map, kind.level, heard);
  if (usable.domains < redundancy->width()) return;
  std::set<TargetId> fresh;
  for (const PlacementTarget& target : usable.targets)
    if (!groups.load.contains(target.id)) fresh.insert(target.id);
  if (fresh.empty()) return;
  const uint64_t count_max =
      uint64_t{kGroupsMaxFactor} * groups_per_target * static_cast<uint64_t>(map->targets_size());
  const auto step = static_cast<uint32_t>(fresh.size());
  uint32_t next_id = NextGroupId(*map);
  for (int64_t gap_before = std::numeric_limits<int64_t>::max();;) {
    const Lag lag = MeasureLag(usable, fresh, groups.load);
    // A new group is one more for the others in it, too: several new targets that share a domain,
    // and so no group, may fall back with each.
    const bool gains = lag.gap > 0 && lag.gap < gap_before && groups.count < count_max;
    if (lag.least >= groups_per_target && !gains) return;
    gap_before = lag.gap;
    auto added = BuildGroups(usable.targets, step, redundancy->width(), next_id, groups.load);
    CAIRN_CHECK(added.ok());  // there are enough domains
    SpreadData(redundancy->data_fragments, DataLoadOf(kind, *redundancy, *map), &*added);
    AppendGroups(*added, kind.redundancy, kind.level, map);
    groups.count += step;
    next_id += step;
    for (const PlacementGroupTargets& group : *added)
      for (TargetId target : group.targets) ++groups.load[target];
  }
}

// At a time: every client holds the map, and one of these groups or another will be used again.
constexpr uint32_t kGroupsMadeMax = 16;

bool IsUsable(const wire::PlacementGroup& group, const Usable& usable) {
  return std::all_of(group.targets().begin(), group.targets().end(), [&usable](uint32_t id) {
    return std::any_of(usable.targets.begin(), usable.targets.end(),
                       [id](const auto& target) { return target.id.value() == id; });
  });
}

// Each group starts one domain further, and one target further in each domain after a full round.
std::vector<PlacementGroupTargets> BuildCrowded(const Usable& usable, uint32_t count,
                                                uint32_t width, uint32_t first_id) {
  std::map<uint32_t, std::vector<TargetId>> by_domain;
  for (const PlacementTarget& target : usable.targets)
    by_domain[target.failure_domain].push_back(target.id);
  std::vector<std::vector<TargetId>> domains;
  for (auto& [domain, targets] : by_domain) domains.push_back(std::move(targets));
  std::vector<PlacementGroupTargets> groups;
  for (uint32_t group = 0; group < count; ++group) {
    PlacementGroupTargets& added = groups.emplace_back();
    added.id = PgId(first_id + group);
    for (uint32_t i = 0; i < width; ++i) {
      const std::vector<TargetId>& targets = domains[(group + i) % domains.size()];
      added.targets.push_back(
          targets[(group / domains.size() + i / domains.size()) % targets.size()]);
    }
  }
  return groups;
}

// Whatever is down, has failed or is to be avoided: a group is left, or one is made of the rest.
void AddUsableGroupsOfKind(const Kind& kind, const std::map<TargetId, uint32_t>& load,
                           const std::set<uint32_t>& avoid, uint32_t groups_per_target,
                           wire::ClusterMap* map) {
  const absl::StatusOr<Redundancy> redundancy = ParseRedundancy(kind.redundancy);
  if (!redundancy.ok()) return;  // a later release made it, and will make more
  const Usable usable = FindUsable(*map, kind.level, 0, avoid);
  const uint32_t width = redundancy->width();
  if (usable.domains < FewestDomains(*redundancy)) return;
  const bool crowded = usable.domains < width;
  for (const wire::PlacementGroup& group : map->groups()) {
    const bool of_kind = group.redundancy() == kind.redundancy && group.level() == kind.level;
    if (of_kind && IsUsable(group, usable)) return;
  }
  const auto wanted = static_cast<uint32_t>(
      DivideUp(uint64_t{groups_per_target} * usable.targets.size(), uint64_t{width}));
  const uint32_t count = std::min(wanted, kGroupsMadeMax);
  const uint32_t next_id = NextGroupId(*map);
  if (!crowded) {
    // Enough domains, but each group that there is has lost one: none of these, by chance.
    auto added = BuildGroups(usable.targets, count, width, next_id, load);
    CAIRN_CHECK(added.ok());  // there are enough domains
    SpreadData(redundancy->data_fragments, DataLoadOf(kind, *redundancy, *map), &*added);
    AppendGroups(*added, kind.redundancy, kind.level, map);
    return;
  }
  const int before = map->groups_size();
  AppendGroups(BuildCrowded(usable, count, width, next_id), kind.redundancy, kind.level, map);
  for (int i = before; i < map->groups_size(); ++i) map->mutable_groups(i)->set_crowded(true);
}

}  // namespace

absl::StatusOr<wire::ClusterMap> MergeClusterMap(const wire::ClusterMap& stored,
                                                 const wire::ClusterMap& present,
                                                 uint32_t groups_per_target) {
  RETURN_IF_ERROR(CheckTargets(stored, present));
  wire::ClusterMap merged = stored;
  merged.set_cluster_id(present.cluster_id());
  merged.set_stripe_bytes(present.stripe_bytes());
  for (const wire::NodeInfo& node : present.nodes()) MergeNode(node, &merged);
  DropUnmade(present, &merged);
  std::vector<PlacementTarget> joining;
  for (const wire::TargetInfo& target : present.targets()) {
    auto known = FindById(*merged.mutable_targets(), target.id());
    if (known == merged.mutable_targets()->end()) {
      joining.push_back({TargetId(target.id()), target.node()});
      *merged.add_targets() = target;
    } else {
      const uint64_t capacity_bytes = known->capacity_bytes();
      const wire::TargetInfo before = *known;
      *known = target;
      known->set_joining(before.joining());
      known->set_draining(before.draining());
      known->set_removing(before.removing());
      known->set_lost(before.lost() && target.state() == wire::TARGET_FAILED);
      // Mostly not known yet at this point, and a change would make a version.
      if (target.capacity_bytes() == 0) known->set_capacity_bytes(capacity_bytes);
    }
  }
  if (!joining.empty()) {
    const uint32_t count = groups_per_target * static_cast<uint32_t>(joining.size());
    ASSIGN_OR_RETURN(const std::vector<PlacementGroupTargets> groups,
                     BuildGroups(joining, count, 1, NextGroupId(merged)));
    AppendGroups(groups, "", wire::DOMAIN_NODE, &merged);
  }
  BumpVersionIfChanged(stored, &merged);
  return merged;
}

absl::StatusOr<wire::ClusterMap> AddGroupsFor(const wire::ClusterMap& map,
                                              const Redundancy& redundancy, wire::DomainLevel level,
                                              uint32_t groups_per_target) {
  const std::string text = FormatRedundancy(redundancy);
  for (const wire::PlacementGroup& group : map.groups())
    if (RedundancyNameOf(group) == text) return map;
  const Usable usable = FindUsable(map, level, 0);
  if (usable.node_without_rack != 0) {
    return absl::FailedPreconditionError(
        StrCat("node ", usable.node_without_rack, " has not said which rack it is in: set `rack`"));
  }
  if (usable.domains < redundancy.width()) {
    std::string message = StrCat(text, " needs ", redundancy.width(), " ", DomainNoun(level),
                                 "s, and the cluster has ", usable.domains, " that work");
    if (usable.domains > 0)
      message += StrCat("; ", WhatFits(usable.domains, redundancy), " would fit");
    return absl::FailedPreconditionError(message);
  }
  const auto count = static_cast<uint32_t>(
      DivideUp(uint64_t{groups_per_target} * usable.targets.size(), uint64_t{redundancy.width()}));
  ASSIGN_OR_RETURN(std::vector<PlacementGroupTargets> groups,
                   BuildGroups(usable.targets, count, redundancy.width(), NextGroupId(map)));
  SpreadData(redundancy.data_fragments, {}, &groups);
  wire::ClusterMap grown = map;
  AppendGroups(groups, text, level, &grown);
  grown.set_version(map.version() + 1);
  return grown;
}

void AddGroupsForNewTargets(wire::ClusterMap* map, uint32_t heard, uint32_t groups_per_target) {
  for (auto& [kind, groups] : CountByKind(*map))
    AddGroupsOfKind(kind, std::move(groups), heard, groups_per_target, map);
}

uint32_t FewestDomains(const Redundancy& redundancy) {
  const uint32_t in_one = std::max(redundancy.tolerance(), uint32_t{1});
  return static_cast<uint32_t>(DivideUp(redundancy.width(), in_one));
}

bool BumpVersionIfChanged(const wire::ClusterMap& before, wire::ClusterMap* after) {
  after->set_version(before.version());
  if (after->SerializeAsString() == before.SerializeAsString()) return false;
  after->set_version(before.version() + 1);
  return true;
}

void AddUsableGroups(wire::ClusterMap* map, uint32_t groups_per_target) {
  for (const auto& [kind, groups] : CountByKind(*map)) {
    if (!kind.redundancy.empty())
      AddUsableGroupsOfKind(kind, groups.load, {}, groups_per_target, map);
  }
}

void AddGroupsWithout(const std::set<uint32_t>& avoid, std::string_view redundancy,
                      uint32_t groups_per_target, wire::ClusterMap* map) {
  for (const auto& [kind, groups] : CountByKind(*map)) {
    if (kind.redundancy == redundancy)
      AddUsableGroupsOfKind(kind, groups.load, avoid, groups_per_target, map);
  }
}

}  // namespace cairn
