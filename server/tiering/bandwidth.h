// How much is moved into and out of a tier: limits by the time of day, and the pace that keeps
// them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "proto/wire/tier.pb.h"

namespace cairn {

// Bytes a second at `minute` of the day; 0: without a limit. Pure.
uint64_t LimitAt(const wire::TierControl& control, uint32_t minute);
// Of the day, UTC.
uint32_t MinuteOfDay(absl::Time now);

// Says when a move may begin, so that moves one after the other keep a limit.
class Pace {
 public:
  // How long to wait from `now` before `bytes` more are moved at `bytes_per_second`.
  absl::Duration Wait(const std::string& tier, uint64_t bytes, uint64_t bytes_per_second,
                      MonoTime now);

 private:
  std::map<std::string, MonoTime> next_;
};

}  // namespace cairn
