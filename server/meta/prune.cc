#include "server/meta/prune.h"

#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/checkpoint.h"
#include "server/meta/cleanup.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"
#include "server/meta/reply_size.h"
#include "server/meta/retention.h"
#include "server/meta/tier_control.h"
#include "server/meta/tree.h"

namespace cairn {
namespace {

// One record of the index is some 60 bytes and a microsecond: a directory with more checkpoints
// than this is pruned among its newest so many.
constexpr size_t kMaxConsidered = 100'000;

disk::RetentionRecord ToDisk(const wire::RetentionPolicy& policy) {
  disk::RetentionRecord record;
  record.set_keep_last(policy.keep_last());
  record.set_keep_every_steps(policy.keep_every_steps());
  record.set_keep_newer_than_seconds(policy.keep_newer_than_seconds());
  return record;
}

wire::RetentionPolicy ToWire(const disk::RetentionRecord& record) {
  wire::RetentionPolicy policy;
  policy.set_keep_last(record.keep_last());
  policy.set_keep_every_steps(record.keep_every_steps());
  policy.set_keep_newer_than_seconds(record.keep_newer_than_seconds());
  return policy;
}

RetentionRules ToRules(const disk::RetentionRecord& record) {
  return {record.keep_last(), record.keep_every_steps(), record.keep_newer_than_seconds()};
}

// Inodes of the checkpoints to remove, oldest first.
absl::StatusOr<std::vector<InodeId>> SelectInDirectory(const Transaction& txn, InodeId directory,
                                                       const disk::RetentionRecord& policy,
                                                       const CommandFacts& facts) {
  std::vector<RetentionCandidate> candidates;
  std::vector<InodeId> inodes;
  const std::string prefix = CheckpointIndexPrefix(directory);
  Transaction::Scan scan(txn, kFamilyCheckpoint, prefix, PrefixEnd(prefix));
  for (; scan.Valid() && inodes.size() < kMaxConsidered; scan.Next()) {
    disk::CheckpointIndexRecord index;
    RETURN_IF_ERROR(ParseRecord(kFamilyCheckpoint, scan.value(), index));
    RetentionCandidate candidate;
    if (index.has_step()) candidate.step = index.step();
    candidate.committed_at_ns = index.committed_at_ns();
    candidate.pinned = index.pinned();
    candidates.push_back(candidate);
    inodes.emplace_back(index.inode());
  }
  RETURN_IF_ERROR(scan.status());
  std::vector<InodeId> selected;
  for (const size_t i : SelectForRemoval(ToRules(policy), candidates, facts.age_now_ns())) {
    selected.push_back(inodes[i]);
  }
  return selected;
}

absl::StatusOr<Resolved> FindPlainDirectory(const Transaction& txn, std::string_view path) {
  ASSIGN_OR_RETURN(Resolved directory, Resolve(txn, path, LatestAlias::kIgnore));
  if (directory.node.type != disk::INODE_DIRECTORY) {
    return absl::FailedPreconditionError(StrCat(Quoted(path), " is ", Describe(directory.node.type),
                                                ", not a directory of checkpoints"));
  }
  return directory;
}

}  // namespace

absl::StatusOr<wire::GetRetentionReply> GetRetention(const Transaction& txn,
                                                     const wire::GetRetentionRequest& request) {
  ASSIGN_OR_RETURN(const Resolved directory, FindPlainDirectory(txn, request.path()));
  ASSIGN_OR_RETURN(const auto record, FindRetention(txn, directory.node.inode));
  wire::GetRetentionReply reply;
  if (record.has_value()) *reply.mutable_policy() = ToWire(*record);
  return reply;
}

absl::StatusOr<wire::SetRetentionReply> SetRetention(Transaction& txn,
                                                     const wire::SetRetentionRequest& request) {
  ASSIGN_OR_RETURN(const Resolved directory, FindPlainDirectory(txn, request.path()));
  const std::string key = RetentionKey(directory.node.inode);
  const disk::RetentionRecord policy = ToDisk(request.policy());
  if (!ToRules(policy).empty())
    RETURN_IF_ERROR(CheckRetentionAgrees(txn, directory.node.inode, policy));
  if (ToRules(policy).empty()) {
    txn.Delete(kFamilyPolicy, key);
  } else {
    Store(txn, kFamilyPolicy, key, policy);
  }
  return wire::SetRetentionReply();
}

absl::StatusOr<wire::PruneCheckpointsReply> PruneCheckpoints(
    Transaction& txn, const wire::PruneCheckpointsRequest& request, const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const Resolved directory, FindPlainDirectory(txn, request.path()));
  ASSIGN_OR_RETURN(const auto set_policy, FindRetention(txn, directory.node.inode));
  const disk::RetentionRecord policy = request.has_policy()
                                           ? ToDisk(request.policy())
                                           : set_policy.value_or(disk::RetentionRecord());
  if (policy.keep_newer_than_seconds() > 0 && !facts.age_now_ns().has_value()) {
    return absl::FailedPreconditionError(
        "the node's clock has jumped, so the ages of checkpoints are not known; set it right, or "
        "restart cairnd once it is right");
  }
  ASSIGN_OR_RETURN(const std::vector<InodeId> selected,
                   SelectInDirectory(txn, directory.node.inode, policy, facts));
  wire::PruneCheckpointsReply reply;
  ReplyBudget budget;
  for (const InodeId inode : selected) {
    ASSIGN_OR_RETURN(const disk::CheckpointRecord record, LoadCheckpoint(txn, inode));
    wire::CheckpointInfo info = DescribeCheckpoint(JoinPath(request.path(), record.name()), record);
    if (!budget.Take(info)) {
      if (!request.dry_run()) RETURN_IF_ERROR(QueuePrune(txn, directory.node.inode, &policy));
      break;
    }
    *reply.add_removed() = std::move(info);
    if (!request.dry_run()) RETURN_IF_ERROR(RemoveCheckpoint(txn, inode, facts.now_ns()));
  }
  return reply;
}

absl::Status PruneDirectory(Transaction& txn, InodeId directory,
                            const disk::RetentionRecord& policy, size_t* budget,
                            const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const std::vector<InodeId> selected,
                   SelectInDirectory(txn, directory, policy, facts));
  for (const InodeId inode : selected) {
    if (*budget == 0) break;
    RETURN_IF_ERROR(RemoveCheckpoint(txn, inode, facts.now_ns()));
    --*budget;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<disk::RetentionRecord>> FindRetention(const Transaction& txn,
                                                                   InodeId directory) {
  return Find<disk::RetentionRecord>(txn, kFamilyPolicy, RetentionKey(directory));
}

}  // namespace cairn
