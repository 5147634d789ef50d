// Where an inode lies, found from below: its bucket, its path, and whether it is in a committed
// checkpoint. Costs a read or two a directory above it.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "server/meta/transaction.h"

namespace cairn {

struct Whereabouts {
  InodeId bucket;  // 0: it is the root
  std::string bucket_name;
  bool fixed = false;  // it is a checkpoint, or in one
};
// Of a directory. ESTALE: it has been removed, itself or with one above it.
absl::StatusOr<Whereabouts> WhereIsDirectory(const Transaction& txn, InodeId directory);
// Of a file, which has a name. ESTALE: it lies in what has been removed.
absl::StatusOr<Whereabouts> WhereIsFile(const Transaction& txn, InodeId inode,
                                        const disk::InodeRecord& record);
// `directory` is `above`, or below it.
absl::StatusOr<bool> IsBelow(const Transaction& txn, InodeId directory, InodeId above);
// "bucket/dir"; "" of the root. ESTALE as above.
absl::StatusOr<std::string> FindPath(const Transaction& txn, InodeId directory);

// An inode by its number. ESTALE: there is none.
absl::StatusOr<disk::InodeRecord> FindInode(const Transaction& txn, InodeId inode);
// The same, which has to be a directory: else ENOTDIR.
absl::StatusOr<disk::InodeRecord> FindDirectoryInode(const Transaction& txn, InodeId inode);
// EROFS where content is fixed.
absl::Status CheckNotFixed(const Whereabouts& where);
// As CheckName(), with ENAMETOOLONG, EILSEQ or EINVAL.
absl::Status CheckNodeName(std::string_view name);

}  // namespace cairn
