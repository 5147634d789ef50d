// Extent lists in pages: a message holds 64 KiB, a shard's extents may need more.
#pragma once

#include <cstddef>
#include <vector>

#include "proto/wire/meta.pb.h"

namespace cairn::client_internal {

// Serialized bytes of extents and shards in one request; leaves room for the rest of the message.
inline constexpr size_t kPageBytes = 40 * 1024;

// Cuts a shard whose record is over kPageBytes into records of at most that size with the same
// name, size and CRC, their extents in order. One record when it fits.
std::vector<wire::ShardRecord> SplitShard(wire::ShardRecord shard);

}  // namespace cairn::client_internal
