// What operators are told of tiers: policies, what they would do, what waits and why.
#pragma once

#include "absl/status/statusor.h"
#include "proto/wire/tier.pb.h"
#include "server/meta/transaction.h"

namespace cairn {

absl::StatusOr<wire::ListTierPoliciesReply> ListTierPolicies(
    const Transaction& txn, const wire::ListTierPoliciesRequest& request);
absl::StatusOr<wire::TestTierPolicyReply> TestTierPolicy(
    const Transaction& txn, const wire::TestTierPolicyRequest& request);
// What is running is the caller's to say.
absl::StatusOr<wire::TierQueueReply> TierQueue(const Transaction& txn,
                                               const wire::TierQueueRequest& request);
// A file in a checkpoint is told of as the checkpoint.
absl::StatusOr<wire::ExplainTierReply> ExplainTier(const Transaction& txn,
                                                   const wire::ExplainTierRequest& request);
absl::StatusOr<wire::TierProgressReply> TierProgress(const Transaction& txn,
                                                     const wire::TierProgressRequest& request);

// The inode by which policies know what is at a path: of the checkpoint it is part of, or its own.
absl::StatusOr<InodeId> SubjectAt(const Transaction& txn, const std::string& path);

}  // namespace cairn
