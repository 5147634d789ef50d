// How many fragments one index batch of a seal makes durable. Read by chunk_seal.cc, and by
// bench/scale, which models it.
#pragma once

#include <cstddef>

namespace cairn {

// About 2.5 MiB of log with 4 MiB stripes, written in the time of one flush.
inline constexpr size_t kSealBatchFragmentsMax = 8192;

}  // namespace cairn
