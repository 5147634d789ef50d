// See room.h.
#include "server/cluster/room.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "common/base/strings.h"
#include "server/cluster/group_members.h"
#include "server/cluster/wording.h"

namespace cairn {

wire::ClusterMap WithoutGroups(const wire::ClusterMap& map) {
  wire::ClusterMap rest;
  *rest.mutable_nodes() = map.nodes();
  *rest.mutable_targets() = map.targets();
  return rest;
}

absl::Status CheckRoom(const wire::ClusterMap& map, const wire::ClusterMap& after,
                       const std::set<uint32_t>& leaving, const std::string& who,
                       const std::string& todo) {
  const MapDomains domains(after);
  BlockedMembers blocked(domains);
  std::map<std::pair<std::string, wire::DomainLevel>, std::string> reasons;
  for (const wire::PlacementGroup& group : map.groups()) {
    const std::pair kind(RedundancyNameOf(group), group.level());
    const bool is_in =
        std::any_of(group.targets().begin(), group.targets().end(),
                    [&leaving](uint32_t target) { return leaving.contains(target); });
    if (!is_in || reasons.contains(kind)) continue;
    const std::optional<Redundancy> redundancy = ParsedRedundancy(group);
    if (!redundancy.has_value()) {
      reasons[kind] = StrCat(kind.first, " is of a later release, and only that can move it");
    } else if (!blocked.Of(group).empty()) {
      const char* noun = DomainNoun(kind.second);
      reasons[kind] = StrCat(kind.first, " needs ", Counted(redundancy->width(), noun), ", and ",
                             blocked.Usable(kind.second), " would be left to take data");
    }
  }
  if (reasons.empty()) return absl::OkStatus();
  std::string all;
  for (const auto& [kind, reason] : reasons) all += StrCat(all.empty() ? "" : ", ", reason);
  return absl::FailedPreconditionError(StrCat("some of what ", who,
                                              " holds would have nowhere to go: ", all, "; ", todo,
                                              " first, or say --force to have the rest moved"));
}

}  // namespace cairn
