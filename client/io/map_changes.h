// Pure: a newer cluster map of the one that is here and of what has changed. Nothing here trusts
// the service.
#pragma once

#include "absl/status/statusor.h"
#include "google/protobuf/repeated_field.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// `changes` follow `map` and each other. DATA_LOSS when they do not, or name what is not there: ask
// for the whole map then.
absl::StatusOr<wire::ClusterMap> ApplyMapChanges(
    wire::ClusterMap map, const google::protobuf::RepeatedPtrField<wire::MapChange>& changes);

}  // namespace cairn
