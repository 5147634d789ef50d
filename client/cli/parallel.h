// Many independent blocking calls, a bounded number at a time.
#pragma once

#include <cstddef>
#include <functional>

#include "client/cli/interrupts.h"

namespace cairn::cli {

// Runs work(i) for every i in [0, count) on at most `jobs` threads and returns when all have ended.
// After an interrupt no further one is started. `work` is called from several threads at once,
// never after the return.
void ForEachParallel(size_t jobs, size_t count, const Interrupts& interrupts,
                     const std::function<void(size_t)>& work);

}  // namespace cairn::cli
