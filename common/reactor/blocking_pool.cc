#include "common/reactor/blocking_pool.h"

#include <coroutine>
#include <utility>

#include "common/base/check.h"
#include "common/reactor/start_thread.h"
#include "common/task/executor.h"

namespace cairn {
namespace {

// Callers bound their work by slabs, credits and sessions; more than any sum of those is a runaway
// loop.
constexpr size_t kMaxUnfinished = 1 << 18;

}  // namespace

struct BlockingPool::Job {
  BlockingPool& pool;
  absl::AnyInvocable<void()>& function;
  Executor* executor = nullptr;
  std::coroutine_handle<> caller{};
  Job* next = nullptr;

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    caller = handle;
    executor = &Executor::Current();
    // Under the lock to the end: once a thread has the job, this frame may be gone at any moment.
    std::lock_guard<std::mutex> lock(pool.mutex_);
    CAIRN_CHECK(++pool.unfinished_ <= kMaxUnfinished);
    (pool.first_ == nullptr ? pool.first_ : pool.last_->next) = this;
    pool.last_ = this;
    pool.arrived_.notify_one();
  }
  void await_resume() const {}
};

BlockingPool::BlockingPool(int threads) {
  for (int i = 0; i < threads; ++i) {
    absl::StatusOr<std::thread> started = StartThread([this] { Work(); });
    // Fewer threads are slower and do the same; without any, nothing would ever end.
    CAIRN_CHECK(started.ok() || !threads_.empty());
    if (!started.ok()) break;
    threads_.push_back(*std::move(started));
  }
}

BlockingPool::~BlockingPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    CAIRN_CHECK(unfinished_ == 0);
    stopping_ = true;
  }
  arrived_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Task<void> BlockingPool::Run(absl::AnyInvocable<void()> function) {
  Job job{*this, function};
  co_await job;
}

void BlockingPool::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    arrived_.wait(lock, [this] { return first_ != nullptr || stopping_; });
    if (first_ == nullptr) return;
    Job* job = std::exchange(first_, first_->next);
    lock.unlock();
    job->function();
    lock.lock();
    --unfinished_;
    // Before the caller can run and, with its answer, destroy the pool.
    job->executor->PostRemote([caller = job->caller] { caller.resume(); });
  }
}

}  // namespace cairn
