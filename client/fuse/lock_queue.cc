// See lock_queue.h.
#include "client/fuse/lock_queue.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/base/check.h"

namespace cairn {
namespace {

// A round trip or so at first: locks are mostly held for less. In the end two calls a second.
constexpr absl::Duration kFirstPause = absl::Milliseconds(5);
constexpr absl::Duration kLongestPause = absl::Milliseconds(500);
// Nothing is due: somebody will say so.
constexpr absl::Duration kForever = absl::Hours(1);

}  // namespace

absl::Duration LockQueue::PauseAfter(absl::Duration pause) {
  return std::clamp(2 * pause, kFirstPause, kLongestPause);
}

LockQueue::LockQueue(const Clock* clock, int threads) : clock_(clock) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

LockQueue::~LockQueue() { CAIRN_CHECK(threads_.empty()); }

void LockQueue::Add(Request request, const std::function<void()>& before_start) {
  Place place;
  {
    std::lock_guard lock(mutex_);
    place = waiting_.emplace(waiting_.end());
    place->request = std::move(request);
    place->due = clock_->Now();
  }
  if (before_start) before_start();
  {
    std::lock_guard lock(mutex_);
    place->held = false;
  }
  changed_.notify_one();
}

void LockQueue::Interrupt(const void* key) {
  {
    std::lock_guard lock(mutex_);
    for (Waiting& each : waiting_) {
      if (each.request.key == key) each.interrupted = true;
    }
  }
  changed_.notify_all();
}

void LockQueue::Retry() {
  {
    std::lock_guard lock(mutex_);
    if (waiting_.empty()) return;
    for (Waiting& each : waiting_) each.retry = true;
  }
  changed_.notify_all();
}

void LockQueue::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

LockQueue::Place LockQueue::NextLocked(MonoTime* until) {
  const MonoTime now = clock_->Now();
  *until = now + kForever;
  for (auto each = waiting_.begin(); each != waiting_.end(); ++each) {
    if (each->held || each->busy) continue;
    if (each->due <= now || each->retry || stopping_ || (each->interrupted && each->tried))
      return each;
    *until = std::min(*until, each->due);
  }
  return waiting_.end();
}

void LockQueue::WorkOn(Place place, std::unique_lock<std::mutex>& lock) {
  // One that is interrupted before it has begun is tried once: it need not wait.
  const bool ends = stopping_ || (place->interrupted && place->tried);
  place->busy = true;
  place->retry = false;
  lock.unlock();
  absl::StatusOr<bool> got = false;
  if (!ends) got = place->request.attempt();
  lock.lock();
  place->busy = false;
  place->tried = true;
  const bool taken = got.ok() && !*got;
  const MonoTime now = clock_->Now();
  if (taken && !ends && now < place->request.gives_up) {
    place->pause = PauseAfter(place->pause);
    place->due = std::min(now + place->pause, place->request.gives_up);
    // This thread may have other work by then; one that sleeps does not know of this yet.
    changed_.notify_one();
    return;
  }
  const Request request = std::move(place->request);
  waiting_.erase(place);
  lock.unlock();
  const bool waited = request.gives_up == MonoTime::Never();
  const Outcome refused = ends && waited ? Outcome::kInterrupted : Outcome::kTaken;
  request.answer(!got.ok() ? Outcome::kFailed : (taken ? refused : Outcome::kGot), got.status());
  lock.lock();
}

void LockQueue::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    MonoTime until;
    const Place next = NextLocked(&until);
    if (next != waiting_.end()) {
      WorkOn(next, lock);
      continue;
    }
    if (stopping_) return;
    changed_.wait_for(lock, absl::ToChronoNanoseconds(until - clock_->Now()));
  }
}

}  // namespace cairn
