// What this machine's processor gives the model: Cairn's own checksums and parity, timed.
#pragma once

#include "absl/status/statusor.h"
#include "common/placement/redundancy.h"

namespace cairn::scale {

// Bytes of content a second, one core.
struct ProcessorRates {
  double encode = 0;     // checksums and parity of a stripe (client/io/stripe_encoder)
  double checksums = 0;  // checksums alone
};

// Takes about half a second.
absl::StatusOr<ProcessorRates> MeasureProcessor(const Redundancy& redundancy);

}  // namespace cairn::scale
