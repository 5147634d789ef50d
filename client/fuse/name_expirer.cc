// See name_expirer.h.
#include "client/fuse/name_expirer.h"

#include <deque>

namespace cairn {

NameExpirer::NameExpirer(const Clock* clock, absl::Duration again_after,
                         std::function<void(const FileSystem::Change&)> expire)
    : clock_(clock),
      again_after_(again_after),
      expire_(std::move(expire)),
      thread_([this] { Run(); }) {}

NameExpirer::~NameExpirer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void NameExpirer::Add(Changes changes) {
  {
    std::lock_guard lock(mutex_);
    new_.push_back(std::move(changes));
  }
  changed_.notify_one();
}

void NameExpirer::Run() {
  std::deque<std::pair<MonoTime, Changes>> again;
  std::unique_lock lock(mutex_);
  while (!stopping_ || !new_.empty()) {
    const auto is_woken = [this] { return stopping_ || !new_.empty(); };
    if (again.empty()) {
      changed_.wait(lock, is_woken);
    } else {
      const absl::Duration left = again.front().first - clock_->Now();
      changed_.wait_for(lock, absl::ToChronoNanoseconds(left), is_woken);
    }
    const std::vector<Changes> fresh = std::exchange(new_, {});
    lock.unlock();
    for (const Changes& changes : fresh) {
      for (const FileSystem::Change& change : changes) expire_(change);
      Changes rest = changes;
      // The kernel has no such name any more, and it may be another's by then.
      std::erase_if(rest, [](const FileSystem::Change& change) { return change.gone; });
      if (!rest.empty()) again.emplace_back(clock_->Now() + again_after_, std::move(rest));
    }
    while (!again.empty() && again.front().first <= clock_->Now()) {
      for (const FileSystem::Change& change : again.front().second) expire_(change);
      again.pop_front();
    }
    lock.lock();
  }
}

}  // namespace cairn
