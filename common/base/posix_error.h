// An errno number that an absl::Status carries, from where POSIX rules are applied to the system
// call that asked: twenty of them share FAILED_PRECONDITION.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace cairn {

// A status of the code that is closest to `number` (ENOENT: NOT_FOUND), which carries the number.
absl::Status PosixError(int number, std::string_view message);
// The same status, carrying `number`. REQUIRES: it is not OK.
absl::Status WithPosixError(absl::Status status, int number);
// The number that it carries; 0: none.
int CarriedPosixError(const absl::Status& status);
// What a system call that ended so returns: the number carried, else the closest to its code; 0 of
// OK. What only waiting or repair could mend, and what is nobody's mistake, is EIO.
int ToErrno(const absl::Status& status);

}  // namespace cairn
