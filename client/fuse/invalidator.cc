// See invalidator.h.
#include "client/fuse/invalidator.h"

#include <utility>

namespace cairn {

Invalidator::Invalidator(std::function<void(NodeNumber)> drop)
    : drop_(std::move(drop)), thread_([this] { Run(); }) {}

Invalidator::~Invalidator() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Invalidator::Add(NodeNumber node, std::function<void()> then) {
  {
    std::lock_guard lock(mutex_);
    nodes_.insert(node);
    if (then != nullptr) then_.push_back(std::move(then));
  }
  changed_.notify_one();
}

void Invalidator::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !nodes_.empty(); });
    if (nodes_.empty()) return;
    const auto nodes = std::exchange(nodes_, {});
    const auto then = std::exchange(then_, {});
    lock.unlock();
    for (const NodeNumber node : nodes) drop_(node);
    for (const auto& call : then) call();
    lock.lock();
  }
}

}  // namespace cairn
