// The deterministic state machine: a command and the store before it give the store after it and a
// reply. No clock, no randomness, no network, no iteration in hash order: on every replica the same
// commands give the same bytes.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "proto/disk/meta_log.pb.h"
#include "server/meta/transaction.h"

namespace cairn {

// Applies `command` to `txn` and returns the serialized reply. A retry of an earlier command gets
// its first reply. On error `txn` is as it was. DATA_LOSS and INTERNAL mean that a record is
// damaged; see also store_error().
absl::StatusOr<std::string> Apply(const disk::Command& command, Transaction& txn);

// Its reply need not wait until it is durable (fs.proto).
bool IsBuffered(const disk::Command& command);

// The command gives space back, now or by what it puts off, so it may use what the store keeps in
// reserve: a full store must not be one from which nothing can be removed.
bool FreesSpace(const disk::Command& command);

}  // namespace cairn
