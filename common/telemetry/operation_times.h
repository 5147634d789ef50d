// How long operations of one kind take: lately, for whoever examines the machine now, and since the
// start, for whoever keeps a history.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/base/clock.h"
#include "common/telemetry/histogram.h"
#include "common/telemetry/latency_window.h"

namespace cairn {

// Lives on one thread.
class OperationTimes {
 public:
  void Record(MonoTime began, MonoTime ended) {
    lately_.Record(began, ended);
    const int64_t took = ended.nanoseconds() - began.nanoseconds();
    since_start_.Record(static_cast<uint64_t>(std::max<int64_t>(took, 0)));
  }
  const LatencyWindow& lately() const { return lately_; }
  // In nanoseconds.
  const Histogram& since_start() const { return since_start_; }

 private:
  LatencyWindow lately_;
  Histogram since_start_;
};

}  // namespace cairn
