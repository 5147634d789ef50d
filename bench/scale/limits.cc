#include "bench/scale/limits.h"

#include <limits>

namespace cairn::scale {

Limit HardwareLimit(const Hardware& hardware, const Shape& shape, Direction direction) {
  const Topology topology(hardware, shape.ranks, direction);
  const double moved =
      direction == Direction::kSave ? shape.redundancy.overhead() : 1;  // for a byte of content
  Limit limit{std::numeric_limits<double>::infinity(), ResourceKind::kDisk};
  for (ResourceKind kind : {ResourceKind::kDisk, ResourceKind::kNodeNic, ResourceKind::kNodeLeaf,
                            ResourceKind::kHostLeaf, ResourceKind::kHostNic}) {
    const double rate = topology.CapacityOf(kind) / moved;
    if (rate > 0 && rate < limit.bytes_per_second) limit = {rate, kind};
  }
  if (hardware.one_machine && hardware.loopback / moved < limit.bytes_per_second)
    limit = {hardware.loopback / moved, ResourceKind::kNodeNic};
  return limit;
}

}  // namespace cairn::scale
