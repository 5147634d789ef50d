#include "server/cluster/cluster_map.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/units.h"
#include "common/placement/groups.h"

namespace cairn {
namespace {

template <class Entries>
auto FindById(Entries& entries, uint32_t id) {
  return std::find_if(entries.begin(), entries.end(),
                      [id](const auto& entry) { return entry.id() == id; });
}

// Groups from before there was a choice name no redundancy.
bool HasRedundancy(const wire::PlacementGroup& group, const std::string& text) {
  return group.redundancy() == text || (group.redundancy().empty() && text == "replica:1");
}

const char* Describe(wire::DomainLevel level) {
  switch (level) {
    case wire::DOMAIN_TARGET:
      return "targets";
    case wire::DOMAIN_RACK:
      return "racks";
    default:
      return "nodes";
  }
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

// A number for what must not be shared, the same for targets that share it.
uint32_t DomainOf(const wire::TargetInfo& target, wire::DomainLevel level) {
  return level == wire::DOMAIN_TARGET ? target.id() : target.node();
}

bool Contains(const google::protobuf::RepeatedPtrField<wire::TargetInfo>& targets, uint32_t id) {
  return FindById(targets, id) != targets.end();
}

}  // namespace

absl::StatusOr<wire::ClusterMap> MergeClusterMap(const wire::ClusterMap& stored,
                                                 const wire::ClusterMap& present,
                                                 uint32_t groups_per_target) {
  wire::ClusterMap merged = stored;
  merged.set_cluster_id(present.cluster_id());
  merged.set_stripe_bytes(present.stripe_bytes());
  for (const wire::NodeInfo& node : present.nodes()) {
    auto known = FindById(*merged.mutable_nodes(), node.id());
    *(known == merged.mutable_nodes()->end() ? merged.add_nodes() : &*known) = node;
    for (const wire::TargetInfo& target : stored.targets()) {
      if (target.node() != node.id() || Contains(present.targets(), target.id())) continue;
      return absl::FailedPreconditionError(
          StrCat("target ", target.id(), " (", target.path(),
                 ") holds data of this cluster but is not configured any more; put it back"));
    }
  }
  std::vector<PlacementTarget> joining;
  for (const wire::TargetInfo& target : present.targets()) {
    auto known = FindById(*merged.mutable_targets(), target.id());
    if (known == merged.mutable_targets()->end()) {
      if (target.state() == wire::TARGET_FAILED) {
        return absl::FailedPreconditionError(StrCat("target ", target.id(), " (", target.path(),
                                                    ") is new and could not be opened"));
      }
      joining.push_back({TargetId(target.id()), target.node()});
      *merged.add_targets() = target;
    } else {
      *known = target;
    }
  }
  if (!joining.empty()) {
    uint32_t first_id = 0;
    for (const wire::PlacementGroup& group : merged.groups())
      first_id = std::max(first_id, group.id() + 1);
    const uint32_t count = groups_per_target * static_cast<uint32_t>(joining.size());
    ASSIGN_OR_RETURN(const std::vector<PlacementGroupTargets> groups,
                     BuildGroups(joining, count, 1, first_id));
    for (const PlacementGroupTargets& group : groups) {
      wire::PlacementGroup* added = merged.add_groups();
      added->set_id(group.id.value());
      for (TargetId target : group.targets) added->add_targets(target.value());
    }
  }
  if (merged.SerializeAsString() != stored.SerializeAsString())
    merged.set_version(stored.version() + 1);
  return merged;
}

absl::StatusOr<wire::ClusterMap> AddGroupsFor(const wire::ClusterMap& map,
                                              const Redundancy& redundancy, wire::DomainLevel level,
                                              uint32_t groups_per_target) {
  const std::string text = FormatRedundancy(redundancy);
  if (level == wire::DOMAIN_RACK)
    return absl::FailedPreconditionError("no node has said which rack it is in");
  uint32_t first_id = 0;
  for (const wire::PlacementGroup& group : map.groups()) {
    if (HasRedundancy(group, text)) return map;
    first_id = std::max(first_id, group.id() + 1);
  }
  std::vector<PlacementTarget> targets;
  std::set<uint32_t> domains;
  for (const wire::TargetInfo& target : map.targets()) {
    if (target.state() == wire::TARGET_FAILED) continue;
    targets.push_back({TargetId(target.id()), DomainOf(target, level)});
    domains.insert(targets.back().failure_domain);
  }
  if (domains.size() < redundancy.width()) {
    std::string message = StrCat(text, " needs ", redundancy.width(), " ", Describe(level),
                                 ", and the cluster has ", domains.size(), " that work");
    if (!domains.empty())
      message += StrCat("; ", WhatFits(domains.size(), redundancy), " would fit");
    return absl::FailedPreconditionError(message);
  }
  const auto count = static_cast<uint32_t>(
      DivideUp(uint64_t{groups_per_target} * targets.size(), uint64_t{redundancy.width()}));
  ASSIGN_OR_RETURN(const std::vector<PlacementGroupTargets> groups,
                   BuildGroups(targets, count, redundancy.width(), first_id));
  wire::ClusterMap grown = map;
  for (const PlacementGroupTargets& group : groups) {
    wire::PlacementGroup* added = grown.add_groups();
    added->set_id(group.id.value());
    added->set_redundancy(text);
    added->set_level(level);
    for (TargetId target : group.targets) added->add_targets(target.value());
  }
  grown.set_version(map.version() + 1);
  return grown;
}

}  // namespace cairn
