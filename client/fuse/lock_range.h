// Locks as fcntl(2) and as the SDK have them. Pure.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <optional>

#include "cairn/filesystem.h"

namespace cairn {

// As the kernel hands it on: from the start of the file, and of no length below zero.
FileLockRequest FromFlock(const struct flock& lock, uint64_t owner);
// What F_GETLK is told: who is in the way, or that nobody is.
struct flock ToFlock(const std::optional<FileLockRequest>& lock);

}  // namespace cairn
