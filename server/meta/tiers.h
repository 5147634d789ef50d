// The cold tiers that a cluster has: names and where they are. What a location means is not known
// here (server/tier/cold_store_spec.h).
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/disk/meta_log.pb.h"
#include "proto/wire/tier.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

inline constexpr int kTiersMax = 64;

// INVALID_ARGUMENT unless it is 1 to 63 of a-z, 0-9 and "-", beginning with a letter.
absl::Status CheckTierName(std::string_view name);

// OK where both may be tiers of one cluster, or are the same. ALREADY_EXISTS: `there` has the name,
// or the location.
absl::Status CheckTiersDiffer(const wire::TierSpec& there, const wire::TierSpec& added);

// The same once more is no error. ALREADY_EXISTS: another tier has the name, or the location.
// RESOURCE_EXHAUSTED: there are kTiersMax. INVALID_ARGUMENT: the name.
absl::StatusOr<disk::AddTierReply> AddTier(Transaction& txn, const disk::AddTier& request,
                                           const CommandFacts& facts);
// NOT_FOUND. FAILED_PRECONDITION: objects lie in it.
absl::StatusOr<disk::RemoveTierReply> RemoveTier(Transaction& txn, const disk::RemoveTier& request);
absl::StatusOr<wire::ListTiersReply> ListTiers(const Transaction& txn);

}  // namespace cairn
