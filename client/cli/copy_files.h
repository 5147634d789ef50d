// What `put` and `get` have in common: copies of many files at once, a bar meanwhile, a report.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/context.h"
#include "client/cli/transfer.h"

namespace cairn::cli {

struct FileCopy {
  std::string local;  // "-": stdin
  std::string remote;
  uint64_t size_bytes = 0;
  uint32_t crc32c = 0;  // of what is there, where that is known
  absl::StatusOr<TransferResult> result = absl::CancelledError("not started");
};

struct CopyPlan {
  std::vector<FileCopy> items;
  std::vector<Failure> failures;  // of what is left out
};

struct CopyWords {
  const char* verb;     // "get"
  const char* done;     // "got"
  const char* stopped;  // before where it goes: "stopped getting"
  std::string subject;  // where all of it goes or comes from
  bool to_local;  // a single one is named by where it is afterwards, a failure by where it was
};

// Copies all items of the plan, `jobs` at once, by `copy`, which is called from several threads.
// `total_bytes`: of all, where that is known. Returns the exit code.
int CopyFiles(
    Context& context, const CopyWords& words, CopyPlan* plan, size_t jobs,
    std::optional<uint64_t> total_bytes,
    const std::function<absl::StatusOr<TransferResult>(const FileCopy&, TransferHooks)>& copy);

// What is left out is told at once: before anything is done for the rest.
void TellLeftOut(Context& context, const CopyWords& words, const CopyPlan& plan);

}  // namespace cairn::cli
