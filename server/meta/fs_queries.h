// What file systems ask, by inode.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/wire/fs.pb.h"
#include "server/meta/transaction.h"

namespace cairn {

// The `latest` link of a directory of checkpoints has its inode with this bit.
inline constexpr uint64_t kLatestBit = uint64_t{1} << 63;

// Nothing has the name, but it leads to the newest checkpoint of the directory.
absl::StatusOr<bool> IsLatestLink(const Transaction& txn, InodeId parent, std::string_view name);
// ESTALE: there is none.
absl::StatusOr<wire::Attributes> DescribeInode(const Transaction& txn, InodeId inode);

absl::StatusOr<wire::LookupReply> Lookup(const Transaction& txn,
                                         const wire::LookupRequest& request);
absl::StatusOr<wire::LookupReply> LookupPath(const Transaction& txn,
                                             const wire::LookupPathRequest& request);
absl::StatusOr<wire::GetAttributesReply> GetAttributes(const Transaction& txn,
                                                       const wire::GetAttributesRequest& request);
absl::StatusOr<wire::ReadDirectoryReply> ReadDirectory(const Transaction& txn,
                                                       const wire::ReadDirectoryRequest& request);
absl::StatusOr<wire::GetXattrsReply> GetXattrs(const Transaction& txn,
                                               const wire::GetXattrsRequest& request);
// Of the bucket, if it has a quota: totals of the cluster are the caller's to add.
absl::StatusOr<wire::StatFsReply> StatFs(const Transaction& txn,
                                         const wire::StatFsRequest& request);
// What the metadata knows of an open: the name still leads there, and the attributes.
absl::StatusOr<wire::OpenNodeReply> OpenNode(const Transaction& txn,
                                             const wire::OpenNodeRequest& request);

}  // namespace cairn
