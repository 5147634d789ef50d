// The mailbox of a reactor: functions that other threads want run on it, and the eventfd that wakes
// it when it sleeps. Owned by Reactor (reactor.cc).
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "absl/functional/any_invocable.h"

namespace cairn {

// Unbounded by itself: senders are other cores and blocking threads, whose work in flight is
// bounded where it is admitted.
class Mailbox {
 public:
  using Message = absl::AnyInvocable<void()>;

  Mailbox();
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // From any thread. Makes fd() readable when the reactor sleeps.
  void Push(Message message);

  // The rest is for the reactor's thread.
  // Appends what has arrived to `messages`, in the order of arrival.
  void TakeAll(std::vector<Message>* messages);
  // False when there is mail. After true every Push() makes fd() readable, until EndSleep().
  bool BeginSleep();
  void EndSleep();
  // Makes fd() unreadable. REQUIRES: it is readable.
  void Drain();
  int fd() const { return fd_; }

 private:
  const int fd_;
  // A hint that saves the lock on every turn of a busy loop.
  std::atomic<bool> has_mail_{false};
  std::mutex mutex_;
  std::vector<Message> messages_;
  bool sleeping_ = false;
};

}  // namespace cairn
