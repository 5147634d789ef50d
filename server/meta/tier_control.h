// What operators say of tiers: policies, pauses and limits, and what is to be done with a
// checkpoint, a file or all below a directory.
#pragma once

#include "absl/status/statusor.h"
#include "proto/disk/meta.pb.h"
#include "proto/disk/meta_log.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

// For how long what was fetched stays on the targets when nobody says.
inline constexpr uint64_t kFetchHoldSeconds = 86'400;
inline constexpr int kTierLimitsMax = 16;

// NOT_FOUND: there is no such tier. INVALID_ARGUMENT: a limit makes no sense.
absl::StatusOr<wire::ControlTierReply> ControlTier(Transaction& txn,
                                                   const wire::ControlTierRequest& request);

// All below the directory are looked at again. NOT_FOUND: the directory or the tier.
// INVALID_ARGUMENT: it contradicts itself. FAILED_PRECONDITION: it contradicts the directory's
// retention.
absl::StatusOr<wire::SetTierPolicyReply> SetTierPolicy(Transaction& txn,
                                                       const wire::SetTierPolicyRequest& request,
                                                       const CommandFacts& facts);

// FAILED_PRECONDITION: what is pinned is not released; part of a checkpoint is not asked for alone
// (but fetched with all of it); a push without a tier to go to. Of a directory, all below it is
// visited by cleanup, and what cannot be done is passed by.
absl::StatusOr<wire::AskTierReply> AskTier(Transaction& txn, const wire::AskTierRequest& request,
                                           const CommandFacts& facts);

// Goes on with a visit: about `*budget` entries, which it takes off. True: it is done; else `visit`
// says where it goes on.
absl::StatusOr<bool> GoOnVisiting(Transaction& txn, disk::CleanupRecord::Visit* visit,
                                  size_t* budget);

// A retention that would remove what the directory's tier policy keeps for ever.
// FAILED_PRECONDITION says which.
absl::Status CheckRetentionAgrees(const Transaction& txn, InodeId directory,
                                  const disk::RetentionRecord& retention);

}  // namespace cairn
