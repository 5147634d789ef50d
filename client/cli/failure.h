// What went wrong, for people in one line and for programs as an exit code and a JSON object.
#pragma once

#include <array>
#include <string>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {

// The whole contract with scripts. 3 is left free.
inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;
inline constexpr int kExitPartial = 2;
inline constexpr int kExitUnreachable = 4;
inline constexpr int kExitClosedPipe = 141;  // as if SIGPIPE had ended it: `cairn ls | head`

// The same in words, as --help and the manual say it.
struct ExitCode {
  int code;
  const char* meaning;
};
inline constexpr std::array kExitCodes = {
    ExitCode{kExitOk, "done; of a question (health, doctor, ok-to-stop): nothing is wrong, or yes"},
    ExitCode{kExitError, "failed, refused, or not confirmed; of a question: errors, or no"},
    ExitCode{kExitPartial, "some of several failed, or some of what was checked is bad"},
    ExitCode{kExitUnreachable, "no node answered in time"},
    ExitCode{130, "ended by Ctrl-C (SIGINT); 143 by SIGTERM"},
    ExitCode{kExitClosedPipe, "the reader of the output went away"},
};

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
