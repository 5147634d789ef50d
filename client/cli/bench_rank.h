// One rank of `cairn bench ckpt`: a process of its own, as in a real job, that does what it is told
// in lines on stdin and answers each with a line on stdout.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/context.h"

namespace cairn::cli {

struct BenchRankOptions {
  uint32_t rank = 0;
  uint32_t ranks = 1;
  uint64_t size_bytes = 0;
};

// The process's side: answers until stdin ends. Commands: "save PATH", "clear", "restore PATH",
// "check"; answers: "ok" or "error CODE MESSAGE". "ready" comes first, once the memory is filled
// and the client connected.
int RunBenchRank(Context& context, const BenchRankOptions& options);

// The parent's side: all ranks of a run. Not thread-safe.
class BenchRanks {
 public:
  // Starts `count` processes of this program. On error none is left.
  static absl::StatusOr<BenchRanks> Start(const GlobalOptions& globals, uint32_t count,
                                          uint64_t size_bytes);
  // Ends the processes and waits for them.
  ~BenchRanks();
  BenchRanks(BenchRanks&& other) noexcept = default;

  // Waits until all are ready.
  absl::Status WaitReady();
  // Gives the command to all at once and waits for all answers. The first error, with its rank.
  absl::Status Do(const std::string& command);

 private:
  struct Process {
    int pid = -1;
    int to = -1;
    int from = -1;
    std::string received;
  };
  BenchRanks() = default;
  absl::Status Answer(size_t rank, std::string_view expected);

  std::vector<Process> processes_;
};

}  // namespace cairn::cli
