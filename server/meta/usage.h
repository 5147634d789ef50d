// How much every plain directory has below it: logical bytes, files and checkpoints that can be
// seen. A command that changes what can be seen changes the records of all directories above, so
// that a tree of any size is removed, moved or asked about at the cost of its path. The quota of a
// bucket, which is such a directory, is compared with its record.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "server/kv/kv.h"
#include "server/meta/transaction.h"
#include "server/meta/tree.h"

namespace cairn {

// What an entry counts for in the directories above it.
struct Content {
  uint64_t size_bytes = 0;
  uint64_t files = 0;  // shards of committed checkpoints included
  uint64_t checkpoints = 0;
};

// Of a file or checkpoint, its own; of a directory, all below it. Nothing for a directory inside a
// checkpoint, which counts as a whole. A few reads, whatever is below; of the root, one a bucket.
absl::StatusOr<Content> ContentOf(const Transaction& txn, const Node& node);

// A directory that was just made in `parent` has nothing below it.
absl::Status StartUsage(Transaction& txn, InodeId directory, InodeId parent);
// Entries of `directory` came, went or were replaced.
absl::Status ChangeUsage(Transaction& txn, InodeId directory, const Content& added,
                         const Content& removed);
// The entry has been unlinked from `parent`, and is on its way into the cleanup.
absl::Status LeaveUsage(Transaction& txn, InodeId parent, const Node& node);
// The entry has been moved. REQUIRES: `to` is not below it.
absl::Status MoveUsage(Transaction& txn, const Node& node, InodeId from, InodeId to);
// The directory itself is gone.
void ForgetUsage(Transaction& txn, InodeId directory);

// What a change would do to the bucket of `path`.
struct Growth {
  uint64_t added_bytes = 0;
  uint64_t removed_bytes = 0;
};
// RESOURCE_EXHAUSTED: the bucket would have grown beyond its quota; says what to do. What does not
// grow is never refused, so that a bucket over its quota can be emptied by replacing, too.
absl::Status CheckQuota(const Transaction& txn, std::string_view path, Growth growth);
// Of something of unknown size that is about to be written in place of `replaced_bytes`: refused
// when there is no room for a byte of it.
absl::Status CheckQuotaLeft(const Transaction& txn, std::string_view path, uint64_t replaced_bytes);

// Counts a store that has no counts, or wrong ones, which a build from before them leaves behind.
// Visits every directory and file that is not in a checkpoint. Blocking, and nothing else may
// change the store.
absl::Status CountUsageIfNeeded(Kv& kv);

}  // namespace cairn
