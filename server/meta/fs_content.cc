#include "server/meta/fs_content.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>

#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/bucket.h"
#include "server/meta/extents.h"
#include "server/meta/families.h"
#include "server/meta/fs_queries.h"
#include "server/meta/keys.h"
#include "server/meta/links.h"
#include "server/meta/paths.h"
#include "server/meta/pending_free.h"
#include "server/meta/records.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tree.h"
#include "server/meta/usage.h"
#include "server/meta/whereabouts.h"

namespace cairn {
namespace {

constexpr uint32_t kModeBits = 07777;
constexpr size_t kXattrNameBytesMax = 255;
// All of an inode's together: they are part of its record, which every look reads.
constexpr size_t kXattrBytesMax = 32 << 10;

// A file, or anything else of which the attributes are about to change, and where it is.
struct Subject {
  InodeId inode;
  disk::InodeRecord record;
  Whereabouts where;  // of an orphan, nothing
};

absl::StatusOr<Subject> FindSubjectOf(const Transaction& txn, const wire::NodeRef& ref) {
  if ((ref.inode() & kLatestBit) != 0)
    return PosixError(EPERM, "`latest` is not a link that anybody has made");
  Subject subject;
  subject.inode = InodeId(ref.inode());
  ASSIGN_OR_RETURN(subject.record, FindInode(txn, subject.inode));
  if (subject.record.links() == 0) return subject;
  const disk::InodeType type = subject.record.type();
  if (type == disk::INODE_DIRECTORY || type == disk::INODE_CHECKPOINT) {
    ASSIGN_OR_RETURN(subject.where, WhereIsDirectory(txn, subject.inode));
  } else {
    RETURN_IF_ERROR(AdoptName(txn, ref, &subject.record));
    ASSIGN_OR_RETURN(subject.where, WhereIsFile(txn, subject.inode, subject.record));
  }
  RETURN_IF_ERROR(CheckNotFixed(subject.where));
  return subject;
}

// Set-user-ID, and set-group-ID where it is not a mark of mandatory locking.
void KillPrivileges(disk::InodeRecord* record) {
  if (record->type() == disk::INODE_DIRECTORY) return;
  uint32_t mode = record->mode() & ~uint32_t{S_ISUID};
  if ((mode & S_IXGRP) != 0) mode &= ~uint32_t{S_ISGID};
  record->set_mode(mode);
}

// -- content

absl::StatusOr<ExtentCounts> CountsOf(const Transaction& txn, const Subject& subject) {
  const disk::InodeRecord& record = subject.record;
  if (!record.changed_in_place()) return CountExtents(txn, subject.inode);
  return ExtentCounts{record.inline_bytes(), record.hole_bytes(), record.extents(),
                      record.partial_extents()};
}

void SetCounts(const ExtentCounts& counts, disk::InodeRecord* record) {
  record->set_changed_in_place(true);
  record->clear_crc32c();
  record->set_inline_bytes(counts.inline_bytes);
  record->set_hole_bytes(counts.hole_bytes);
  record->set_extents(counts.extents);
  record->set_partial_extents(counts.partial);
}

absl::Status CheckGrowth(const Transaction& txn, const Subject& subject, uint64_t size_bytes) {
  const uint64_t before = subject.record.size_bytes();
  if (size_bytes > uint64_t{INT64_MAX}) return PosixError(EFBIG, "a file is too long");
  if (size_bytes <= before || subject.where.bucket_name.empty()) return absl::OkStatus();
  const std::string path = JoinPath(subject.where.bucket_name, subject.record.name());
  const absl::Status fits = CheckQuota(txn, path, {size_bytes, before});
  return absl::IsResourceExhausted(fits) ? WithPosixError(fits, EDQUOT) : fits;
}

// The file has other content and another size now; the record is stored by the caller.
absl::Status NoteContent(Transaction& txn, Subject* subject, uint64_t size_bytes, int64_t now_ns) {
  disk::InodeRecord& record = subject->record;
  const uint64_t before = record.size_bytes();
  ASSIGN_OR_RETURN(const uint64_t version, txn.Add(Counter::kNextVersion, 1));
  record.set_version(version);
  record.set_size_bytes(size_bytes);
  record.set_modified_at_ns(now_ns);
  record.set_changed_at_ns(now_ns);
  if (record.links() == 0 || record.parent() == 0) return absl::OkStatus();
  const InodeId parent(record.parent());
  if (size_bytes != before)
    RETURN_IF_ERROR(ChangeUsage(txn, parent, {size_bytes, 0, 0}, {before, 0, 0}));
  return absl::OkStatus();
}

absl::Status TellTiers(Transaction& txn, const Subject& subject) {
  const disk::InodeRecord& record = subject.record;
  if (record.links() == 0 || record.parent() == 0) return absl::OkStatus();
  return NoteChangedInPlace(txn, {subject.inode, record.type()}, InodeId(record.parent()),
                            record.name());
}

// The lease under which the stripes were written; nullopt: there are none.
absl::StatusOr<std::optional<disk::LeaseRecord>> FindLease(
    const Transaction& txn, const wire::WriteExtentsRequest& request) {
  const bool any = std::any_of(request.extents().begin(), request.extents().end(),
                               [](const wire::ExtentRun& run) { return run.stripe_count() > 0; });
  if (!any) return std::nullopt;
  ASSIGN_OR_RETURN(auto lease,
                   Find<disk::LeaseRecord>(txn, kFamilyLease, LeaseKey(LeaseId(request.lease()))));
  if (!lease.has_value() || !lease->has_writes())
    return absl::AbortedError("the lease under which this was written has ended; write it again");
  return lease;
}

// Each in its turn, with a hole before it where the file does not reach there. Returns the size.
absl::StatusOr<uint64_t> PlaceExtents(Transaction& txn, InodeId inode, uint64_t size_bytes,
                                      const wire::WriteExtentsRequest& request,
                                      const GrantedRanges& granted, ExtentCounts* counts) {
  const uint64_t base = request.append() ? size_bytes : 0;
  uint64_t size = size_bytes;
  for (const wire::ExtentRun& each : request.extents()) {
    const uint64_t begin = base + each.offset_bytes();
    WireExtents one;
    *one.Add() = each;
    const bool is_hole = each.stripe_count() == 0 && each.data().empty();
    if (request.keep_size() && is_hole) {
      if (begin >= size) continue;
      one[0].set_length_bytes(std::min(each.length_bytes(), size - begin));
    }
    if (begin > size) {
      RETURN_IF_ERROR(ResizeExtents(txn, inode, size, begin, counts));
      size = begin;
    }
    RETURN_IF_ERROR(ReplaceExtents(txn, inode, base, one, granted, counts));
    size = std::max(size, begin + one[0].length_bytes());
  }
  return size;
}

uint64_t EndOf(const wire::WriteExtentsRequest& request, uint64_t size_bytes) {
  uint64_t end = size_bytes;
  const uint64_t base = request.append() ? size_bytes : 0;
  for (const wire::ExtentRun& run : request.extents()) {
    const bool is_hole = run.stripe_count() == 0 && run.data().empty();
    if (request.keep_size() && is_hole) continue;
    end = std::max(end, base + run.offset_bytes() + run.length_bytes());
  }
  return end;
}

absl::Status CheckInline(const Subject& subject, const wire::WriteExtentsRequest& request) {
  uint64_t bytes = subject.record.inline_bytes();
  for (const wire::ExtentRun& run : request.extents()) bytes += run.data().size();
  if (bytes <= kInlineFileBytesMax) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      "the file has too many bytes in small pieces; write them as stripes");
}

absl::StatusOr<Subject> FindWritten(const Transaction& txn,
                                    const wire::WriteExtentsRequest& request) {
  ASSIGN_OR_RETURN(Subject subject, FindSubjectOf(txn, request.node()));
  if (subject.record.type() != disk::INODE_FILE)
    return PosixError(EINVAL, "only files have content");
  RETURN_IF_ERROR(CheckReplacement(request.extents()));
  RETURN_IF_ERROR(CheckInline(subject, request));
  const uint64_t rewrites = request.rewrites_version();
  if (rewrites != 0 && rewrites != subject.record.version())
    return absl::AbortedError("the file has another content by now");
  const uint64_t end = EndOf(request, subject.record.size_bytes());
  if (rewrites != 0 && (request.append() || end > subject.record.size_bytes()))
    return absl::InvalidArgumentError("what is rewritten lies behind the end of the file");
  RETURN_IF_ERROR(CheckGrowth(txn, subject, end));
  return subject;
}

// -- attributes

absl::Status Resize(Transaction& txn, Subject* subject, uint64_t size_bytes, int64_t now_ns) {
  if (subject->record.type() == disk::INODE_DIRECTORY)
    return PosixError(EISDIR, "a directory has no size to set");
  if (subject->record.type() != disk::INODE_FILE)
    return PosixError(EINVAL, "only files have a size to set");
  RETURN_IF_ERROR(CheckGrowth(txn, *subject, size_bytes));
  ASSIGN_OR_RETURN(ExtentCounts counts, CountsOf(txn, *subject));
  RETURN_IF_ERROR(
      ResizeExtents(txn, subject->inode, subject->record.size_bytes(), size_bytes, &counts));
  SetCounts(counts, &subject->record);
  return NoteContent(txn, subject, size_bytes, now_ns);
}

void SetOwner(const wire::SetAttributesRequest& request, disk::InodeRecord* record) {
  if (!request.has_uid() && !request.has_gid()) return;
  if (request.has_uid()) record->set_uid(request.uid());
  if (request.has_gid()) record->set_gid(request.gid());
  if (!request.has_mode()) KillPrivileges(record);
}

void SetTimes(const wire::SetAttributesRequest& request, int64_t now_ns,
              disk::InodeRecord* record) {
  if (request.has_accessed_at_ns()) record->set_accessed_at_ns(request.accessed_at_ns());
  if (request.has_modified_at_ns()) record->set_modified_at_ns(request.modified_at_ns());
  if (request.accessed_now()) record->set_accessed_at_ns(now_ns);
  if (request.modified_now()) record->set_modified_at_ns(now_ns);
  record->set_changed_at_ns(now_ns);
}

absl::Status CheckXattr(const disk::InodeRecord& record, const wire::SetXattrRequest& request) {
  if (request.name().empty() || request.name().size() > kXattrNameBytesMax)
    return PosixError(ERANGE, "the name of an extended attribute has 1 to 255 bytes");
  const bool there = record.xattrs().contains(request.name());
  if (request.remove() || request.mode() == wire::XATTR_MUST_EXIST)
    return there ? absl::OkStatus() : PosixError(ENODATA, "there is no such extended attribute");
  if (there && request.mode() == wire::XATTR_MUST_NOT_EXIST)
    return PosixError(EEXIST, "there is such an extended attribute");
  size_t bytes = request.name().size() + request.value().size();
  for (const auto& [name, value] : record.xattrs()) {
    if (name != request.name()) bytes += name.size() + value.size();
  }
  if (bytes <= kXattrBytesMax) return absl::OkStatus();
  return PosixError(request.value().size() > kXattrBytesMax ? E2BIG : ENOSPC,
                    "the extended attributes of a file have 32 KiB at most, all together");
}

}  // namespace

absl::StatusOr<wire::BeginWritesReply> BeginWrites(Transaction& txn,
                                                   const wire::BeginWritesRequest& request) {
  const InodeId inode(request.inode());
  ASSIGN_OR_RETURN(const disk::InodeRecord record, FindInode(txn, inode));
  Whereabouts where;
  if (record.type() == disk::INODE_DIRECTORY) {
    ASSIGN_OR_RETURN(where, WhereIsDirectory(txn, inode));
  } else if (record.links() > 0) {
    ASSIGN_OR_RETURN(where, WhereIsFile(txn, inode, record));
  }
  RETURN_IF_ERROR(CheckNotFixed(where));
  ASSIGN_OR_RETURN(const uint64_t lease, txn.Add(Counter::kNextLease, 1));
  disk::LeaseRecord stored;
  disk::LeaseRecord::Writes& writes = *stored.mutable_writes();
  writes.set_bucket(where.bucket.value());
  wire::BeginWritesReply reply;
  ASSIGN_OR_RETURN(*reply.mutable_stripes(),
                   GrantStripes(txn, request.stripes_wanted(), writes.mutable_granted()));
  Store(txn, kFamilyLease, LeaseKey(LeaseId(lease)), stored);
  txn.effects().granted_leases.push_back(LeaseId(lease));
  reply.set_lease(lease);
  if (!where.bucket_name.empty()) {
    ASSIGN_OR_RETURN(*reply.mutable_redundancy(), RedundancyAt(txn, where.bucket_name));
  }
  return reply;
}

absl::StatusOr<wire::EndWritesReply> EndWrites(Transaction& txn,
                                               const wire::EndWritesRequest& request) {
  const LeaseId lease(request.lease());
  ASSIGN_OR_RETURN(const auto record, Find<disk::LeaseRecord>(txn, kFamilyLease, LeaseKey(lease)));
  if (record.has_value() && record->has_writes())
    RETURN_IF_ERROR(DropWrites(txn, lease, record->writes()));
  return wire::EndWritesReply();
}

absl::Status DropWrites(Transaction& txn, LeaseId lease, const disk::LeaseRecord::Writes& writes) {
  txn.Delete(kFamilyLease, LeaseKey(lease));
  txn.effects().ended_leases.push_back(lease);
  for (const disk::IdRange& range : writes.granted())
    RETURN_IF_ERROR(QueueRange(txn, {range.first(), range.count()}));
  return absl::OkStatus();
}

absl::StatusOr<wire::WriteExtentsReply> WriteExtents(Transaction& txn,
                                                     const wire::WriteExtentsRequest& request,
                                                     const CommandFacts& facts) {
  ASSIGN_OR_RETURN(Subject subject, FindWritten(txn, request));
  ASSIGN_OR_RETURN(const auto lease, FindLease(txn, request));
  const GrantedRanges none;
  const GrantedRanges& granted = lease.has_value() ? lease->writes().granted() : none;
  ASSIGN_OR_RETURN(ExtentCounts counts, CountsOf(txn, subject));
  const uint64_t before = subject.record.size_bytes();
  const uint64_t version_before = subject.record.version();
  ASSIGN_OR_RETURN(const uint64_t size,
                   PlaceExtents(txn, subject.inode, before, request, granted, &counts));
  if (request.rewrites_version() == 0) {
    SetCounts(counts, &subject.record);
    RETURN_IF_ERROR(NoteContent(txn, &subject, size, facts.now_ns()));
    if (request.kill_privileges()) KillPrivileges(&subject.record);
  } else {
    SetCounts(counts, &subject.record);
  }
  StoreInode(txn, subject.inode, subject.record);
  RETURN_IF_ERROR(TellTiers(txn, subject));
  if (lease.has_value()) txn.effects().granted_leases.push_back(LeaseId(request.lease()));
  wire::WriteExtentsReply reply;
  reply.set_append_offset_bytes(before);
  reply.set_previous_version(version_before);
  ASSIGN_OR_RETURN(*reply.mutable_attributes(), DescribeInode(txn, subject.inode));
  return reply;
}

absl::StatusOr<wire::SetAttributesReply> SetAttributes(Transaction& txn,
                                                       const wire::SetAttributesRequest& request,
                                                       const CommandFacts& facts) {
  ASSIGN_OR_RETURN(Subject subject, FindSubjectOf(txn, request.node()));
  if (subject.inode == kRootInode) return PosixError(EPERM, "the top of the tree is as it is");
  wire::SetAttributesReply reply;
  if (request.has_size_bytes()) {
    reply.set_previous_version(subject.record.version());
    RETURN_IF_ERROR(Resize(txn, &subject, request.size_bytes(), facts.now_ns()));
    RETURN_IF_ERROR(TellTiers(txn, subject));
  }
  if (request.kill_privileges()) KillPrivileges(&subject.record);
  SetOwner(request, &subject.record);
  if (request.has_mode()) subject.record.set_mode(request.mode() & kModeBits);
  SetTimes(request, facts.now_ns(), &subject.record);
  StoreInode(txn, subject.inode, subject.record);
  ASSIGN_OR_RETURN(*reply.mutable_attributes(), DescribeInode(txn, subject.inode));
  return reply;
}

absl::StatusOr<wire::SetXattrReply> SetXattr(Transaction& txn, const wire::SetXattrRequest& request,
                                             const CommandFacts& facts) {
  ASSIGN_OR_RETURN(Subject subject, FindSubjectOf(txn, request.node()));
  RETURN_IF_ERROR(CheckXattr(subject.record, request));
  if (request.remove()) {
    subject.record.mutable_xattrs()->erase(request.name());
  } else {
    (*subject.record.mutable_xattrs())[request.name()] = request.value();
  }
  subject.record.set_changed_at_ns(facts.now_ns());
  StoreInode(txn, subject.inode, subject.record);
  return wire::SetXattrReply();
}

}  // namespace cairn
