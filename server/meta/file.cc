#include "server/meta/file.h"

#include <optional>
#include <string>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/attempt.h"
#include "server/meta/bucket.h"
#include "server/meta/cleanup.h"
#include "server/meta/extents.h"
#include "server/meta/fs_content.h"
#include "server/meta/keys.h"
#include "server/meta/links.h"
#include "server/meta/paths.h"
#include "server/meta/pending_free.h"
#include "server/meta/recall.h"
#include "server/meta/records.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tree.h"
#include "server/meta/usage.h"

namespace cairn {
namespace {

using FileWrite = disk::LeaseRecord::FileWrite;

absl::Status CheckReplaceable(const std::optional<Node>& node, std::string_view path) {
  if (!node.has_value() || node->type == disk::INODE_FILE) return absl::OkStatus();
  return absl::AlreadyExistsError(
      StrCat(Quoted(path), " is ", Describe(node->type), "; a file cannot take its name"));
}

void EndLease(Transaction& txn, LeaseId lease) {
  txn.Delete(kFamilyLease, LeaseKey(lease));
  txn.effects().ended_leases.push_back(lease);
}

absl::Status QueueGranted(Transaction& txn, const FileWrite& write) {
  for (const disk::IdRange& range : write.granted()) {
    RETURN_IF_ERROR(QueueRange(txn, {range.first(), range.count()}));
  }
  return absl::OkStatus();
}

absl::Status DropFileWrite(Transaction& txn, LeaseId lease, const FileWrite& write) {
  EndLease(txn, lease);
  RETURN_IF_ERROR(QueueTree(txn, InodeId(write.inode()), CountedFiles::kNo));
  return QueueGranted(txn, write);
}

// The second commit under a lease is harmless while the file it made stands.
absl::StatusOr<wire::CommitFileReply> AnswerWithoutLease(Transaction& txn,
                                                         const wire::CommitFileRequest& request) {
  const absl::StatusOr<Resolved> resolved = Resolve(txn, request.path(), LatestAlias::kIgnore);
  if (resolved.ok()) {
    ASSIGN_OR_RETURN(const disk::InodeRecord record, LoadInode(txn, resolved->node.inode));
    if (record.write_lease() == request.lease() && request.lease() != 0)
      return wire::CommitFileReply();
  }
  return absl::AbortedError(StrCat("the lease under which ", Quoted(request.path()),
                                   " was written has ended; write it again"));
}

absl::Status ReplaceFile(Transaction& txn, const wire::CommitFileRequest& request,
                         const Place& place, InodeId inode, const CommandFacts& facts) {
  Content replaced;
  ASSIGN_OR_RETURN(const std::optional<Node> older, FindEntry(txn, place.parent, place.name));
  RETURN_IF_ERROR(CheckReplaceable(older, request.path()));
  RETURN_IF_ERROR(CheckNotBeingWritten(txn, place, request.path()));
  if (older.has_value()) {
    if (request.create_only()) {
      return absl::AlreadyExistsError(StrCat(Quoted(request.path()), " exists"));
    }
    ASSIGN_OR_RETURN(replaced, ContentOf(txn, *older));
  }
  RETURN_IF_ERROR(CheckQuota(txn, request.path(), {request.size_bytes(), replaced.size_bytes}));
  if (older.has_value())
    RETURN_IF_ERROR(ReleaseEntry(txn, place.parent, place.name, *older, facts));
  RETURN_IF_ERROR(Link(txn, place.parent, place.name, {inode, disk::INODE_FILE}));
  RETURN_IF_ERROR(ChangeUsage(txn, place.parent, {request.size_bytes(), 1, 0}, {}));
  RETURN_IF_ERROR(txn.Add(Counter::kFiles, 1).status());
  return TouchDirectory(txn, place.parent, facts.now_ns());
}

}  // namespace

absl::StatusOr<wire::BeginFileReply> BeginFile(Transaction& txn,
                                               const wire::BeginFileRequest& request,
                                               const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const Place place,
                   ResolvePlace(txn, request.path(), Missing::kCreate, facts.now_ns()));
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, place.parent, place.name));
  RETURN_IF_ERROR(CheckReplaceable(node, request.path()));
  RETURN_IF_ERROR(CheckNotBeingWritten(txn, place, request.path()));
  Content replaced;
  if (node.has_value()) {
    ASSIGN_OR_RETURN(replaced, ContentOf(txn, *node));
  }
  RETURN_IF_ERROR(CheckQuotaLeft(txn, request.path(), replaced.size_bytes));

  ASSIGN_OR_RETURN(const uint64_t lease, txn.Add(Counter::kNextLease, 1));
  ASSIGN_OR_RETURN(NewNode file, NewInode(txn, disk::INODE_FILE, facts.now_ns()));
  file.record.set_write_lease(lease);
  file.record.set_incomplete(true);
  StoreInode(txn, file.id, file.record);

  disk::LeaseRecord record;
  FileWrite& write = *record.mutable_file();
  write.set_path(request.path());
  write.set_inode(file.id.value());
  wire::BeginFileReply reply;
  ASSIGN_OR_RETURN(*reply.mutable_stripes(),
                   GrantStripes(txn, request.stripes_wanted(), write.mutable_granted()));
  Store(txn, kFamilyLease, LeaseKey(LeaseId(lease)), record);
  txn.effects().granted_leases.push_back(LeaseId(lease));
  reply.set_lease(lease);
  ASSIGN_OR_RETURN(*reply.mutable_redundancy(), RedundancyAt(txn, request.path()));
  return reply;
}

absl::StatusOr<wire::CommitFileReply> CommitFile(Transaction& txn,
                                                 const wire::CommitFileRequest& request,
                                                 const CommandFacts& facts) {
  const LeaseId lease(request.lease());
  ASSIGN_OR_RETURN(auto record, Find<disk::LeaseRecord>(txn, kFamilyLease, LeaseKey(lease)));
  if (!record.has_value()) return AnswerWithoutLease(txn, request);
  if (!record->has_file() || record->file().path() != request.path()) {
    return absl::InvalidArgumentError(
        StrCat("lease ", request.lease(), " is not for writing ", Quoted(request.path())));
  }
  FileWrite& write = *record->mutable_file();
  const InodeId inode(write.inode());
  ASSIGN_OR_RETURN(const uint64_t size, AddExtents(txn, inode, write.staged_bytes(),
                                                   request.extents(), write.granted()));
  if (request.more_extents_follow()) {
    write.set_staged_bytes(size);
    Store(txn, kFamilyLease, LeaseKey(lease), *record);
    txn.effects().granted_leases.push_back(lease);
    return wire::CommitFileReply();
  }
  if (size != request.size_bytes()) {
    return absl::InvalidArgumentError(StrCat(Quoted(request.path()), " is said to have ",
                                             request.size_bytes(), " bytes; its extents have ",
                                             size));
  }
  ASSIGN_OR_RETURN(const Place place,
                   ResolvePlace(txn, request.path(), Missing::kCreate, facts.now_ns()));
  RETURN_IF_ERROR(ReplaceFile(txn, request, place, inode, facts));

  ASSIGN_OR_RETURN(disk::InodeRecord file, LoadInode(txn, inode));
  ASSIGN_OR_RETURN(const uint64_t version, txn.Add(Counter::kNextVersion, 1));
  file.set_version(version);
  file.set_incomplete(false);
  file.set_size_bytes(size);
  file.set_crc32c(request.crc32c());
  file.set_parent(place.parent.value());
  file.set_name(std::string(place.name));
  file.set_modified_at_ns(facts.now_ns());
  file.set_changed_at_ns(facts.now_ns());
  StoreInode(txn, inode, file);
  RETURN_IF_ERROR(NoteWritten(txn, {inode, disk::INODE_FILE}, place.parent, place.name));
  EndLease(txn, lease);
  RETURN_IF_ERROR(QueueGranted(txn, write));
  return wire::CommitFileReply();
}

absl::StatusOr<wire::AbortFileReply> AbortFile(Transaction& txn,
                                               const wire::AbortFileRequest& request) {
  const LeaseId lease(request.lease());
  ASSIGN_OR_RETURN(const auto record, Find<disk::LeaseRecord>(txn, kFamilyLease, LeaseKey(lease)));
  if (!record.has_value()) return wire::AbortFileReply();
  if (!record->has_file()) {
    return absl::InvalidArgumentError(StrCat("lease ", request.lease(), " is not a file's"));
  }
  RETURN_IF_ERROR(DropFileWrite(txn, lease, record->file()));
  return wire::AbortFileReply();
}

absl::StatusOr<disk::ExpireLeaseReply> ExpireLease(Transaction& txn,
                                                   const disk::ExpireLease& request,
                                                   const CommandFacts& facts) {
  const LeaseId lease(request.lease());
  ASSIGN_OR_RETURN(const auto record, Find<disk::LeaseRecord>(txn, kFamilyLease, LeaseKey(lease)));
  if (!record.has_value()) {
    txn.effects().ended_leases.push_back(lease);
    return disk::ExpireLeaseReply();
  }
  if (record->has_file()) {
    RETURN_IF_ERROR(DropFileWrite(txn, lease, record->file()));
    return disk::ExpireLeaseReply();
  }
  if (record->has_writes()) {
    RETURN_IF_ERROR(DropWrites(txn, lease, record->writes()));
    return disk::ExpireLeaseReply();
  }
  if (record->has_recall()) {
    RETURN_IF_ERROR(DropRecall(txn, lease, record->recall()));
    return disk::ExpireLeaseReply();
  }
  const disk::LeaseRecord::Attempt& holder = record->attempt();
  ASSIGN_OR_RETURN(disk::AttemptRecord head,
                   Load<disk::AttemptRecord>(txn, kFamilyAttempt,
                                             AttemptKey(InodeId(holder.parent()), holder.name())));
  if (head.id() != holder.id() || head.state() != disk::ATTEMPT_OPEN) {
    return absl::DataLossError("metadata: a lease belongs to an attempt that has ended");
  }
  Attempt attempt{InodeId(holder.parent()), holder.name(), std::move(head)};
  RETURN_IF_ERROR(AbortAttempt(txn, std::move(attempt),
                               "its lease ran out: no rank renewed it in time", facts));
  return disk::ExpireLeaseReply();
}

}  // namespace cairn
