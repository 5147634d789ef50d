#include "server/tiering/bandwidth.h"

#include <algorithm>

namespace cairn {
namespace {

constexpr int64_t kMinutesOfDay = 24 * 60;

bool HoldsAt(const wire::TierControl::Limit& limit, uint32_t minute) {
  if (limit.from_minute() == limit.to_minute()) return true;
  if (limit.from_minute() < limit.to_minute())
    return minute >= limit.from_minute() && minute < limit.to_minute();
  return minute >= limit.from_minute() || minute < limit.to_minute();
}

}  // namespace

uint64_t LimitAt(const wire::TierControl& control, uint32_t minute) {
  const auto& limits = control.limits();
  const auto found = std::find_if(limits.begin(), limits.end(),
                                  [minute](const auto& limit) { return HoldsAt(limit, minute); });
  return found == limits.end() ? 0 : found->bytes_per_second();
}

uint32_t MinuteOfDay(absl::Time now) {
  const int64_t minutes = absl::ToUnixSeconds(now) / 60;
  return static_cast<uint32_t>((minutes % kMinutesOfDay + kMinutesOfDay) % kMinutesOfDay);
}

absl::Duration Pace::Wait(const std::string& tier, uint64_t bytes, uint64_t bytes_per_second,
                          MonoTime now) {
  if (bytes_per_second == 0) return absl::ZeroDuration();
  MonoTime& next = next_[tier];
  const MonoTime begin = std::max(next, now);
  next = begin + absl::Seconds(static_cast<double>(bytes) / static_cast<double>(bytes_per_second));
  return begin - now;
}

}  // namespace cairn
