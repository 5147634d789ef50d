#include "common/telemetry/latency_window.h"

#include <algorithm>
#include <vector>

namespace cairn {

LatencyWindow::Summary LatencyWindow::Summarize(MonoTime now, absl::Duration age) const {
  std::vector<absl::Duration> recent;
  const size_t kept = std::min<uint64_t>(next_, kSamples);
  for (size_t i = 0; i < kept; ++i) {
    if (now - samples_[i].ended <= age) recent.push_back(samples_[i].took);
  }
  if (recent.empty()) return {};
  std::sort(recent.begin(), recent.end());
  // The least value that so many per cent of all do not exceed.
  const auto percentile = [&recent](size_t percent) {
    return recent[(recent.size() * percent + 99) / 100 - 1];
  };
  return {recent.size(), percentile(50), percentile(99), recent.back()};
}

}  // namespace cairn
