// The commands on the tree of names: make a directory or bucket, remove, rename.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

// OK when nothing is in a directory and nothing is being written to it; `path` is for the message.
absl::Status CheckEmpty(const Transaction& txn, InodeId directory, std::string_view path);

// Harmless when it is there.
absl::StatusOr<wire::MakeDirectoryReply> MakeDirectory(Transaction& txn,
                                                       const wire::MakeDirectoryRequest& request,
                                                       const CommandFacts& facts);
// Unlinks the top at once; what is below goes by cleanup. `entries_removed` counts the top alone.
absl::StatusOr<wire::RemoveReply> Remove(Transaction& txn, const wire::RemoveRequest& request,
                                         const CommandFacts& facts);
absl::StatusOr<wire::RenameReply> Rename(Transaction& txn, const wire::RenameRequest& request,
                                         const CommandFacts& facts);

}  // namespace cairn
