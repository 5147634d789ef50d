// Tells a log of RocksDB that was cut short by a power cut from one that is damaged. RocksDB itself
// has to choose: its strict modes refuse a store that has lost nothing but a torn, unacknowledged
// last record; its lenient ones drop everything after a flipped bit without a word, acknowledged
// commits included.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "common/base/units.h"

namespace cairn {

// What RocksKv writes into the log behind each synced batch.
inline constexpr char kAcknowledgedMark[] = "acknowledged";

// The offset of the first record in `log` (the content of one log file) that is damaged although a
// mark follows it: all before a mark has been synced. What only batches follow that were not synced
// may have been torn by a power cut in any order. Nullopt when there is none: the log is whole, or
// only its end is torn.
std::optional<uint64_t> FindDamageInLog(ConstBytes log);

// Checks all logs of a closed store. DATA_LOSS names the file and the offset. A damaged end is
// tolerated where nothing was synced after it, in that log or a newer one.
absl::Status CheckLogs(const std::string& directory);

}  // namespace cairn
