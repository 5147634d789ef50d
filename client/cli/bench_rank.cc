// See bench_rank.h.
#include "client/cli/bench_rank.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/transfer.h"
#include "common/base/crc32c.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

extern char** environ;

namespace cairn::cli {
namespace {

// Reads up to a line feed, which is taken off. Nothing at the end of the input.
std::optional<std::string> ReadLine(int fd, std::string* received) {
  while (true) {
    if (const size_t end = received->find('\n'); end != std::string::npos) {
      std::string line = received->substr(0, end);
      received->erase(0, end + 1);
      return line;
    }
    char buffer[4096];
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::nullopt;
    received->append(buffer, static_cast<size_t>(n));
  }
}

class Rank {
 public:
  Rank(Client* client, const BenchRankOptions& options)
      : client_(client), options_(options), memory_(options.size_bytes) {
    // Different in every rank and not compressible, so that no layer below gets it for less.
    SeededRandom random(options.rank + 1);
    const MutableBuffer all = memory_.span();
    for (size_t at = 0; at < all.size(); at += sizeof(uint64_t)) {
      const uint64_t word = random.Next();
      std::memcpy(all.data() + at, &word, std::min(sizeof(word), all.size() - at));
    }
    crc_ = Crc32c(all);
  }

  absl::Status Do(const std::string& command) {
    const size_t space = command.find(' ');
    const std::string verb = command.substr(0, space);
    const std::string path = space == std::string::npos ? "" : command.substr(space + 1);
    if (verb == "save") return Save(path);
    if (verb == "restore") return Restore(path);
    if (verb == "clear") {
      std::fill(memory_.span().begin(), memory_.span().end(), std::byte{0});
      return absl::OkStatus();
    }
    if (verb == "check") {
      if (Crc32c(memory_.span()) == crc_) return absl::OkStatus();
      return absl::DataLossError("what was restored is not what was saved");
    }
    return absl::InvalidArgumentError(absl::StrCat("unknown command ", verb));
  }

 private:
  std::string ShardName() const { return absl::StrCat("rank", options_.rank, ".bin"); }

  absl::Status Save(const std::string& path) {
    BeginOptions begin;
    begin.world_size = options_.ranks;
    begin.rank = options_.rank;
    begin.job = "cairn-bench";
    ASSIGN_OR_RETURN(CheckpointWriter writer, client_->BeginCheckpoint(path, begin));
    ASSIGN_OR_RETURN(ShardWriter shard, writer.NewShard(ShardName()));
    RETURN_IF_ERROR(shard.Write(ConstBuffer(memory_.span())));
    RETURN_IF_ERROR(shard.Close());
    RETURN_IF_ERROR(writer.RankDone());
    if (options_.rank != 0) return absl::OkStatus();
    return writer.Commit().status();
  }

  absl::Status Restore(const std::string& path) {
    ASSIGN_OR_RETURN(File file, client_->OpenFile(absl::StrCat(path, "/", ShardName())));
    if (file.size_bytes() != memory_.size) {
      return absl::DataLossError("the shard has another size than what was saved");
    }
    return file.Read(0, memory_.span());
  }

  Client* client_;
  BenchRankOptions options_;
  TransferBuffer memory_;
  uint32_t crc_ = 0;
};

std::string AnswerLine(const absl::Status& status) {
  if (status.ok()) return "ok\n";
  std::string message(status.message());
  std::replace(message.begin(), message.end(), '\n', ' ');
  return absl::StrCat("error ", static_cast<int>(status.code()), " ", message, "\n");
}

struct Pipe {
  int read_end = -1;
  int write_end = -1;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno);
  return Pipe{ends[0], ends[1]};
}

absl::StatusOr<int> Spawn(std::vector<std::string> arguments, int in, int out) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return ErrnoStatus(error);
  return pid;
}

}  // namespace

int RunBenchRank(Context& context, const BenchRankOptions& options) {
  auto client = Client::Connect(context.MakeClientOptions());
  if (!client.ok()) {
    // For the coordinator, which tells it.
    context.Print(AnswerLine(client.status()));
    return ExitCodeOf(client.status());
  }
  Rank rank(client->get(), options);
  context.Print("ready\n");
  std::string received;
  while (auto command = ReadLine(STDIN_FILENO, &received)) {
    if (context.interrupts().signal() != 0) break;
    context.Print(AnswerLine(rank.Do(*command)));
  }
  return kExitOk;
}

absl::StatusOr<BenchRanks> BenchRanks::Start(const GlobalOptions& globals, uint32_t count,
                                             uint64_t size_bytes) {
  BenchRanks ranks;
  for (uint32_t rank = 0; rank < count; ++rank) {
    ASSIGN_OR_RETURN(const Pipe to, MakePipe());
    Process process;
    process.to = to.write_end;
    auto from = MakePipe();
    if (from.ok()) {
      process.from = from->read_end;
      std::vector<std::string> arguments = {
          "cairn", "--timeout", absl::StrCat(absl::ToInt64Milliseconds(globals.timeout), "ms")};
      if (!globals.endpoint.empty()) {
        arguments.insert(arguments.end(), {"--endpoint", globals.endpoint});
      }
      arguments.insert(arguments.end(), {"bench", "rank", "--rank", absl::StrCat(rank), "--ranks",
                                         absl::StrCat(count), "--size", absl::StrCat(size_bytes)});
      auto pid = Spawn(std::move(arguments), to.read_end, from->write_end);
      close(from->write_end);
      process.pid = pid.value_or(-1);
    }
    close(to.read_end);
    ranks.processes_.push_back(process);
    if (process.pid < 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot start the process of rank ", rank, "; try fewer --ranks"));
    }
  }
  return ranks;
}

BenchRanks::~BenchRanks() {
  for (Process& process : processes_) {
    if (process.to >= 0) close(process.to);
    if (process.from >= 0) close(process.from);
  }
  for (Process& process : processes_) {
    while (process.pid > 0 && waitpid(process.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

absl::Status BenchRanks::WaitReady() {
  for (size_t rank = 0; rank < processes_.size(); ++rank) {
    RETURN_IF_ERROR(Answer(rank, "ready"));
  }
  return absl::OkStatus();
}

absl::Status BenchRanks::Do(const std::string& command) {
  const std::string line = command + "\n";
  absl::Status first;
  for (Process& process : processes_) {
    // A rank that has died is found by its missing answer.
    static_cast<void>(WriteFully(process.to, line.data(), line.size()));
  }
  for (size_t rank = 0; rank < processes_.size(); ++rank) first.Update(Answer(rank, "ok"));
  return first;
}

absl::Status BenchRanks::Answer(size_t rank, std::string_view expected) {
  Process& process = processes_[rank];
  const std::optional<std::string> line = ReadLine(process.from, &process.received);
  if (!line.has_value()) return absl::AbortedError(absl::StrCat("rank ", rank, " ended early"));
  if (*line == expected) return absl::OkStatus();
  // "error CODE MESSAGE"
  const size_t space = line->find(' ', 6);
  int code = 0;
  if (!line->starts_with("error ") || space == std::string::npos ||
      !absl::SimpleAtoi(line->substr(6, space - 6), &code)) {
    return absl::InternalError(absl::StrCat("rank ", rank, " answered ", *line));
  }
  return absl::Status(static_cast<absl::StatusCode>(code),
                      absl::StrCat("rank ", rank, ": ", line->substr(space + 1)));
}

}  // namespace cairn::cli
