// A new store, and the first look at an existing one.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "server/kv/kv.h"

namespace cairn {

inline constexpr uint32_t kMetaFormatVersion = 1;

// Makes an empty store the store of `cluster_id`, with a root and one bucket, "default", durably;
// of a store with content, checks that it is ("" takes any). Returns the store's cluster id.
// FAILED_PRECONDITION: another cluster or format, says which; INVALID_ARGUMENT: an empty store and
// no id; DATA_LOSS: content without a system record.
absl::StatusOr<std::string> OpenStore(Kv& kv, const std::string& cluster_id, int64_t now_ns);

}  // namespace cairn
