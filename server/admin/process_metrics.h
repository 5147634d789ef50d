// What the system says of this process and of the filesystem its data is on. Blocks; for the
// endpoint's threads.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "common/telemetry/metrics.h"

namespace cairn {

// What cannot be read is left out.
void TellProcess(absl::Time started_at, MetricSet* set);
// Of the filesystem that the data directory is on.
void TellDataDirectory(const std::string& path, MetricSet* set);
// The sum of the files in a directory; 0 when there is none.
uint64_t DirectoryBytes(const std::string& path);

}  // namespace cairn
