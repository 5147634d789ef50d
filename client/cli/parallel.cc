// See parallel.h.
#include "client/cli/parallel.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace cairn::cli {

void ForEachParallel(size_t jobs, size_t count, const Interrupts& interrupts,
                     const std::function<void(size_t)>& work) {
  std::atomic<size_t> next = 0;
  auto run = [&] {
    while (interrupts.signal() == 0) {
      const size_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= count) return;
      work(i);
    }
  };
  std::vector<std::thread> threads;
  // The calling thread is one of the workers; a machine that refuses more threads has fewer.
  for (size_t i = 1; i < std::min(jobs, count); ++i) {
    try {
      threads.emplace_back(run);
    } catch (const std::system_error&) {
      break;
    }
  }
  run();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace cairn::cli
