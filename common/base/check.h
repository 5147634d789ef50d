// Broken invariants stop the process, in release builds too: a wrong state that goes on can destroy
// a checkpoint, a stopped server cannot.
#pragma once

namespace cairn {

// Prints the place and the condition to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace cairn

#define CAIRN_CHECK(condition)                              \
  do {                                                      \
    if (!(condition)) [[unlikely]]                          \
      ::cairn::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)
