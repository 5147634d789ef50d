#include "server/cluster/link_ring.h"

#include <algorithm>

namespace cairn {

std::vector<size_t> LinksOf(size_t index, size_t nodes) {
  const size_t wanted = std::min(kLinksPerNode, nodes - 1);
  std::vector<size_t> steps;
  for (size_t step = 1; step < nodes && steps.size() < wanted; step *= 2) steps.push_back(step);
  for (size_t step = 1; steps.size() < wanted; ++step) {
    if (std::find(steps.begin(), steps.end(), step) == steps.end()) steps.push_back(step);
  }
  for (size_t& step : steps) step = (index + step) % nodes;
  return steps;
}

}  // namespace cairn
