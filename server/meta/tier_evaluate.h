// Looks at checkpoints and files whose time has come, decides what is to be done with each
// (tier_rules.h), and notes it. Only what has changed or comes of age is looked at: the cost grows
// with that, not with what is stored.
#pragma once

#include "absl/status/statusor.h"
#include "proto/disk/meta_log.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

// Deletes what a policy deletes; steps that move bytes are queued. One that fails (a damaged
// record) is set aside with the error in its record, and holds up no other.
absl::StatusOr<disk::RunTieringReply> RunTiering(Transaction& txn, const disk::RunTiering& request,
                                                 const CommandFacts& facts);

}  // namespace cairn
