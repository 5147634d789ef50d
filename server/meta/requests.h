// First results of mutations, kept for their retries: a client that lost a reply asks again under
// the same id and gets the same answer, and nothing happens twice. Not of those that see to that
// themselves (state_machine.cc).
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/disk/meta_log.pb.h"
#include "server/meta/transaction.h"

namespace cairn {

// The newest so many results of all clients are kept. A checkpoint of 10,000 ranks makes 30,000
// mutations, so this covers several of them; a retry comes within the minute. Some 50 MiB on disk.
inline constexpr uint64_t kKeptResults = 262'144;

// The serialized reply to an earlier command of the same id, if there was one. INVALID_ARGUMENT
// when that was a command of another kind.
absl::StatusOr<std::optional<std::string>> FindResult(const Transaction& txn,
                                                      const disk::Command& command);
// Keeps a result, and drops the oldest when there are too many.
absl::Status KeepResult(Transaction& txn, const disk::Command& command, const std::string& reply);

}  // namespace cairn
