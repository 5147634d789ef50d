// The commands about retention: set it, and prune by it. What goes is decided in retention.h.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

absl::StatusOr<wire::GetRetentionReply> GetRetention(const Transaction& txn,
                                                     const wire::GetRetentionRequest& request);
absl::StatusOr<wire::SetRetentionReply> SetRetention(Transaction& txn,
                                                     const wire::SetRetentionRequest& request);
// Names and removes what retention does not keep; what does not fit the reply is removed by
// cleanup.
absl::StatusOr<wire::PruneCheckpointsReply> PruneCheckpoints(
    Transaction& txn, const wire::PruneCheckpointsRequest& request, const CommandFacts& facts);

// Removes up to `*budget` checkpoints of a directory that `policy` does not keep, oldest first, and
// takes them off the budget. All are gone when some budget is left.
absl::Status PruneDirectory(Transaction& txn, InodeId directory,
                            const disk::RetentionRecord& policy, size_t* budget,
                            const CommandFacts& facts);
absl::StatusOr<std::optional<disk::RetentionRecord>> FindRetention(const Transaction& txn,
                                                                   InodeId directory);

}  // namespace cairn
