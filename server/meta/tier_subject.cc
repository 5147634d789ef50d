#include "server/meta/tier_subject.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/checkpoint.h"
#include "server/meta/cold.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"

namespace cairn {
namespace {

using Record = disk::TierSubjectRecord;

// A tree is never so deep that its path would fit.
constexpr int kDepthMax = static_cast<int>(kMaxPathBytes);

void LeaveQueues(Transaction& txn, InodeId inode, const Record& record) {
  if (record.due_order() != 0) {
    txn.Delete(kFamilyTier, TierDueNowKey(record.due_order()));
  } else if (record.due_ns() != 0) {
    txn.Delete(kFamilyTier, TierDueKey(record.due_ns(), inode));
  }
  if (record.step() != wire::TIER_STEP_NONE) {
    txn.Delete(kFamilyTier, TierStepKey(record.priority(), record.step_since_ns(), inode));
  }
  if (record.spare_policy() != 0) {
    txn.Delete(kFamilyTier, TierSpareKey(record.spare_policy(), record.spare_order_ns(), inode));
  }
}

absl::Status EnterQueues(Transaction& txn, InodeId inode, const Record& record) {
  if (record.due_order() != 0) {
    txn.Put(kFamilyTier, TierDueNowKey(record.due_order()), U64(inode.value()));
  } else if (record.due_ns() != 0) {
    txn.Put(kFamilyTier, TierDueKey(record.due_ns(), inode), "");
    RETURN_IF_ERROR(txn.Lower(Counter::kTierDueFrom, static_cast<uint64_t>(record.due_ns())));
  }
  if (record.step() != wire::TIER_STEP_NONE) {
    txn.Put(kFamilyTier, TierStepKey(record.priority(), record.step_since_ns(), inode), "");
  }
  if (record.spare_policy() != 0) {
    txn.Put(kFamilyTier, TierSpareKey(record.spare_policy(), record.spare_order_ns(), inode), "");
  }
  return absl::OkStatus();
}

// How many committed checkpoints of `parent` are newer than the commit, up to `limit`.
absl::StatusOr<uint32_t> CountNewer(const Transaction& txn, InodeId parent, uint64_t commit,
                                    uint32_t limit) {
  uint32_t newer = 0;
  Transaction::Scan scan(txn, kFamilyCheckpoint, CheckpointIndexKey(parent, commit + 1),
                         PrefixEnd(CheckpointIndexPrefix(parent)));
  for (; scan.Valid() && newer < limit; scan.Next()) ++newer;
  RETURN_IF_ERROR(scan.status());
  return newer;
}

absl::StatusOr<std::optional<disk::InodeRecord>> FindDirectory(const Transaction& txn,
                                                               InodeId directory) {
  return Find<disk::InodeRecord>(txn, kFamilyInode, InodeKey(directory));
}

}  // namespace

absl::StatusOr<std::optional<Record>> FindSubject(const Transaction& txn, InodeId inode) {
  return Find<Record>(txn, kFamilyTier, TierSubjectKey(inode));
}

absl::Status StoreSubject(Transaction& txn, InodeId inode, const std::optional<Record>& before,
                          const Record& after) {
  if (before.has_value()) {
    LeaveQueues(txn, inode, *before);
  } else {
    RETURN_IF_ERROR(txn.Add(Counter::kTierSubjects, 1).status());
  }
  Record stored = after;
  if (after.due_ns() != kTierDueNow) {
    stored.clear_due_order();
  } else if (stored.due_order() == 0) {
    ASSIGN_OR_RETURN(const uint64_t order, txn.Add(Counter::kNextTierDue, 1));
    stored.set_due_order(order);
  }
  Store(txn, kFamilyTier, TierSubjectKey(inode), stored);
  RETURN_IF_ERROR(EnterQueues(txn, inode, stored));
  if (after.due_ns() == kTierDueNow || after.step() != wire::TIER_STEP_NONE)
    txn.effects().tiering_wanted = true;
  return absl::OkStatus();
}

absl::Status DropSubject(Transaction& txn, InodeId inode) {
  ASSIGN_OR_RETURN(const uint64_t subjects, txn.Read(Counter::kTierSubjects));
  if (subjects == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<Record> record, FindSubject(txn, inode));
  if (!record.has_value()) return absl::OkStatus();
  LeaveQueues(txn, inode, *record);
  txn.Delete(kFamilyTier, TierSubjectKey(inode));
  for (const uint64_t manifest : record->manifests()) RETURN_IF_ERROR(DropManifest(txn, manifest));
  return txn.Subtract(Counter::kTierSubjects, 1);
}

absl::StatusOr<Record> MakeSubject(const Transaction& txn, const Node& node, InodeId parent,
                                   std::string_view name) {
  Record record;
  record.set_type(node.type);
  record.set_parent(parent.value());
  record.set_name(std::string(name));
  if (node.type == disk::INODE_CHECKPOINT) {
    ASSIGN_OR_RETURN(const disk::CheckpointRecord checkpoint, LoadCheckpoint(txn, node.inode));
    record.set_size_bytes(checkpoint.size_bytes());
    record.set_written_at_ns(checkpoint.committed_at_ns());
  } else {
    ASSIGN_OR_RETURN(const disk::InodeRecord inode, LoadInode(txn, node.inode));
    record.set_size_bytes(inode.size_bytes());
    record.set_written_at_ns(inode.modified_at_ns());
  }
  return record;
}

absl::Status NoteWritten(Transaction& txn, const Node& node, InodeId parent,
                         std::string_view name) {
  ASSIGN_OR_RETURN(const uint64_t policies, txn.Read(Counter::kTierPolicies));
  if (policies == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(Record record, MakeSubject(txn, node, parent, name));
  record.set_fresh(true);
  record.set_due_ns(kTierDueNow);
  ASSIGN_OR_RETURN(const std::optional<Record> before, FindSubject(txn, node.inode));
  return StoreSubject(txn, node.inode, before, record);
}

absl::Status NoteChangedInPlace(Transaction& txn, const Node& node, InodeId parent,
                                std::string_view name) {
  ASSIGN_OR_RETURN(const uint64_t subjects, txn.Read(Counter::kTierSubjects));
  if (subjects == 0) return NoteWritten(txn, node, parent, name);
  ASSIGN_OR_RETURN(const std::optional<Record> before, FindSubject(txn, node.inode));
  if (!before.has_value()) return NoteWritten(txn, node, parent, name);
  ASSIGN_OR_RETURN(Record record, MakeSubject(txn, node, parent, name));
  // A copy that is being made of what it was is told by this.
  record.set_changes(before->changes() + 1);
  ASSIGN_OR_RETURN(const disk::InodeRecord file, LoadInode(txn, node.inode));
  record.set_content_version(file.version());
  record.set_fresh(true);
  record.set_partly(before->released() || before->partly());
  record.set_due_ns(kTierDueNow);
  RETURN_IF_ERROR(DropSubject(txn, node.inode));
  return StoreSubject(txn, node.inode, std::nullopt, record);
}

absl::Status WakeSubject(Transaction& txn, InodeId inode) {
  ASSIGN_OR_RETURN(const std::optional<Record> before, FindSubject(txn, inode));
  if (!before.has_value()) return absl::OkStatus();
  Record after = *before;
  after.set_due_ns(kTierDueNow);
  return StoreSubject(txn, inode, before, after);
}

void NoteManifestIsOld(Record* record) {
  record->set_changes(record->changes() + 1);
  record->set_manifest_is_old(record->copied());
  record->set_due_ns(kTierDueNow);
}

absl::Status MakeManifestOld(Transaction& txn, InodeId inode) {
  ASSIGN_OR_RETURN(const std::optional<Record> before, FindSubject(txn, inode));
  if (!before.has_value()) return absl::OkStatus();
  Record after = *before;
  NoteManifestIsOld(&after);
  return StoreSubject(txn, inode, before, after);
}

absl::Status MoveSubject(Transaction& txn, InodeId inode, InodeId parent, std::string_view name) {
  ASSIGN_OR_RETURN(const std::optional<Record> before, FindSubject(txn, inode));
  if (!before.has_value()) return absl::OkStatus();
  Record after = *before;
  after.set_parent(parent.value());
  after.set_name(std::string(name));
  NoteManifestIsOld(&after);
  return StoreSubject(txn, inode, before, after);
}

absl::StatusOr<std::optional<PolicyAbove>> FindPolicyAbove(const Transaction& txn,
                                                           InodeId directory) {
  ASSIGN_OR_RETURN(const uint64_t policies, txn.Read(Counter::kTierPolicies));
  if (policies == 0) return std::nullopt;
  InodeId at = directory;
  for (int depth = 0; depth < kDepthMax && at.value() != 0; ++depth) {
    ASSIGN_OR_RETURN(const auto record,
                     Find<disk::TierPolicyRecord>(txn, kFamilyPolicy, TierPolicyKey(at)));
    if (record.has_value()) return PolicyAbove{at, record->policy()};
    ASSIGN_OR_RETURN(const auto inode, FindDirectory(txn, at));
    if (!inode.has_value()) return std::nullopt;
    at = InodeId(inode->parent());
  }
  return std::nullopt;
}

absl::StatusOr<std::string> PathOfDirectory(const Transaction& txn, InodeId directory) {
  std::string path;
  InodeId at = directory;
  for (int depth = 0; depth < kDepthMax && at != kRootInode; ++depth) {
    ASSIGN_OR_RETURN(const auto inode, FindDirectory(txn, at));
    if (!inode.has_value() || inode->parent() == 0)
      return absl::NotFoundError("the directory has gone, or its path is not known");
    path = path.empty() ? inode->name() : JoinPath(inode->name(), path);
    at = InodeId(inode->parent());
  }
  return path;
}

absl::StatusOr<std::string> PathOfSubject(const Transaction& txn, InodeId inode,
                                          const Record& record) {
  const InodeId parent(record.parent());
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, parent, record.name()));
  if (!node.has_value() || node->inode != inode) return absl::NotFoundError("it has gone");
  ASSIGN_OR_RETURN(const std::string directory, PathOfDirectory(txn, parent));
  return JoinPath(directory, record.name());
}

absl::StatusOr<TierFacts> FactsOf(const Transaction& txn, InodeId inode, const Record& record,
                                  uint32_t keep_hot) {
  TierFacts facts;
  facts.is_checkpoint = record.type() == disk::INODE_CHECKPOINT;
  facts.size_bytes = record.size_bytes();
  facts.written_at_ns = record.written_at_ns();
  facts.read_at_ns = record.read_at_ns();
  facts.hot_until_ns = record.hot_until_ns();
  facts.cold_reads = record.cold_reads();
  facts.copied = record.copied();
  facts.released = record.released();
  if (!facts.is_checkpoint) {
    ASSIGN_OR_RETURN(const disk::InodeRecord file, LoadInode(txn, inode));
    facts.in_pieces = file.partial_extents() > 0;
    return facts;
  }
  ASSIGN_OR_RETURN(const disk::CheckpointRecord checkpoint, LoadCheckpoint(txn, inode));
  if (checkpoint.has_step()) facts.step = checkpoint.step();
  facts.pinned = checkpoint.pinned();
  ASSIGN_OR_RETURN(facts.newer, CountNewer(txn, InodeId(checkpoint.parent()),
                                           checkpoint.commit_sequence(), std::max(keep_hot, 1u)));
  return facts;
}

wire::TierPlace PlaceOf(const Record& record) {
  if (record.partly()) return wire::TIER_PARTLY;
  if (record.released()) return wire::TIER_COLD;
  return record.copied() ? wire::TIER_COPIED : wire::TIER_HOT;
}

}  // namespace cairn
