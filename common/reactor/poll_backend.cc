#include "common/reactor/poll_backend.h"

#include <algorithm>
#include <cerrno>

#include "common/base/check.h"

namespace cairn {
namespace {

int32_t Result(short events) { return (events & POLLNVAL) != 0 ? -EBADF : events; }

}  // namespace

void PollBackend::ArmPoll(int fd, short events, RingOperation* operation) {
  descriptors_.push_back(pollfd{fd, events, 0});
  operations_.push_back(operation);
}

void PollBackend::DisarmPoll(RingOperation* operation) {
  const auto found = std::find(operations_.begin(), operations_.end(), operation);
  if (found == operations_.end()) return;  // its event came first
  // A last look: a wait whose deadline has passed already still sees what is there, as with a ring.
  pollfd last = descriptors_[found - operations_.begin()];
  const bool ready = poll(&last, 1, 0) == 1;
  RemoveAt(found - operations_.begin());
  completed_.emplace_back(operation, ready ? Result(last.revents) : -ECANCELED);
}

bool PollBackend::Poll() {
  if (!descriptors_.empty()) {
    const timespec none{};
    Collect(&none);
  }
  return Dispatch();
}

void PollBackend::Wait(absl::Duration timeout) {
  if (!completed_.empty()) timeout = absl::ZeroDuration();
  const timespec limit = absl::ToTimespec(timeout);
  Collect(timeout == absl::InfiniteDuration() ? nullptr : &limit);
  meter_->Start();
  Dispatch();
}

void PollBackend::Collect(const timespec* timeout) {
  int ready = ppoll(descriptors_.data(), descriptors_.size(), timeout, nullptr);
  CAIRN_CHECK(ready >= 0 || errno == EINTR || errno == ENOMEM);
  // Backwards, because RemoveAt() moves the last entry into the gap.
  for (size_t i = descriptors_.size(); ready > 0 && i-- > 0;) {
    const short events = descriptors_[i].revents;
    if (events == 0) continue;
    --ready;
    completed_.emplace_back(operations_[i], Result(events));
    RemoveAt(i);
  }
}

bool PollBackend::Dispatch() {
  dispatching_.swap(completed_);
  const bool any = !dispatching_.empty();
  for (const auto& [operation, result] : dispatching_) {
    operation->OnCompletion(result);
    meter_->StepDone();
  }
  dispatching_.clear();
  return any;
}

void PollBackend::RemoveAt(size_t index) {
  descriptors_[index] = descriptors_.back();
  descriptors_.pop_back();
  operations_[index] = operations_.back();
  operations_.pop_back();
}

}  // namespace cairn
