#include "common/base/clock.h"

#include <ctime>

#include "absl/time/clock.h"

namespace cairn {

MonoTime SystemClock::Now() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return MonoTime(int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
}

absl::Time SystemClock::WallNow() const { return absl::Now(); }

}  // namespace cairn
