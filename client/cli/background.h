// Leaving a command in the background once it says that it is ready. The program is started anew
// for that: a fork would lack the threads of what was connected before.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/interrupts.h"

namespace cairn::cli {

// In the environment of a command that runs in the background: what ReportReady() takes. No option,
// since arguments may end with "--" and what follows.
inline constexpr char kReadyVariable[] = "CAIRN_READY_FD";

// Runs this program with `arguments` in a session of its own, and waits until it is ready, or has
// ended. Until then it writes to the streams of this process. Returns the exit code:
// 0 of one that is ready. CANCELLED: interrupted; the program is told to end.
absl::StatusOr<int> StartInBackground(const std::vector<std::string>& arguments,
                                      Interrupts& interrupts);

// In the background: leaves the caller's directory and streams, and tells it. What is written to
// stdout and stderr from here on is appended to `log_file`; "": lost.
void ReportReady(int ready_fd, const std::string& log_file);

}  // namespace cairn::cli
