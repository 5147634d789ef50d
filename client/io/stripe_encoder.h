// Pure: the checksums and the parity of one stripe, in one pass over the caller's memory, which may
// lie in pieces. Nothing but parity is written. Used by write_path.cc.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "client/io/stripe_cutter.h"
#include "common/base/erasure_code.h"
#include "common/base/units.h"
#include "common/placement/redundancy.h"

namespace cairn {

// The CRC32C of each 64 KiB block of a stripe, and of each of its parity fragments.
struct StripeCrcs {
  std::vector<uint32_t> content;
  std::vector<std::vector<uint32_t>> parity;
};

// Checksums of the stripe that `segments` hold, end to end.
std::vector<uint32_t> ContentCrcs(std::span<const Segment> segments);

// The same, and fills `parity`, one buffer a parity fragment, each of FragmentLength() bytes.
// REQUIRES: `code` is that of `redundancy`, an erasure code.
StripeCrcs EncodeStripe(const ErasureCode& code, const Redundancy& redundancy,
                        std::span<const Segment> segments, std::span<const MutableBytes> parity);

}  // namespace cairn
