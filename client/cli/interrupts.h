// Ctrl-C: a flag that loops look at, and a thread that ends the process when they do not within a
// grace time, because a call into the SDK may wait for a server until its deadline.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace cairn::cli {

// What the process has been asked by signals. Thread-safe.
class Interrupts {
 public:
  // The first signal that came; 0: none.
  int signal() const { return signal_.load(std::memory_order_acquire); }
  // CANCELLED once a signal came. Loops over pieces or files call it between two of them.
  absl::Status Check() const;
  // Returns when `duration` has passed, or with CANCELLED once a signal has come.
  absl::Status Wait(absl::Duration duration);
  // From here on a signal is waited for to the end, however long that takes: no grace time goes by.
  void EndInOrder() { in_order_.store(true, std::memory_order_release); }
  bool ends_in_order() const { return in_order_.load(std::memory_order_acquire); }
  // As if the signal had arrived. Later ones do not change the first.
  void Raise(int signal);

  // Local files that must not stay when the process ends in the middle of a transfer.
  void AddTemporary(const std::string& path);
  void ForgetTemporary(const std::string& path);
  void RemoveTemporaries();

 private:
  std::atomic<int> signal_ = 0;
  std::atomic<bool> in_order_ = false;
  std::mutex mutex_;
  std::condition_variable raised_;
  std::set<std::string> temporaries_;
};

// Takes SIGINT, SIGTERM and SIGHUP for the whole process while it lives. The first one raises; a
// second one, or the grace time going by (unless it ends in order), removes the temporaries and
// ends the process with 128 + signal. Made before any other thread, so that all inherit the blocked
// mask.
class SignalWatcher {
 public:
  explicit SignalWatcher(Interrupts* interrupts);
  ~SignalWatcher();
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

 private:
  void Run();

  Interrupts* interrupts_;
  int signal_fd_ = -1;
  int stop_fd_ = -1;
  std::thread thread_;
};

}  // namespace cairn::cli
