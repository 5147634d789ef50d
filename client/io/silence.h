// Which errors of a call mean that its node did not answer, as opposed to answering with a refusal.
#pragma once

#include "absl/status/status.h"

namespace cairn {

// The node may be back, and what it was asked may be asked again, there or elsewhere.
inline bool IsSilence(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status);
}

}  // namespace cairn
