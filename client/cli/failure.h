// What went wrong, for people in one line and for programs as an exit code and a JSON object.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {

// The whole contract with scripts; tests/unit/cli and --help say the same.
inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;
inline constexpr int kExitPartial = 2;       // some of several failed, or some shards are bad
inline constexpr int kExitUnreachable = 4;   // no node answered
inline constexpr int kExitClosedPipe = 141;  // as if SIGPIPE had ended it: `cairn ls | head`

struct Failure {
  std::string what;     // "cannot list"
  std::string subject;  // "bucket/run"
  absl::Status why;
};

int ExitCodeOf(const absl::Status& status);

// What the reader can do about it: a half sentence, empty when the message says it already.
std::string HintFor(const Failure& failure);

// "cairn: cannot list bucket/run: no such directory; see 'cairn ls bucket'", in one line, without
// line feed.
std::string DescribeFailure(const Failure& failure);

// {"code", "what", "subject", "why", "hint"}.
nlohmann::ordered_json FailureJson(const Failure& failure);

// Counts the parts of a command that works on several things.
class Outcomes {
 public:
  void Succeeded() { ++succeeded_; }
  void Failed(const absl::Status& why);
  int failed() const { return failed_; }
  // 0 when none failed, kExitPartial when some did, else the code of the first failure.
  int ExitCode() const;

 private:
  int succeeded_ = 0;
  int failed_ = 0;
  absl::Status first_;
};

// The status of a failed system call, its code made from errno.
absl::Status ErrnoStatus(int error);

}  // namespace cairn::cli
