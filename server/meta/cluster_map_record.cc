#include "server/meta/cluster_map_record.h"

#include <optional>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/records.h"

namespace cairn {

absl::StatusOr<disk::SetClusterMapReply> SetClusterMap(Transaction& txn,
                                                       const disk::SetClusterMap& request) {
  ASSIGN_OR_RETURN(const std::optional<wire::ClusterMap> stored,
                   Find<wire::ClusterMap>(txn, kFamilySystem, ClusterMapKey()));
  const wire::ClusterMap& map = request.map();
  if (stored.has_value() && map.version() <= stored->version()) {
    const bool same = SerializeRecord(*stored) == SerializeRecord(map);
    if (same) return disk::SetClusterMapReply();
    return absl::FailedPreconditionError(StrCat("the cluster map has version ", stored->version(),
                                                "; version ", map.version(), " is not newer"));
  }
  Store(txn, kFamilySystem, ClusterMapKey(), map);
  return disk::SetClusterMapReply();
}

absl::StatusOr<wire::GetMapReply> GetClusterMap(const Transaction& txn) {
  ASSIGN_OR_RETURN(std::optional<wire::ClusterMap> stored,
                   Find<wire::ClusterMap>(txn, kFamilySystem, ClusterMapKey()));
  wire::GetMapReply reply;
  if (stored.has_value()) *reply.mutable_map() = *std::move(stored);
  return reply;
}

}  // namespace cairn
