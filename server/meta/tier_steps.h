// What has become of the steps that were queued: copies made, space let go of, bytes fetched. And
// what has been read meanwhile.
#pragma once

#include "absl/status/statusor.h"
#include "proto/disk/meta_log.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

absl::StatusOr<disk::FinishTierStepReply> FinishTierStep(Transaction& txn,
                                                         const disk::FinishTierStep& request,
                                                         const CommandFacts& facts);
absl::StatusOr<disk::ReleaseRunsReply> ReleaseRuns(Transaction& txn,
                                                   const disk::ReleaseRuns& request);
absl::StatusOr<disk::NoteReadsReply> NoteReads(Transaction& txn, const disk::NoteReads& request);

}  // namespace cairn
