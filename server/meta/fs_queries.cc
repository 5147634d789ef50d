#include "server/meta/fs_queries.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/bucket.h"
#include "server/meta/checkpoint.h"
#include "server/meta/entry_type.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"
#include "server/meta/reply_size.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tree.h"
#include "server/meta/usage.h"
#include "server/meta/whereabouts.h"

namespace cairn {
namespace {

constexpr std::string_view kLatest = "latest";

wire::Attributes ToAttributes(InodeId inode, const disk::InodeRecord& record) {
  wire::Attributes attributes;
  attributes.set_inode(inode.value());
  attributes.set_type(ToWire(record.type()));
  attributes.set_mode(record.mode());
  attributes.set_uid(record.uid());
  attributes.set_gid(record.gid());
  attributes.set_links(record.links());
  attributes.set_size_bytes(record.size_bytes());
  attributes.set_stored_bytes(record.size_bytes() -
                              std::min(record.size_bytes(), record.hole_bytes()));
  attributes.set_accessed_at_ns(record.accessed_at_ns());
  attributes.set_modified_at_ns(record.modified_at_ns());
  attributes.set_changed_at_ns(record.changed_at_ns());
  attributes.set_device(record.device());
  attributes.set_version(record.version());
  attributes.set_symlink_target(record.symlink_target());
  attributes.set_inline_bytes(record.inline_bytes());
  attributes.set_extents(record.extents());
  return attributes;
}

// In a committed checkpoint, or one.
absl::StatusOr<bool> IsFixed(const Transaction& txn, InodeId inode,
                             const disk::InodeRecord& record) {
  if (record.type() == disk::INODE_CHECKPOINT) return true;
  if (record.links() == 0) return false;
  const bool directory = record.type() == disk::INODE_DIRECTORY;
  const absl::StatusOr<Whereabouts> where =
      directory ? WhereIsDirectory(txn, inode) : WhereIsFile(txn, inode, record);
  if (where.ok()) return where->fixed;
  // About to go, with a directory above it.
  if (CarriedPosixError(where.status()) == ESTALE) return false;
  return where.status();
}

// Where nothing has that name, it leads to the newest checkpoint of the directory.
absl::StatusOr<std::optional<wire::Attributes>> DescribeLatest(const Transaction& txn,
                                                               InodeId directory) {
  ASSIGN_OR_RETURN(const auto newest, FindNewestCheckpoint(txn, directory));
  if (!newest.has_value()) return std::nullopt;
  ASSIGN_OR_RETURN(const auto real, FindEntry(txn, directory, kLatest));
  if (real.has_value()) return std::nullopt;
  wire::Attributes attributes;
  attributes.set_inode(directory.value() | kLatestBit);
  attributes.set_type(wire::ENTRY_SYMLINK);
  attributes.set_mode(0777);
  attributes.set_links(1);
  attributes.set_symlink_target(newest->name());
  attributes.set_size_bytes(newest->name().size());
  attributes.set_modified_at_ns(newest->committed_at_ns());
  attributes.set_changed_at_ns(newest->committed_at_ns());
  attributes.set_accessed_at_ns(newest->committed_at_ns());
  attributes.set_fixed(true);
  return attributes;
}

absl::Status NoSuchName(std::string_view name) {
  return PosixError(ENOENT, StrCat("there is no ", Quoted(name)));
}

// -- directories

// The key behind which a listing goes on.
absl::StatusOr<std::string> ListFrom(InodeId directory, const std::string& cursor) {
  std::string from = DentryPrefix(directory);
  if (cursor.empty()) return from;
  std::string_view name = cursor;
  if (name.back() == '/') name.remove_suffix(1);
  RETURN_IF_ERROR(CheckNodeName(name));
  return from + cursor + '\0';
}

absl::StatusOr<std::optional<wire::DirectoryEntry>> DescribeDentry(const Transaction& txn,
                                                                   const Transaction::Scan& scan,
                                                                   bool with_attributes) {
  disk::DentryRecord dentry;
  RETURN_IF_ERROR(ParseRecord(kFamilyDentry, scan.value(), dentry));
  wire::DirectoryEntry entry;
  const std::string_view cursor = DentryKeyName(scan.key());
  std::string_view name = cursor;
  if (name.back() == '/') name.remove_suffix(1);
  entry.set_name(std::string(name));
  entry.set_cursor(std::string(cursor));
  entry.set_inode(dentry.inode());
  entry.set_type(ToWire(dentry.type()));
  if (!with_attributes) return entry;
  absl::StatusOr<wire::Attributes> attributes = DescribeInode(txn, InodeId(dentry.inode()));
  // Removed since the scan began.
  if (CarriedPosixError(attributes.status()) == ESTALE) return std::nullopt;
  RETURN_IF_ERROR(attributes.status());
  *entry.mutable_attributes() = *std::move(attributes);
  return entry;
}

absl::StatusOr<InodeId> ParentOf(const Transaction& txn, InodeId directory,
                                 const disk::InodeRecord& record) {
  if (directory == kRootInode) return directory;
  if (record.type() == disk::INODE_CHECKPOINT) {
    ASSIGN_OR_RETURN(const disk::CheckpointRecord checkpoint, LoadCheckpoint(txn, directory));
    return InodeId(checkpoint.parent());
  }
  ASSIGN_OR_RETURN(const auto usage,
                   Find<disk::UsageRecord>(txn, kFamilyPolicy, UsageKey(directory)));
  return InodeId(usage.has_value() ? usage->parent() : record.parent());
}

// It comes last, and its cursor is of no other entry: names have no NUL.
absl::Status AddLatest(const Transaction& txn, const wire::ReadDirectoryRequest& request,
                       ReplyBudget* budget, wire::ReadDirectoryReply* reply) {
  ASSIGN_OR_RETURN(const auto latest, DescribeLatest(txn, InodeId(request.inode())));
  if (!latest.has_value()) return absl::OkStatus();
  wire::DirectoryEntry entry;
  entry.set_name(std::string(kLatest));
  entry.set_cursor(std::string(1, '\0'));
  entry.set_inode(latest->inode());
  entry.set_type(latest->type());
  if (request.with_attributes()) *entry.mutable_attributes() = *latest;
  if (!budget->Take(entry)) {
    reply->set_more(true);
    return absl::OkStatus();
  }
  *reply->add_entries() = std::move(entry);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<bool> IsLatestLink(const Transaction& txn, InodeId parent, std::string_view name) {
  if (name != kLatest) return false;
  ASSIGN_OR_RETURN(const auto latest, DescribeLatest(txn, parent));
  return latest.has_value();
}

absl::StatusOr<wire::Attributes> DescribeInode(const Transaction& txn, InodeId inode) {
  if ((inode.value() & kLatestBit) != 0) {
    ASSIGN_OR_RETURN(auto latest, DescribeLatest(txn, InodeId(inode.value() & ~kLatestBit)));
    if (latest.has_value()) return *std::move(latest);
    return PosixError(ESTALE, "no checkpoint is committed there any more");
  }
  ASSIGN_OR_RETURN(const disk::InodeRecord record, FindInode(txn, inode));
  wire::Attributes attributes = ToAttributes(inode, record);
  ASSIGN_OR_RETURN(const bool fixed, IsFixed(txn, inode, record));
  attributes.set_fixed(fixed);
  return attributes;
}

absl::StatusOr<wire::LookupReply> Lookup(const Transaction& txn,
                                         const wire::LookupRequest& request) {
  RETURN_IF_ERROR(CheckNodeName(request.name()));
  const InodeId parent(request.parent());
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, parent, request.name()));
  wire::LookupReply reply;
  if (node.has_value()) {
    ASSIGN_OR_RETURN(*reply.mutable_attributes(), DescribeInode(txn, node->inode));
    return reply;
  }
  RETURN_IF_ERROR(FindDirectoryInode(txn, parent).status());
  if (request.name() != kLatest) return NoSuchName(request.name());
  ASSIGN_OR_RETURN(auto latest, DescribeLatest(txn, parent));
  if (!latest.has_value()) return NoSuchName(request.name());
  *reply.mutable_attributes() = *std::move(latest);
  return reply;
}

absl::StatusOr<wire::LookupReply> LookupPath(const Transaction& txn,
                                             const wire::LookupPathRequest& request) {
  InodeId inode = kRootInode;
  if (!request.path().empty()) {
    ASSIGN_OR_RETURN(const Resolved resolved, Resolve(txn, request.path(), LatestAlias::kFollow));
    inode = resolved.node.inode;
  }
  wire::LookupReply reply;
  ASSIGN_OR_RETURN(*reply.mutable_attributes(), DescribeInode(txn, inode));
  return reply;
}

absl::StatusOr<wire::GetAttributesReply> GetAttributes(const Transaction& txn,
                                                       const wire::GetAttributesRequest& request) {
  wire::GetAttributesReply reply;
  ASSIGN_OR_RETURN(*reply.mutable_attributes(), DescribeInode(txn, InodeId(request.inode())));
  return reply;
}

absl::StatusOr<wire::ReadDirectoryReply> ReadDirectory(const Transaction& txn,
                                                       const wire::ReadDirectoryRequest& request) {
  const InodeId directory(request.inode());
  ASSIGN_OR_RETURN(const disk::InodeRecord record, FindDirectoryInode(txn, directory));
  wire::ReadDirectoryReply reply;
  ASSIGN_OR_RETURN(const InodeId parent, ParentOf(txn, directory, record));
  reply.set_parent(parent.value());
  ReplyBudget budget(request.limit());
  const bool was_last = request.start_after() == std::string(1, '\0');
  if (was_last) return reply;
  ASSIGN_OR_RETURN(const std::string from, ListFrom(directory, request.start_after()));
  Transaction::Scan scan(txn, kFamilyDentry, from, PrefixEnd(DentryPrefix(directory)));
  for (; scan.Valid(); scan.Next()) {
    ASSIGN_OR_RETURN(auto entry, DescribeDentry(txn, scan, request.with_attributes()));
    if (!entry.has_value()) continue;
    if (!budget.Take(*entry)) {
      reply.set_more(true);
      return reply;
    }
    *reply.add_entries() = *std::move(entry);
  }
  RETURN_IF_ERROR(scan.status());
  RETURN_IF_ERROR(AddLatest(txn, request, &budget, &reply));
  return reply;
}

absl::StatusOr<wire::GetXattrsReply> GetXattrs(const Transaction& txn,
                                               const wire::GetXattrsRequest& request) {
  wire::GetXattrsReply reply;
  if ((request.inode() & kLatestBit) != 0) return reply;
  ASSIGN_OR_RETURN(const disk::InodeRecord record, FindInode(txn, InodeId(request.inode())));
  *reply.mutable_xattrs() = record.xattrs();
  return reply;
}

absl::StatusOr<wire::StatFsReply> StatFs(const Transaction& txn,
                                         const wire::StatFsRequest& request) {
  wire::StatFsReply reply;
  ASSIGN_OR_RETURN(const uint64_t files, txn.Read(Counter::kFiles));
  reply.set_files(files);
  const InodeId inode(request.inode() & ~kLatestBit);
  ASSIGN_OR_RETURN(const disk::InodeRecord record, FindInode(txn, inode));
  const bool directory =
      record.type() == disk::INODE_DIRECTORY || record.type() == disk::INODE_CHECKPOINT;
  const absl::StatusOr<Whereabouts> where =
      directory ? WhereIsDirectory(txn, inode) : WhereIsFile(txn, inode, record);
  if (!where.ok() || where->bucket_name.empty()) return reply;
  ASSIGN_OR_RETURN(const BucketState bucket, FindBucketOf(txn, where->bucket_name));
  reply.set_files(bucket.content.files);
  if (bucket.quota_bytes == 0) return reply;
  reply.set_total_bytes(bucket.quota_bytes);
  reply.set_free_bytes(bucket.quota_bytes -
                       std::min(bucket.quota_bytes, bucket.content.size_bytes));
  return reply;
}

absl::StatusOr<wire::OpenNodeReply> OpenNode(const Transaction& txn,
                                             const wire::OpenNodeRequest& request) {
  const wire::NodeRef& ref = request.node();
  if (ref.parent() != 0 && !ref.name().empty()) {
    ASSIGN_OR_RETURN(const auto node, FindEntry(txn, InodeId(ref.parent()), ref.name()));
    if (!node.has_value() || node->inode.value() != ref.inode())
      return PosixError(ESTALE, StrCat(Quoted(ref.name()), " leads elsewhere by now"));
  }
  wire::OpenNodeReply reply;
  ASSIGN_OR_RETURN(*reply.mutable_attributes(), DescribeInode(txn, InodeId(ref.inode())));
  ASSIGN_OR_RETURN(const uint64_t policies, txn.Read(Counter::kTierPolicies));
  if (policies == 0) return reply;
  ASSIGN_OR_RETURN(const disk::InodeRecord record, FindInode(txn, InodeId(ref.inode())));
  if (record.parent() == 0) return reply;
  ASSIGN_OR_RETURN(const auto above, FindPolicyAbove(txn, InodeId(record.parent())));
  if (above.has_value()) reply.set_recall(above->policy.recall());
  return reply;
}

}  // namespace cairn
