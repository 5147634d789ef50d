// StartThread: how every thread of the library comes into being, also inside applications that are
// not ours.
#pragma once

#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace cairn {

// Runs `body` on a new thread. Signals sent to the process stay with the application's threads:
// ours would run its handlers in the middle of a reactor step, and a handler that expects the main
// thread would never be seen there. Faults of the thread itself are not held back.
// RESOURCE_EXHAUSTED when the system has no thread to give.
absl::StatusOr<std::thread> StartThread(absl::AnyInvocable<void()> body);

}  // namespace cairn
