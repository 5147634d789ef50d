// Which names lead to pinned checkpoints: an entry for the name of every pinned checkpoint and of
// every directory above it, so that a removal learns with one seek what it must not take along.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "server/meta/transaction.h"

namespace cairn {

// `path` leads to a pinned checkpoint, or to a directory with one below it, from now on. Costs what
// the path is long. REQUIRES: something has the path.
absl::Status NotePin(Transaction& txn, std::string_view path);
// It does so no longer, and neither do the directories above it that lead to no other.
absl::Status ForgetPin(Transaction& txn, std::string_view path);

absl::StatusOr<bool> LeadsToPin(const Transaction& txn, InodeId parent, std::string_view name);
// The path of a pinned checkpoint below the directory, which has the path `path`; the first in key
// order.
absl::StatusOr<std::optional<std::string>> FindPinBelow(const Transaction& txn, InodeId directory,
                                                        std::string path);

}  // namespace cairn
