// What admin.h answers of how much is stored, and where.
#pragma once

#include <cstdint>
#include <string>

#include "cairn/client.h"

namespace cairn {

// What can be seen at a path and below it, in logical bytes: without copies and parity.
struct UsageInfo {
  std::string path;  // where "latest" leads
  EntryType type = EntryType::kDirectory;
  uint64_t size_bytes = 0;
  uint64_t files = 0;  // shards of committed checkpoints included
  uint64_t checkpoints = 0;
};

// Where the bytes of some of the files below a path are.
struct PlacesStep {
  uint64_t files = 0;
  uint64_t size_bytes = 0;
  uint64_t hot_bytes = 0;   // on targets
  uint64_t cold_bytes = 0;  // in cold tiers; some may be on targets, too
  std::string next;         // from where to go on; empty: all has been looked at
};

}  // namespace cairn
