// The commands on names by inode, with POSIX's rules and errors: what file systems do, beside
// namespace.h for paths.
#pragma once

#include "absl/status/statusor.h"
#include "proto/wire/fs.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

absl::StatusOr<wire::MakeNodeReply> MakeNode(Transaction& txn, const wire::MakeNodeRequest& request,
                                             const CommandFacts& facts);
absl::StatusOr<wire::LinkNodeReply> LinkNode(Transaction& txn, const wire::LinkNodeRequest& request,
                                             const CommandFacts& facts);
absl::StatusOr<wire::UnlinkNodeReply> UnlinkNode(Transaction& txn,
                                                 const wire::UnlinkNodeRequest& request,
                                                 const CommandFacts& facts);
absl::StatusOr<wire::RenameNodeReply> RenameNode(Transaction& txn,
                                                 const wire::RenameNodeRequest& request,
                                                 const CommandFacts& facts);

}  // namespace cairn
