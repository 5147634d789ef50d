// Work that commands put off, done in small pieces by RunCleanup commands: freeing removed trees,
// forgetting ended attempts, pruning. So no command costs more than its own size, and a crash loses
// no work.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "proto/disk/meta_log.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

enum class CountedFiles {
  kYes,
  kNo
};  // whether the files of a tree are part of the count of files

// `inode`, a file or directory that no name leads to any more, goes with all below it.
absl::Status QueueTree(Transaction& txn, InodeId inode, CountedFiles counted);
absl::Status QueueEndedAttempt(Transaction& txn, AttemptId attempt);
// `policy` null: the one that is set when it is done.
absl::Status QueuePrune(Transaction& txn, InodeId directory, const disk::RetentionRecord* policy);

// Look at all checkpoints and files below a directory (tier_control.h).
absl::Status QueueVisit(Transaction& txn, const disk::CleanupRecord::Visit& visit);

// Handles about `max_items` records of the oldest tasks. A task that fails (a damaged record) is
// left as it was and named in the reply: the caller has the next ones skip it.
absl::StatusOr<disk::RunCleanupReply> RunCleanup(Transaction& txn, const disk::RunCleanup& request,
                                                 const CommandFacts& facts);

}  // namespace cairn
