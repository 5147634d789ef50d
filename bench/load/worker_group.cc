// Forks, pipes and lines: the start barrier of the load generators. All workers block in a read of
// their pipe, so they start within the microseconds that it takes the parent to write to each.
#include "bench/load/worker_group.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn::load {

absl::StatusOr<std::string> LineChannel::ReadLine() {
  while (true) {
    if (const size_t end = buffered_.find('\n'); end != std::string::npos) {
      std::string line = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      return line;
    }
    std::array<char, 4096> chunk;
    const ssize_t got = read(read_fd_, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      return absl::UnavailableError("the process at the other end of the pipe has gone");
    buffered_.append(chunk.data(), static_cast<size_t>(got));
  }
}

absl::Status LineChannel::WriteLine(const std::string& line) {
  const std::string framed = line + "\n";
  for (size_t sent = 0; sent < framed.size();) {
    const ssize_t put = write(write_fd_, framed.data() + sent, framed.size() - sent);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0)
      return absl::UnavailableError("the process at the other end of the pipe has gone");
    sent += static_cast<size_t>(put);
  }
  return absl::OkStatus();
}

absl::StatusOr<WorkerGroup> WorkerGroup::Start(int count, const Worker& worker) {
  signal(SIGPIPE, SIG_IGN);
  WorkerGroup group;
  for (int index = 0; index < count; ++index) {
    int down[2];
    int up[2];
    if (pipe(down) != 0 || pipe(up) != 0) {
      return absl::ResourceExhaustedError(absl::StrCat("pipe: ", strerror(errno)));
    }
    const pid_t pid = fork();
    if (pid < 0) return absl::ResourceExhaustedError(absl::StrCat("fork: ", strerror(errno)));
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      // A sibling's pipe held open here would hide the sibling's end from the parent.
      for (const int fd : group.fds_) close(fd);
      close(down[1]);
      close(up[0]);
      LineChannel parent(down[0], up[1]);
      _exit(worker(index, parent));
    }
    close(down[0]);
    close(up[1]);
    group.pids_.push_back(pid);
    group.channels_.emplace_back(up[0], down[1]);
    group.fds_.push_back(up[0]);
    group.fds_.push_back(down[1]);
  }
  return group;
}

WorkerGroup::~WorkerGroup() {
  for (const int fd : fds_) close(fd);
  for (const pid_t pid : pids_) waitpid(pid, nullptr, 0);
}

absl::StatusOr<std::vector<std::string>> WorkerGroup::Ask(const std::string& line) {
  for (LineChannel& channel : channels_) RETURN_IF_ERROR(channel.WriteLine(line));
  std::vector<std::string> answers;
  for (LineChannel& channel : channels_) {
    ASSIGN_OR_RETURN(std::string answer, channel.ReadLine());
    answers.push_back(std::move(answer));
  }
  return answers;
}

absl::StatusOr<std::string> WorkerGroup::AskOne(int index, const std::string& line) {
  RETURN_IF_ERROR(channels_[index].WriteLine(line));
  return channels_[index].ReadLine();
}

}  // namespace cairn::load
