#include "server/tier/retry.h"

#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

// Doubling beyond this would overflow long after `pause_max` has cut it.
constexpr int kDoublingsMax = 30;

}  // namespace

absl::Duration PauseBefore(const RetryPolicy& policy, int attempt,
                           std::optional<absl::Duration> retry_after, Random& random) {
  const int doublings = std::clamp(attempt - 1, 0, kDoublingsMax);
  const absl::Duration longest =
      std::min(policy.pause * (int64_t{1} << doublings), policy.pause_max);
  const int64_t microseconds = std::max<int64_t>(absl::ToInt64Microseconds(longest), 0);
  const absl::Duration drawn = absl::Microseconds(
      static_cast<int64_t>(random.Below(static_cast<uint64_t>(microseconds) + 1)));
  return std::max(drawn, retry_after.value_or(absl::ZeroDuration()));
}

std::optional<absl::Duration> ParseRetryAfter(std::string_view value, absl::Time now) {
  int64_t seconds = 0;
  if (absl::SimpleAtoi(ToAbsl(value), &seconds)) {
    if (seconds < 0) return std::nullopt;
    return absl::Seconds(seconds);
  }
  const std::optional<absl::Time> date = ParseHttpDate(value);
  if (!date.has_value()) return std::nullopt;
  return std::max(*date - now, absl::ZeroDuration());
}

std::optional<absl::Time> ParseHttpDate(std::string_view value) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", ToAbsl(value), &time, &error))
    return std::nullopt;
  return time;
}

}  // namespace cairn
