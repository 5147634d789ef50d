#include "server/meta/checkpoint.h"

#include <string_view>
#include <vector>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/attempt.h"
#include "server/meta/cleanup.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/pins.h"
#include "server/meta/records.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tree.h"
#include "server/meta/usage.h"

namespace cairn {
namespace {

// The committed version that a name carries; the commit replaces it. Nothing else can carry it:
// Begin refused files and directories, and an open attempt keeps its name from them.
absl::StatusOr<std::optional<InodeId>> FindOlderVersion(const Transaction& txn,
                                                        const Attempt& attempt,
                                                        std::string_view path) {
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, attempt.parent, attempt.name));
  if (!node.has_value()) return std::nullopt;
  if (node->type != disk::INODE_CHECKPOINT) {
    return absl::FailedPreconditionError(StrCat(Quoted(path), " is ", Describe(node->type)));
  }
  return node->inode;
}

// The second commit of an attempt: the same answer, unless its checkpoint has gone since.
absl::StatusOr<wire::CommitCheckpointReply> AnswerCommitted(
    const Transaction& txn, const wire::CommitCheckpointRequest& request, InodeId inode) {
  ASSIGN_OR_RETURN(const auto record,
                   Find<disk::CheckpointRecord>(txn, kFamilyCheckpoint, CheckpointKey(inode)));
  if (!record.has_value() || record->attempt() != request.attempt()) {
    return absl::NotFoundError(StrCat("attempt ", request.attempt(), " of ", Quoted(request.path()),
                                      " was committed and has been replaced or removed since"));
  }
  wire::CommitCheckpointReply reply;
  *reply.mutable_info() = DescribeCheckpoint(request.path(), *record);
  return reply;
}

// A late commit of an attempt that is not the newest any more is harmless when its version is the
// one that stands.
absl::StatusOr<std::optional<InodeId>> FindCommittedBy(
    Transaction& txn, const wire::CommitCheckpointRequest& request) {
  ASSIGN_OR_RETURN(const Place place, ResolvePlace(txn, request.path(), Missing::kRefuse, 0));
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, place.parent, place.name));
  if (!node.has_value() || node->type != disk::INODE_CHECKPOINT) return std::nullopt;
  ASSIGN_OR_RETURN(const auto record, LoadCheckpoint(txn, node->inode));
  if (record.attempt() != request.attempt()) return std::nullopt;
  return node->inode;
}

absl::StatusOr<disk::CheckpointRecord> MakeVisible(Transaction& txn, Attempt attempt,
                                                   std::string_view path,
                                                   const CommandFacts& facts) {
  const InodeId inode(attempt.record.inode());
  ASSIGN_OR_RETURN(disk::CheckpointRecord record, LoadCheckpoint(txn, inode));
  ASSIGN_OR_RETURN(const std::optional<InodeId> older, FindOlderVersion(txn, attempt, path));
  Content replaced;
  if (older.has_value()) {
    ASSIGN_OR_RETURN(replaced, ContentOf(txn, {*older, disk::INODE_CHECKPOINT}));
    // The pin is on the name: who pinned "best" wants no version of it pruned.
    ASSIGN_OR_RETURN(const disk::CheckpointRecord older_record, LoadCheckpoint(txn, *older));
    record.set_pinned(older_record.pinned());
    RETURN_IF_ERROR(DropCheckpoint(txn, *older));
  }
  RETURN_IF_ERROR(CheckQuota(txn, path, {attempt.record.size_bytes(), replaced.size_bytes}));
  ASSIGN_OR_RETURN(const uint64_t sequence, txn.Add(Counter::kNextCommit, 1));
  record.set_committed(true);
  record.set_committed_at_ns(facts.now_ns());
  record.set_commit_sequence(sequence);
  record.set_shard_count(attempt.record.shard_count());
  record.set_size_bytes(attempt.record.size_bytes());
  StoreCheckpoint(txn, inode, record);
  // An older version has been counted in its parent.
  if (older.has_value())
    RETURN_IF_ERROR(Unlink(txn, attempt.parent, attempt.name, {*older, disk::INODE_CHECKPOINT}));
  RETURN_IF_ERROR(Link(txn, attempt.parent, attempt.name, {inode, disk::INODE_CHECKPOINT}));
  RETURN_IF_ERROR(NoteWritten(txn, {inode, disk::INODE_CHECKPOINT}, attempt.parent, attempt.name));
  if (record.pinned()) RETURN_IF_ERROR(NotePin(txn, path));
  const Content added{record.size_bytes(), record.shard_count(), 1};
  RETURN_IF_ERROR(ChangeUsage(txn, attempt.parent, added, replaced));
  RETURN_IF_ERROR(TouchDirectory(txn, attempt.parent, facts.now_ns()));
  RETURN_IF_ERROR(txn.Add(Counter::kCheckpoints, 1).status());
  RETURN_IF_ERROR(txn.Add(Counter::kFiles, record.shard_count()).status());

  RETURN_IF_ERROR(EndAttempt(txn, attempt.record));
  attempt.record.set_state(disk::ATTEMPT_COMMITTED);
  attempt.record.set_ended_at_ns(facts.now_ns());
  StoreAttempt(txn, attempt);
  txn.effects().saves.push_back({SaveEvent::Kind::kCommitted, LeaseId(attempt.record.lease()),
                                 facts.now_ns(), record.size_bytes()});
  return record;
}

}  // namespace

absl::StatusOr<wire::CommitCheckpointReply> CommitCheckpoint(
    Transaction& txn, const wire::CommitCheckpointRequest& request, const CommandFacts& facts) {
  absl::StatusOr<Attempt> attempt = FindAttempt(txn, request.path(), request.attempt());
  if (!attempt.ok()) {
    const absl::StatusOr<std::optional<InodeId>> committed = FindCommittedBy(txn, request);
    if (committed.ok() && committed->has_value()) return AnswerCommitted(txn, request, **committed);
    return attempt.status();
  }
  if (attempt->record.state() == disk::ATTEMPT_COMMITTED) {
    return AnswerCommitted(txn, request, InodeId(attempt->record.inode()));
  }
  wire::CommitCheckpointReply reply;
  if (attempt->record.ranks_done() < attempt->record.world_size()) {
    ASSIGN_OR_RETURN(*reply.mutable_info(), DescribeAttempt(txn, request.path(), attempt->record));
    return reply;
  }
  const InodeId directory = attempt->parent;
  ASSIGN_OR_RETURN(const disk::CheckpointRecord record,
                   MakeVisible(txn, *std::move(attempt), request.path(), facts));
  RETURN_IF_ERROR(QueuePruneIfAsked(txn, directory));
  *reply.mutable_info() = DescribeCheckpoint(request.path(), record);
  return reply;
}

absl::StatusOr<wire::PinCheckpointReply> PinCheckpoint(Transaction& txn,
                                                       const wire::PinCheckpointRequest& request) {
  ASSIGN_OR_RETURN(const Resolved resolved, Resolve(txn, request.path(), LatestAlias::kFollow));
  if (resolved.node.type != disk::INODE_CHECKPOINT) {
    return absl::FailedPreconditionError(
        StrCat(Quoted(request.path()), " is ", Describe(resolved.node.type), ", not a checkpoint"));
  }
  ASSIGN_OR_RETURN(disk::CheckpointRecord record, LoadCheckpoint(txn, resolved.node.inode));
  record.set_pinned(request.pinned());
  StoreCheckpoint(txn, resolved.node.inode, record);
  RETURN_IF_ERROR(WakeSubject(txn, resolved.node.inode));
  RETURN_IF_ERROR(request.pinned() ? NotePin(txn, resolved.path) : ForgetPin(txn, resolved.path));
  return wire::PinCheckpointReply();
}

absl::StatusOr<disk::CheckpointRecord> LoadCheckpoint(const Transaction& txn, InodeId inode) {
  return Load<disk::CheckpointRecord>(txn, kFamilyCheckpoint, CheckpointKey(inode));
}

void StoreCheckpoint(Transaction& txn, InodeId inode, const disk::CheckpointRecord& record) {
  CAIRN_CHECK(record.committed());
  Store(txn, kFamilyCheckpoint, CheckpointKey(inode), record);
  disk::CheckpointIndexRecord index;
  index.set_inode(inode.value());
  index.set_name(record.name());
  if (record.has_step()) index.set_step(record.step());
  index.set_committed_at_ns(record.committed_at_ns());
  index.set_pinned(record.pinned());
  Store(txn, kFamilyCheckpoint,
        CheckpointIndexKey(InodeId(record.parent()), record.commit_sequence()), index);
}

absl::Status DropCheckpoint(Transaction& txn, InodeId inode) {
  ASSIGN_OR_RETURN(const disk::CheckpointRecord record, LoadCheckpoint(txn, inode));
  txn.Delete(kFamilyCheckpoint, CheckpointKey(inode));
  txn.Delete(kFamilyCheckpoint,
             CheckpointIndexKey(InodeId(record.parent()), record.commit_sequence()));
  RETURN_IF_ERROR(txn.Subtract(Counter::kCheckpoints, 1));
  RETURN_IF_ERROR(DropSubject(txn, inode));
  return QueueTree(txn, inode, CountedFiles::kYes);
}

absl::Status RemoveCheckpoint(Transaction& txn, InodeId inode, int64_t now_ns) {
  ASSIGN_OR_RETURN(const disk::CheckpointRecord record, LoadCheckpoint(txn, inode));
  const InodeId parent(record.parent());
  RETURN_IF_ERROR(LeaveUsage(txn, parent, {inode, disk::INODE_CHECKPOINT}));
  RETURN_IF_ERROR(DropCheckpoint(txn, inode));
  RETURN_IF_ERROR(Unlink(txn, parent, record.name(), {inode, disk::INODE_CHECKPOINT}));
  RETURN_IF_ERROR(ForgetCommittedAttempt(txn, record));
  return TouchDirectory(txn, parent, now_ns);
}

absl::Status ForgetCommittedAttempt(Transaction& txn, const disk::CheckpointRecord& record) {
  const std::string key = AttemptKey(InodeId(record.parent()), record.name());
  ASSIGN_OR_RETURN(const auto head, Find<disk::AttemptRecord>(txn, kFamilyAttempt, key));
  if (head.has_value() && head->state() == disk::ATTEMPT_COMMITTED) txn.Delete(kFamilyAttempt, key);
  return NoteForgotten(txn, record.attempt());
}

absl::Status QueuePruneIfAsked(Transaction& txn, InodeId directory) {
  ASSIGN_OR_RETURN(const auto policy, txn.Get(kFamilyPolicy, RetentionKey(directory)));
  if (!policy.has_value()) return absl::OkStatus();
  return QueuePrune(txn, directory, nullptr);
}

wire::CheckpointInfo DescribeCheckpoint(std::string path, const disk::CheckpointRecord& record) {
  wire::CheckpointInfo info;
  info.set_path(std::move(path));
  info.set_state(record.committed() ? wire::COMMITTED : wire::WRITING);
  if (record.has_step()) info.set_step(record.step());
  info.set_attempt(record.attempt());
  info.set_world_size(record.world_size());
  info.set_ranks_done(record.committed() ? record.world_size() : 0);
  info.set_shard_count(record.shard_count());
  info.set_size_bytes(record.size_bytes());
  info.set_begun_at_ns(record.begun_at_ns());
  info.set_committed_at_ns(record.committed_at_ns());
  info.set_pinned(record.pinned());
  info.set_job(record.job());
  *info.mutable_attributes() = record.attributes();
  info.set_commit_sequence(record.commit_sequence());
  return info;
}

absl::StatusOr<wire::CheckpointInfo> DescribeAttempt(const Transaction& txn, std::string path,
                                                     const disk::AttemptRecord& attempt) {
  ASSIGN_OR_RETURN(const disk::CheckpointRecord record,
                   LoadCheckpoint(txn, InodeId(attempt.inode())));
  wire::CheckpointInfo info = DescribeCheckpoint(std::move(path), record);
  info.set_ranks_done(attempt.ranks_done());
  info.set_shard_count(attempt.shard_count());
  info.set_size_bytes(attempt.size_bytes());
  ASSIGN_OR_RETURN(const std::vector<uint32_t> missing,
                   MissingRanks(txn, attempt, kMissingRanksNamed));
  info.mutable_missing_ranks()->Add(missing.begin(), missing.end());
  return info;
}

}  // namespace cairn
