#include "common/base/posix_error.h"

#include <cerrno>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

constexpr char kPayload[] = "cairn/errno";

absl::StatusCode CodeOf(int number) {
  switch (number) {
    case ENOENT:
    case ESTALE:
    case ENODATA:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EINVAL:
    case ENAMETOOLONG:
    case EILSEQ:
    case ERANGE:
      return absl::StatusCode::kInvalidArgument;
    case EFBIG:
      return absl::StatusCode::kOutOfRange;
    case EPERM:
    case EACCES:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMLINK:
    case ENOLCK:
    case E2BIG:
      return absl::StatusCode::kResourceExhausted;
    case EOPNOTSUPP:
    case ENOSYS:
      return absl::StatusCode::kUnimplemented;
    case EAGAIN:
      return absl::StatusCode::kAborted;
    default:
      return absl::StatusCode::kFailedPrecondition;
  }
}

}  // namespace

absl::Status PosixError(int number, std::string_view message) {
  return WithPosixError(absl::Status(CodeOf(number), ToAbsl(message)), number);
}

absl::Status WithPosixError(absl::Status status, int number) {
  status.SetPayload(kPayload, absl::Cord(std::to_string(number)));
  return status;
}

int CarriedPosixError(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  int number = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &number)) return 0;
  return number;
}

int ToErrno(const absl::Status& status) {
  if (status.ok()) return 0;
  if (const int carried = CarriedPosixError(status); carried != 0) return carried;
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return ENOENT;
    case absl::StatusCode::kAlreadyExists:
      return EEXIST;
    case absl::StatusCode::kInvalidArgument:
      return EINVAL;
    case absl::StatusCode::kOutOfRange:
      return EFBIG;
    case absl::StatusCode::kPermissionDenied:
      return EACCES;
    case absl::StatusCode::kResourceExhausted:
      return ENOSPC;
    case absl::StatusCode::kUnimplemented:
      return EOPNOTSUPP;
    default:
      return EIO;
  }
}

}  // namespace cairn
