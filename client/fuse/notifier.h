// Hands notifications over to the kernel, which may wait there for as long as a request to this
// mount is under way: for pages that a read holds locked, or a directory in which something is
// made. No signal ends such a wait. A thread of the mount that waits so would keep /dev/fuse open
// when the mount is killed, so that nobody would ever answer, and all who use the mount would hang.
// So a process of its own hands them over, which also refuses what nobody answers any more when the
// mount is gone. Next: notifier_process.h.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <mutex>
#include <string_view>

namespace cairn {

class Notifier {
 public:
  // Those of one lane wait for each other in the kernel. Only of pages is it told when they are
  // gone.
  enum Lane { kPages, kNames };
  static constexpr int kLanes = 2;

  // `device`: of the session, open for as long as this lives. If no process can be started, the log
  // says so, and the caller's thread hands over.
  explicit Notifier(int device);
  // REQUIRES: Stop()
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // kPages: returns when the kernel has done what the message says. Any thread.
  void Tell(Lane lane, std::string_view message);
  // Nothing is told from here on, and nobody waits. Any thread.
  void Stop();

 private:
  // Whether the process has told it.
  bool TellByProcess(Lane lane, std::string_view message);

  const int device_;
  pid_t process_ = -1;
  std::array<int, kLanes> sockets_{-1, -1};
  std::array<std::mutex, kLanes> telling_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> has_process_{false};
};

}  // namespace cairn
