#include "server/meta/format.h"

#include <optional>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/bucket.h"
#include "server/meta/keys.h"
#include "server/meta/records.h"
#include "server/meta/tree.h"
#include "server/meta/usage.h"

namespace cairn {
namespace {

absl::Status Format(Kv& kv, const std::string& cluster_id, int64_t now_ns) {
  Transaction txn(kv);
  ASSIGN_OR_RETURN(const NewNode root, NewInode(txn, disk::INODE_DIRECTORY, now_ns));
  CAIRN_CHECK(root.id == kRootInode);
  StoreInode(txn, root.id, root.record);
  RETURN_IF_ERROR(AddBucket(txn, "default", {}, now_ns).status());
  RETURN_IF_ERROR(txn.Raise(Counter::kUsageCounted, 1));
  disk::SystemRecord system;
  system.set_format_version(kMetaFormatVersion);
  system.set_cluster_id(cluster_id);
  Store(txn, kFamilySystem, SystemKey(), system);
  return kv.Write(txn.TakeBatch(), KvDurability::kSynced);
}

}  // namespace

absl::StatusOr<std::string> OpenStore(Kv& kv, const std::string& cluster_id, int64_t now_ns) {
  const Transaction txn(kv);
  ASSIGN_OR_RETURN(const auto system, Find<disk::SystemRecord>(txn, kFamilySystem, SystemKey()));
  if (!system.has_value()) {
    ASSIGN_OR_RETURN(const auto root, txn.Get(kFamilyInode, InodeKey(kRootInode)));
    if (root.has_value()) return absl::DataLossError("metadata: the system record is missing");
    if (cluster_id.empty())
      return absl::InvalidArgumentError("metadata: a new store needs a cluster id");
    RETURN_IF_ERROR(Format(kv, cluster_id, now_ns));
    return cluster_id;
  }
  if (system->format_version() != kMetaFormatVersion) {
    return absl::FailedPreconditionError(StrCat("the metadata has format version ",
                                                system->format_version(),
                                                "; this build reads version ", kMetaFormatVersion));
  }
  if (!cluster_id.empty() && system->cluster_id() != cluster_id) {
    return absl::FailedPreconditionError(
        StrCat("the metadata belongs to cluster ", system->cluster_id(), ", not to ", cluster_id));
  }
  RETURN_IF_ERROR(CountUsageIfNeeded(kv));
  return system->cluster_id();
}

}  // namespace cairn
