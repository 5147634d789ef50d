// What the hardware allows, whatever the software does.
#pragma once

#include "bench/scale/hardware.h"
#include "bench/scale/placement_plan.h"
#include "bench/scale/topology.h"

namespace cairn::scale {

struct Limit {
  double bytes_per_second = 0;  // of content
  ResourceKind kind = ResourceKind::kDisk;
};

// The least that the disks, the NICs and the leaves' links carry, all of a kind together, as if
// load were even. Parity counts in a save, and not in a restore, which does not read it. Processors
// are left out: what they keep from the rest is the software's.
Limit HardwareLimit(const Hardware& hardware, const Shape& shape, Direction direction);

}  // namespace cairn::scale
