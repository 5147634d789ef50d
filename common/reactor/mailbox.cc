#include "common/reactor/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <iterator>
#include <utility>

#include "common/base/check.h"

namespace cairn {

// Blocking mode: the reactor reads only after the fd was reported readable.
Mailbox::Mailbox() : fd_(eventfd(0, EFD_CLOEXEC)) { CAIRN_CHECK(fd_ >= 0); }

Mailbox::~Mailbox() { close(fd_); }

void Mailbox::Push(Message message) {
  // The write stays inside the lock: the owner may destroy the reactor as soon as it has seen this
  // message.
  std::lock_guard<std::mutex> lock(mutex_);
  messages_.push_back(std::move(message));
  has_mail_.store(true, std::memory_order_release);
  if (std::exchange(sleeping_, false)) {
    const uint64_t one = 1;
    ssize_t written = 0;
    do {
      written = write(fd_, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
    CAIRN_CHECK(written == sizeof(one));
  }
}

void Mailbox::TakeAll(std::vector<Message>* messages) {
  if (!has_mail_.load(std::memory_order_acquire)) return;
  std::lock_guard<std::mutex> lock(mutex_);
  messages->insert(messages->end(), std::make_move_iterator(messages_.begin()),
                   std::make_move_iterator(messages_.end()));
  messages_.clear();
  has_mail_.store(false, std::memory_order_relaxed);
}

bool Mailbox::BeginSleep() {
  std::lock_guard<std::mutex> lock(mutex_);
  sleeping_ = messages_.empty();
  return sleeping_;
}

void Mailbox::EndSleep() {
  std::lock_guard<std::mutex> lock(mutex_);
  sleeping_ = false;
}

void Mailbox::Drain() {
  uint64_t count = 0;
  ssize_t got = 0;
  do {
    got = read(fd_, &count, sizeof(count));
  } while (got < 0 && errno == EINTR);
  CAIRN_CHECK(got == sizeof(count));
}

}  // namespace cairn
