// absl::Status → Python exceptions. The classes themselves are Python (cairn/errors.py), because
// each has a built-in exception as its second base; here only the code and the message cross over.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cairn::python {

// Sets the exception of cairn.errors that belongs to `status` and throws py::error_already_set.
// REQUIRES: the GIL is held, and `status` is not OK.
[[noreturn]] void ThrowStatus(const absl::Status& status);

inline void ThrowIfError(const absl::Status& status) {
  if (!status.ok()) ThrowStatus(status);
}

template <class T>
T ValueOrThrow(absl::StatusOr<T> value) {
  if (!value.ok()) ThrowStatus(value.status());
  return *std::move(value);
}

}  // namespace cairn::python
