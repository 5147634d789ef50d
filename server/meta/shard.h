// A rank's shards on their way into a checkpoint: staged under the attempt's hidden directory until
// the commit.
#pragma once

#include "absl/status/statusor.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

absl::StatusOr<wire::StageShardReply> StageShard(Transaction& txn,
                                                 const wire::StageShardRequest& request,
                                                 const CommandFacts& facts);
absl::StatusOr<wire::RankDoneReply> RankDone(Transaction& txn, const wire::RankDoneRequest& request,
                                             const CommandFacts& facts);

}  // namespace cairn
