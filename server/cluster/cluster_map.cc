#include "server/cluster/cluster_map.h"

#include <algorithm>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/placement/groups.h"

namespace cairn {
namespace {

template <class Entries>
auto FindById(Entries& entries, uint32_t id) {
  return std::find_if(entries.begin(), entries.end(),
                      [id](const auto& entry) { return entry.id() == id; });
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

}  // namespace cairn
