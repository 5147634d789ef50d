#include "client/io/map_changes.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

template <class Entries, class Ids>
absl::Status ApplyTo(Entries* entries, const Entries& different, const Ids& removed,
                     std::string_view what) {
  const absl::flat_hash_set<uint32_t> gone(removed.begin(), removed.end());
  if (!gone.empty()) {
    Entries kept;
    for (auto& entry : *entries) {
      if (!gone.contains(entry.id())) *kept.Add() = std::move(entry);
    }
    if (static_cast<size_t>(entries->size() - kept.size()) != gone.size())
      return absl::DataLossError(StrCat("a change removes a ", what, " that is not there"));
    entries->Swap(&kept);
  }
  if (different.empty()) return absl::OkStatus();
  absl::flat_hash_map<uint32_t, int> places;
  for (int i = 0; i < entries->size(); ++i) places.emplace(entries->Get(i).id(), i);
  for (const auto& entry : different) {
    const auto [place, is_new] = places.try_emplace(entry.id(), entries->size());
    if (is_new) {
      *entries->Add() = entry;
    } else {
      *entries->Mutable(place->second) = entry;
    }
  }
  return absl::OkStatus();
}

absl::Status Apply(const wire::MapChange& change, wire::ClusterMap* map) {
  const wire::ClusterMap& entries = change.entries();
  if (entries.version() != map->version() + 1 || entries.cluster_id() != map->cluster_id()) {
    return absl::DataLossError(StrCat("a change makes version ", entries.version(),
                                      " of the cluster map of version ", map->version()));
  }
  map->set_version(entries.version());
  map->set_stripe_bytes(entries.stripe_bytes());
  map->set_last_removed_node(entries.last_removed_node());
  map->set_last_removed_target(entries.last_removed_target());
  RETURN_IF_ERROR(ApplyTo(map->mutable_nodes(), entries.nodes(), change.removed_nodes(), "node"));
  RETURN_IF_ERROR(
      ApplyTo(map->mutable_targets(), entries.targets(), change.removed_targets(), "target"));
  return ApplyTo(map->mutable_groups(), entries.groups(), change.removed_groups(), "group");
}

}  // namespace

absl::StatusOr<wire::ClusterMap> ApplyMapChanges(
    wire::ClusterMap map, const google::protobuf::RepeatedPtrField<wire::MapChange>& changes) {
  for (const wire::MapChange& change : changes) RETURN_IF_ERROR(Apply(change, &map));
  return map;
}

}  // namespace cairn
