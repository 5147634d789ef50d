#include "server/meta/whereabouts.h"

#include <cerrno>
#include <optional>

#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/checkpoint.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"
#include "server/meta/tree.h"

namespace cairn {
namespace {

// Paths have 4,096 bytes at most, but a tree may be moved below another.
constexpr int kDepthMax = 4096;

absl::Status Stale() {
  return PosixError(ESTALE, "it has been removed, or the directory that it was in");
}

// One step up.
struct Above {
  InodeId parent;
  bool fixed = false;
};
absl::StatusOr<Above> FindAbove(const Transaction& txn, InodeId directory) {
  ASSIGN_OR_RETURN(const auto inode,
                   Find<disk::InodeRecord>(txn, kFamilyInode, InodeKey(directory)));
  if (!inode.has_value()) return Stale();
  if (inode->type() == disk::INODE_CHECKPOINT) {
    ASSIGN_OR_RETURN(const auto checkpoint, Find<disk::CheckpointRecord>(txn, kFamilyCheckpoint,
                                                                         CheckpointKey(directory)));
    if (!checkpoint.has_value()) return Stale();
    return Above{InodeId(checkpoint->parent()), true};
  }
  if (inode->type() != disk::INODE_DIRECTORY)
    return PosixError(ENOTDIR, "what should be a directory is none");
  ASSIGN_OR_RETURN(const auto usage,
                   Find<disk::UsageRecord>(txn, kFamilyPolicy, UsageKey(directory)));
  // Those in checkpoints that were saved have no counts of their own.
  const uint64_t parent = usage.has_value() ? usage->parent() : inode->parent();
  if (parent == 0) return Stale();
  return Above{InodeId(parent), false};
}

// Directories of earlier releases do not know their own name.
absl::StatusOr<std::string> NameOf(const Transaction& txn, InodeId directory, InodeId parent) {
  ASSIGN_OR_RETURN(const disk::InodeRecord inode, FindInode(txn, directory));
  if (inode.type() == disk::INODE_CHECKPOINT) {
    ASSIGN_OR_RETURN(const disk::CheckpointRecord checkpoint, LoadCheckpoint(txn, directory));
    return checkpoint.name();
  }
  if (!inode.name().empty()) return inode.name();
  const std::string prefix = DentryPrefix(parent);
  Transaction::Scan scan(txn, kFamilyDentry, prefix, PrefixEnd(prefix));
  for (; scan.Valid(); scan.Next()) {
    disk::DentryRecord dentry;
    RETURN_IF_ERROR(ParseRecord(kFamilyDentry, scan.value(), dentry));
    if (dentry.inode() != directory.value()) continue;
    std::string name(DentryKeyName(scan.key()));
    if (name.back() == '/') name.pop_back();
    return name;
  }
  RETURN_IF_ERROR(scan.status());
  return Stale();
}

}  // namespace

absl::StatusOr<Whereabouts> WhereIsDirectory(const Transaction& txn, InodeId directory) {
  Whereabouts where;
  InodeId at = directory;
  for (int depth = 0; at != kRootInode; ++depth) {
    if (depth == kDepthMax) return absl::DataLossError("metadata: directories form a circle");
    ASSIGN_OR_RETURN(const Above above, FindAbove(txn, at));
    where.fixed |= above.fixed;
    if (above.parent == kRootInode) {
      where.bucket = at;
      ASSIGN_OR_RETURN(where.bucket_name, NameOf(txn, at, kRootInode));
    }
    at = above.parent;
  }
  return where;
}

absl::StatusOr<Whereabouts> WhereIsFile(const Transaction& txn, InodeId inode,
                                        const disk::InodeRecord& record) {
  if (record.parent() != 0) return WhereIsDirectory(txn, InodeId(record.parent()));
  Whereabouts where;
  // Shards know their rank, and files of earlier releases nothing.
  where.fixed = record.has_rank();
  return where;
}

absl::StatusOr<bool> IsBelow(const Transaction& txn, InodeId directory, InodeId above) {
  InodeId at = directory;
  for (int depth = 0; at != above; ++depth) {
    if (at == kRootInode) return false;
    if (depth == kDepthMax) return absl::DataLossError("metadata: directories form a circle");
    ASSIGN_OR_RETURN(const Above step, FindAbove(txn, at));
    at = step.parent;
  }
  return true;
}

absl::StatusOr<std::string> FindPath(const Transaction& txn, InodeId directory) {
  std::string path;
  InodeId at = directory;
  for (int depth = 0; at != kRootInode; ++depth) {
    if (depth == kDepthMax) return absl::DataLossError("metadata: directories form a circle");
    ASSIGN_OR_RETURN(const Above above, FindAbove(txn, at));
    ASSIGN_OR_RETURN(const std::string name, NameOf(txn, at, above.parent));
    path = path.empty() ? name : JoinPath(name, path);
    at = above.parent;
  }
  return path;
}

absl::StatusOr<disk::InodeRecord> FindInode(const Transaction& txn, InodeId inode) {
  ASSIGN_OR_RETURN(auto record, Find<disk::InodeRecord>(txn, kFamilyInode, InodeKey(inode)));
  if (!record.has_value() || record->incomplete()) return Stale();
  return *std::move(record);
}

absl::StatusOr<disk::InodeRecord> FindDirectoryInode(const Transaction& txn, InodeId inode) {
  ASSIGN_OR_RETURN(disk::InodeRecord record, FindInode(txn, inode));
  if (record.type() != disk::INODE_DIRECTORY && record.type() != disk::INODE_CHECKPOINT)
    return PosixError(ENOTDIR, "it is not a directory");
  return record;
}

absl::Status CheckNotFixed(const Whereabouts& where) {
  if (!where.fixed) return absl::OkStatus();
  return PosixError(EROFS, "it is part of a committed checkpoint, whose content is fixed");
}

absl::Status CheckNodeName(std::string_view name) {
  const absl::Status checked = CheckName(name);
  if (checked.ok()) return checked;
  if (name.size() > kMaxNameBytes) return WithPosixError(checked, ENAMETOOLONG);
  const bool special = name.empty() || name == "." || name == ".." ||
                       name.find('/') != std::string_view::npos ||
                       name.find('\0') != std::string_view::npos;
  return WithPosixError(checked, special ? EINVAL : EILSEQ);
}

}  // namespace cairn
