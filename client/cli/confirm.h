// Asks before what cannot be taken back.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/cli/context.h"

namespace cairn::cli {

// Asks `question` on the terminal. OK: the answer was yes. CANCELLED: it was not, or a signal came.
// REQUIRES: the console can ask.
absl::Status Confirm(Context& context, const std::string& question);

}  // namespace cairn::cli
