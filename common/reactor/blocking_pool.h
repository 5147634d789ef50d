// BlockingPool: threads for calls that block (RocksDB, getaddrinfo, fsync where there is no ring).
// The simulated counterpart is SimBlockingRunner.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "common/task/blocking.h"

namespace cairn {

// Run() from any executor; with one thread, work runs in the order given. The destructor asserts
// that nothing waits or runs, and joins the threads.
class BlockingPool final : public BlockingRunner {
 public:
  explicit BlockingPool(int threads);
  ~BlockingPool() override;
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  Task<void> Run(absl::AnyInvocable<void()> function) override;

 private:
  struct Job;
  void Work();

  std::mutex mutex_;
  std::condition_variable arrived_;
  // A queue of jobs that live in the frames of their waiting callers.
  Job* first_ = nullptr;
  Job* last_ = nullptr;
  size_t unfinished_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace cairn
