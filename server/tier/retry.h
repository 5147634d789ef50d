// When and how often a request is tried again. Pure but for the randomness.
#pragma once

#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "common/base/random.h"

namespace cairn {

struct RetryPolicy {
  // The first try included.
  int attempts = 6;
  // The longest pause before the second try; it doubles with each further one, up to `pause_max`.
  absl::Duration pause = absl::Milliseconds(200);
  absl::Duration pause_max = absl::Seconds(20);
};

// How long to wait before try `attempt` + 1, where `attempt` counts from 1: a time drawn evenly
// from zero to the longest ("full jitter"), so that those who were refused together do not come
// back together, but not less than the server has asked for.
absl::Duration PauseBefore(const RetryPolicy& policy, int attempt,
                           std::optional<absl::Duration> retry_after, Random& random);

// The value of a Retry-After header: seconds, or a date, which counts from `now`. None where it is
// neither.
std::optional<absl::Duration> ParseRetryAfter(std::string_view value, absl::Time now);

// "Fri, 24 May 2013 00:00:00 GMT". None where it is something else.
std::optional<absl::Time> ParseHttpDate(std::string_view value);

}  // namespace cairn
