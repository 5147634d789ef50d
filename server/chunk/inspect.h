// The offline inspector's library: what a device and its index hold, as text for people. Reads
// only; needs no cairnd.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/units.h"
#include "server/kv/kv.h"

namespace cairn {

// One copy of a superblock, or why it is none.
std::string DescribeSuperblock(ConstBytes block);

// Both copies on the device or file at `path`, which may be in use. Blocks. Errors: it cannot be
// read.
absl::StatusOr<std::string> DescribeDevice(const std::string& path);

// The identity, the first `limit` records and the sums over all. A damaged record is shown as such,
// and the walk goes on. Blocks. Errors: the store's.
absl::StatusOr<std::string> DescribeIndex(Kv& index_store, uint64_t limit);

}  // namespace cairn
