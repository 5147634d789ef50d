// What is at a path and below it, for people: how much, and where its bytes are.
#pragma once

#include "absl/status/statusor.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/transaction.h"

namespace cairn {

// How much is there is read from the records of usage.h. Where it is, if that is asked for, is
// looked up file by file, a bounded number a page; while nothing is in a cold tier it is known
// without. NOT_FOUND; INVALID_ARGUMENT: `start_after` is no path.
absl::StatusOr<wire::GetUsageReply> GetUsage(const Transaction& txn,
                                             const wire::GetUsageRequest& request);

}  // namespace cairn
