// A group of forked worker processes that take one command line each at the same moment and answer
// with one line. Both load generators are built on it: the parent is the stop-watch, the workers
// are the ranks. Workers are forked before the process has any thread, so each can start its own
// reactor and fabric endpoint.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cairn::load {

// A worker's ends of its two pipes. Lines end in '\n'.
class LineChannel {
 public:
  LineChannel(int read_fd, int write_fd) : read_fd_(read_fd), write_fd_(write_fd) {}

  int read_fd() const { return read_fd_; }
  // Whether ReadLine() would return without reading from the pipe.
  bool has_line() const { return buffered_.find('\n') != std::string::npos; }
  // Waits for a whole line. UNAVAILABLE when the other side has gone.
  absl::StatusOr<std::string> ReadLine();
  absl::Status WriteLine(const std::string& line);

 private:
  int read_fd_;
  int write_fd_;
  std::string buffered_;
};

// Not thread-safe. REQUIRES: the process has one thread when the group is made.
class WorkerGroup {
 public:
  // The life of worker `index`, in its own process; its result is the process's exit status.
  using Worker = std::function<int(int index, LineChannel& parent)>;

  // Forks `count` workers. They die with the parent.
  static absl::StatusOr<WorkerGroup> Start(int count, const Worker& worker);
  // Ends the workers by closing their pipes and waits for them.
  ~WorkerGroup();
  WorkerGroup(WorkerGroup&& other) noexcept = default;
  WorkerGroup& operator=(WorkerGroup&&) = delete;

  const std::vector<pid_t>& pids() const { return pids_; }
  LineChannel& worker(int index) { return channels_[index]; }

  // Sends `line` to all workers, then waits for one answer from each. The answers, in the order of
  // the workers.
  absl::StatusOr<std::vector<std::string>> Ask(const std::string& line);
  // The same with one worker.
  absl::StatusOr<std::string> AskOne(int index, const std::string& line);

 private:
  WorkerGroup() = default;
  std::vector<pid_t> pids_;
  std::vector<LineChannel> channels_;
  std::vector<int> fds_;
};

}  // namespace cairn::load
