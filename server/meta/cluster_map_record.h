// The cluster map as the metadata stores it: one record, replaced whole.
#pragma once

#include "absl/status/statusor.h"
#include "proto/disk/meta_log.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/transaction.h"

namespace cairn {

// FAILED_PRECONDITION when the stored map is newer, or another one of the same version.
absl::StatusOr<disk::SetClusterMapReply> SetClusterMap(Transaction& txn,
                                                       const disk::SetClusterMap& request);
// Version 0 and empty in a new store.
absl::StatusOr<wire::GetMapReply> GetClusterMap(const Transaction& txn);

}  // namespace cairn
