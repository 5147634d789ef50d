// See interrupts.h.
#include "client/cli/interrupts.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

namespace cairn::cli {
namespace {

// Long enough for the pieces in flight to end and for an attempt to be aborted, short enough for a
// person.
constexpr int kGraceMs = 5000;

}  // namespace

absl::Status Interrupts::Check() const {
  if (signal() == 0) return absl::OkStatus();
  return absl::CancelledError("stopped by a signal");
}

absl::Status Interrupts::Wait(absl::Duration duration) {
  std::unique_lock lock(mutex_);
  raised_.wait_for(lock, absl::ToChronoNanoseconds(duration), [this] { return signal() != 0; });
  return Check();
}

void Interrupts::Raise(int signal) {
  int none = 0;
  {
    // Between a waiter's look and its wait nothing must come.
    std::lock_guard lock(mutex_);
    signal_.compare_exchange_strong(none, signal, std::memory_order_acq_rel);
  }
  raised_.notify_all();
}

void Interrupts::AddTemporary(const std::string& path) {
  std::lock_guard lock(mutex_);
  temporaries_.insert(path);
}

void Interrupts::ForgetTemporary(const std::string& path) {
  std::lock_guard lock(mutex_);
  temporaries_.erase(path);
}

void Interrupts::RemoveTemporaries() {
  std::lock_guard lock(mutex_);
  for (const std::string& path : temporaries_) unlink(path.c_str());
  temporaries_.clear();
}

SignalWatcher::SignalWatcher(Interrupts* interrupts) : interrupts_(interrupts) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this] { Run(); });
}

SignalWatcher::~SignalWatcher() {
  const uint64_t one = 1;
  while (write(stop_fd_, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  thread_.join();
  close(signal_fd_);
  close(stop_fd_);
}

void SignalWatcher::Run() {
  std::array<pollfd, 2> fds = {pollfd{signal_fd_, POLLIN, 0}, pollfd{stop_fd_, POLLIN, 0}};
  int timeout_ms = -1;
  while (true) {
    const int ready = poll(fds.data(), fds.size(), timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    if ((fds[1].revents & POLLIN) != 0) return;
    signalfd_siginfo info{};
    const bool came = read(signal_fd_, &info, sizeof(info)) == sizeof(info);
    if (came && interrupts_->signal() == 0) {
      interrupts_->Raise(static_cast<int>(info.ssi_signo));
      timeout_ms = interrupts_->ends_in_order() ? -1 : kGraceMs;
      continue;
    }
    if (came || ready == 0) {
      interrupts_->RemoveTemporaries();
      _exit(128 + interrupts_->signal());
    }
  }
}

}  // namespace cairn::cli
