// Committed checkpoints: the commit that makes one visible, its removal, pins, and what people are
// told about it.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

// Costs the same for any number of ranks and shards: links the staging directory, and puts the
// version it replaces aside for cleanup.
absl::StatusOr<wire::CommitCheckpointReply> CommitCheckpoint(
    Transaction& txn, const wire::CommitCheckpointRequest& request, const CommandFacts& facts);
absl::StatusOr<wire::PinCheckpointReply> PinCheckpoint(Transaction& txn,
                                                       const wire::PinCheckpointRequest& request);

absl::StatusOr<disk::CheckpointRecord> LoadCheckpoint(const Transaction& txn, InodeId inode);
// A checkpoint was committed in the directory.
absl::Status QueuePruneIfAsked(Transaction& txn, InodeId directory);
// Stores a committed checkpoint's record and its place in the order of commits.
void StoreCheckpoint(Transaction& txn, InodeId inode, const disk::CheckpointRecord& record);
// Forgets a committed checkpoint and queues its tree. The caller unlinks or replaces its name.
absl::Status DropCheckpoint(Transaction& txn, InodeId inode);
// Also unlinks it, and forgets the attempt that made it.
absl::Status RemoveCheckpoint(Transaction& txn, InodeId inode, int64_t now_ns);
// Forgets the attempt that committed `record`, whose name its checkpoint leaves; one that is open
// stays.
absl::Status ForgetCommittedAttempt(Transaction& txn, const disk::CheckpointRecord& record);

wire::CheckpointInfo DescribeCheckpoint(std::string path, const disk::CheckpointRecord& record);
// Of one being written, with its missing ranks.
absl::StatusOr<wire::CheckpointInfo> DescribeAttempt(const Transaction& txn, std::string path,
                                                     const disk::AttemptRecord& attempt);

}  // namespace cairn
