// The log: one line an event, for operators. main() decides where it goes; everything else only
// writes. Formatting is {fmt}'s, checked at compile time:
//
//   CAIRN_LOG_WARN("target {} is full: {}", target, status);
#pragma once

#include <spdlog/fmt/fmt.h>

#include <atomic>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/base/ids.h"

namespace cairn {

enum class LogLevel : int { kDebug, kInfo, kWarn, kError, kOff };

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  // Appended to. Empty: stderr.
  std::string file = {};
};

// Until this is called, warnings and errors go to stderr. From main(), before other threads write.
// PERMISSION_DENIED, saying why, when the file cannot be opened; the log stays as it was then.
absl::Status InitLog(const LogOptions& options);

// Accepts debug, info, warn, error, off. INVALID_ARGUMENT names the choices.
absl::Status ParseLogLevel(std::string_view name, LogLevel* level);

namespace log_internal {

extern std::atomic<LogLevel> threshold;
// Writes one line; blocks as long as the file does. Thread-safe.
void Write(LogLevel level, const char* file, int line, std::string_view message);

}  // namespace log_internal
}  // namespace cairn

#define CAIRN_LOG(level, ...)                                                              \
  do {                                                                                     \
    if ((level) >= ::cairn::log_internal::threshold.load(std::memory_order_relaxed)) {     \
      ::cairn::log_internal::Write(level, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
    }                                                                                      \
  } while (false)
#define CAIRN_LOG_DEBUG(...) CAIRN_LOG(::cairn::LogLevel::kDebug, __VA_ARGS__)
#define CAIRN_LOG_INFO(...) CAIRN_LOG(::cairn::LogLevel::kInfo, __VA_ARGS__)
#define CAIRN_LOG_WARN(...) CAIRN_LOG(::cairn::LogLevel::kWarn, __VA_ARGS__)
#define CAIRN_LOG_ERROR(...) CAIRN_LOG(::cairn::LogLevel::kError, __VA_ARGS__)

template <>
struct fmt::formatter<absl::Status> : fmt::formatter<std::string> {
  template <class Context>
  auto format(const absl::Status& status, Context& context) const {
    return fmt::format_to(context.out(), "{}", status.ToString());
  }
};

template <class Tag, class Rep>
struct fmt::formatter<cairn::StrongId<Tag, Rep>> : fmt::formatter<Rep> {
  template <class Context>
  auto format(cairn::StrongId<Tag, Rep> id, Context& context) const {
    return fmt::formatter<Rep>::format(id.value(), context);
  }
};
