// Cold bytes that come back to the targets: a lease for the ids under which they are written, and
// the exchange of a file's extent once they are sealed. They get new stripes, so that nothing which
// still waits to be freed can meet them; the copy in the cold tier stays, and counts.
#pragma once

#include "absl/status/statusor.h"
#include "proto/disk/meta.pb.h"
#include "proto/disk/meta_log.pb.h"
#include "server/meta/transaction.h"

namespace cairn {

// FAILED_PRECONDITION: it is not being fetched any more.
absl::StatusOr<disk::BeginRecallReply> BeginRecall(Transaction& txn,
                                                   const disk::BeginRecall& request);
// ABORTED: the lease has ended. INVALID_ARGUMENT as AddExtents().
absl::StatusOr<disk::RecallExtentReply> RecallExtent(Transaction& txn,
                                                     const disk::RecallExtent& request);
// What of its ids nothing refers to is freed. Unknown ones have ended already.
absl::StatusOr<disk::EndRecallReply> EndRecall(Transaction& txn, const disk::EndRecall& request);
absl::Status DropRecall(Transaction& txn, LeaseId lease, const disk::LeaseRecord::Recall& recall);

}  // namespace cairn
