// Plain files: written under a lease, visible whole with their commit.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

absl::StatusOr<wire::BeginFileReply> BeginFile(Transaction& txn,
                                               const wire::BeginFileRequest& request,
                                               const CommandFacts& facts);
absl::StatusOr<wire::CommitFileReply> CommitFile(Transaction& txn,
                                                 const wire::CommitFileRequest& request,
                                                 const CommandFacts& facts);
absl::StatusOr<wire::AbortFileReply> AbortFile(Transaction& txn,
                                               const wire::AbortFileRequest& request);

// Ends a lease that has run out: aborts its attempt, drops its file. Unknown ones have ended
// already.
absl::StatusOr<disk::ExpireLeaseReply> ExpireLease(Transaction& txn,
                                                   const disk::ExpireLease& request,
                                                   const CommandFacts& facts);

}  // namespace cairn
