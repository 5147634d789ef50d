// The cluster map as a client holds it, indexed: each fragment that is read or written looks up its
// group, target and node, and the map of a large cluster has tens of thousands of groups. Made once
// a version, where session.cc takes a new map.
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/placement/redundancy.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// Immutable; shared by whoever works with this version.
class MapIndex {
 public:
  explicit MapIndex(wire::ClusterMap map);
  MapIndex(const MapIndex&) = delete;
  MapIndex& operator=(const MapIndex&) = delete;

  const wire::ClusterMap& map() const { return map_; }
  uint64_t version() const { return map_.version(); }

  // Null when the map has none; of several with one id, the first.
  const wire::PlacementGroup* FindGroup(PgId id) const { return Find(groups_, id.value()); }
  const wire::TargetInfo* FindTarget(TargetId id) const { return Find(targets_, id.value()); }
  const wire::NodeInfo* FindNode(NodeId id) const { return Find(nodes_, id.value()); }

  // The target of fragment `index` of stripes in `group`; never null. FAILED_PRECONDITION, naming
  // what the map lacks: a newer one may have it.
  absl::StatusOr<const wire::TargetInfo*> MemberOf(PgId group, uint32_t index) const;
  // Where it may be still, of a stripe written before another target took over: of several the
  // newest whose node is not known to be away. Null when all that there was is at MemberOf().
  const wire::TargetInfo* FormerOf(PgId group, uint32_t index) const;
  // FAILED_PRECONDITION: the map has no such group. INVALID_ARGUMENT: of a later release.
  absl::StatusOr<Redundancy> RedundancyOf(PgId group) const;

 private:
  template <class Entry>
  using ById = absl::flat_hash_map<uint32_t, const Entry*>;
  template <class Entry>
  static const Entry* Find(const ById<Entry>& entries, uint32_t id) {
    const auto found = entries.find(id);
    return found == entries.end() ? nullptr : found->second;
  }

  bool IsAway(const wire::TargetInfo& target) const;

  const wire::ClusterMap map_;
  ById<wire::PlacementGroup> groups_;
  ById<wire::TargetInfo> targets_;
  ById<wire::NodeInfo> nodes_;
};

}  // namespace cairn
