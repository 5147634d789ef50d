// A tier as the wire and the metadata have it, to a cold store's spec and back. Pure.
#pragma once

#include "absl/status/statusor.h"
#include "proto/wire/tier.pb.h"
#include "server/tier/cold_store_spec.h"

namespace cairn {

// INVALID_ARGUMENT as ParseColdStoreSpec().
absl::StatusOr<ColdStoreSpec> ToColdStoreSpec(const wire::TierSpec& spec);

// `spec` with all that was left out, as the metadata keeps it: what means the same is the same.
absl::StatusOr<wire::TierSpec> CompleteTierSpec(const wire::TierSpec& spec);

}  // namespace cairn
