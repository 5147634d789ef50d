// See failure.h.
#include "client/cli/failure.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/format.h"

namespace cairn::cli {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string Reason(const absl::Status& why) {
  if (why.message().empty()) return absl::StatusCodeToString(why.code());
  std::string text(why.message());
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && (text.back() == '.' || text.back() == ' ')) text.pop_back();
  return Printable(text);
}

}  // namespace

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  // A node that has stopped answering is as unreachable as none; commands have no other deadline.
  const bool unreachable = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  return unreachable ? kExitUnreachable : kExitError;
}

std::string HintFor(const Failure& failure) {
  // Messages of the service say themselves what to do, after a semicolon.
  if (absl::StrContains(failure.why.message(), "; ")) return "";
  switch (failure.why.code()) {
    case absl::StatusCode::kNotFound: {
      const std::string parent = Printable(ParentOf(failure.subject));
      return absl::StrCat("see what is there with 'cairn ls", parent.empty() ? "" : " ", parent,
                          "'");
    }
    case absl::StatusCode::kUnavailable:
      return "check that cairnd runs there, or name another with --endpoint HOST:PORT";
    case absl::StatusCode::kDeadlineExceeded:
      return "try again, or allow more time with --timeout";
    case absl::StatusCode::kAlreadyExists:
      return "take another name, or remove what is there first";
    case absl::StatusCode::kResourceExhausted:
      return "see what is used up with 'cairn status'; 'cairn ckpt prune' makes room";
    case absl::StatusCode::kDataLoss:
      return "take the data from another copy, and look at the device with 'cairn status'";
    case absl::StatusCode::kAborted:
      return "look at it again and start over";
    case absl::StatusCode::kPermissionDenied:
      return "check the permissions";
    case absl::StatusCode::kInvalidArgument:
      return "see --help for what is understood";
    case absl::StatusCode::kFailedPrecondition:
      return "see its state with 'cairn stat' or 'cairn ckpt show'";
    case absl::StatusCode::kCancelled:
      return "run it again";
    default:
      return "this should not happen: please report it with the log of cairnd";
  }
}

std::string DescribeFailure(const Failure& failure) {
  std::string line = absl::StrCat("cairn: ", failure.what);
  if (!failure.subject.empty()) absl::StrAppend(&line, " ", Printable(failure.subject));
  absl::StrAppend(&line, ": ", Reason(failure.why));
  if (const std::string hint = HintFor(failure); !hint.empty()) absl::StrAppend(&line, "; ", hint);
  return line;
}

nlohmann::ordered_json FailureJson(const Failure& failure) {
  return {{"code", absl::StatusCodeToString(failure.why.code())},
          {"what", failure.what},
          {"subject", failure.subject},
          {"why", std::string(failure.why.message())},
          {"hint", HintFor(failure)}};
}

void Outcomes::Failed(const absl::Status& why) {
  if (failed_ == 0) first_ = why;
  ++failed_;
}

int Outcomes::ExitCode() const {
  if (failed_ == 0) return kExitOk;
  return succeeded_ > 0 ? kExitPartial : ExitCodeOf(first_);
}

absl::Status ErrnoStatus(int error) {
  const std::string text = std::strerror(error);
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(absl::StrCat(text, "; check the local path"));
    case EEXIST:
      return absl::AlreadyExistsError(text);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(text);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(absl::StrCat(text, "; free space on the local disk"));
    case EISDIR:
      return absl::FailedPreconditionError(absl::StrCat(text, "; directories need -r"));
    case ENOTDIR:
      return absl::FailedPreconditionError(absl::StrCat(text, "; check the local path"));
    case EPIPE:
      return absl::CancelledError("the reader of the output went away; nothing to do");
    default:
      return absl::UnknownError(absl::StrCat(text, "; check the local disk"));
  }
}

}  // namespace cairn::cli
