// How often something was asked of a file system, and how that went.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace cairn {

struct OperationCount {
  std::string name;  // "lookup", "read"
  uint64_t calls = 0;
  uint64_t errors = 0;  // of these, answered with one: ENOENT among them, which is nobody's fault
  absl::Duration time;  // that they took together
};

}  // namespace cairn
