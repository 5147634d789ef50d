// Exclusive use of a file, a device or a directory by one process: flock(2), and, when it is taken,
// the process that has it. Two processes writing one store destroy it, so every store takes one
// before anything else.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace cairn {

// Locks the open file `fd` for as long as it, or a copy of it in a forked child, is open. `what`
// names it in errors. FAILED_PRECONDITION "already in use by another cairnd (pid ...)" when another
// open file has the lock. A process that was killed keeps its locks until its last I/O has ended,
// which io_uring does after the process is gone: the holder's end is waited for, up to `patience`,
// unless it is alive. Blocks the thread; polls every few milliseconds.
absl::Status LockExclusively(int fd, const std::string& what,
                             absl::Duration patience = absl::Seconds(30));

}  // namespace cairn
