#include "common/telemetry/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstring>
#include <exception>
#include <memory>

namespace cairn {
namespace log_internal {

std::atomic<LogLevel> threshold{LogLevel::kWarn};

namespace {

std::shared_ptr<spdlog::logger> MakeLogger(spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>("cairn", std::move(sink));
  // UTC, because the nodes of a cluster are compared with each other.
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %L %t %s:%# %v", spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::trace);  // the threshold above decides
  logger->flush_on(spdlog::level::trace);   // a line that a crash can swallow is worth nothing
  return logger;
}

// Never destroyed: threads may log while the process exits.
std::shared_ptr<spdlog::logger>& Logger() {
  static auto& logger = *new std::shared_ptr<spdlog::logger>(
      MakeLogger(std::make_shared<spdlog::sinks::stderr_sink_mt>()));
  return logger;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

}  // namespace

void Write(LogLevel level, const char* file, int line, std::string_view message) {
  Logger()->log(spdlog::source_loc{file, line, ""}, ToSpdlog(level),
                spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace log_internal

absl::Status InitLog(const LogOptions& options) {
  if (!options.file.empty()) {
    try {
      log_internal::Logger() = log_internal::MakeLogger(
          std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file));
    } catch (const std::exception& error) {
      return absl::PermissionDeniedError(error.what());
    }
  } else {
    log_internal::Logger() =
        log_internal::MakeLogger(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  }
  log_internal::threshold.store(options.level, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status ParseLogLevel(std::string_view name, LogLevel* level) {
  constexpr std::pair<std::string_view, LogLevel> kNames[] = {{"debug", LogLevel::kDebug},
                                                              {"info", LogLevel::kInfo},
                                                              {"warn", LogLevel::kWarn},
                                                              {"error", LogLevel::kError},
                                                              {"off", LogLevel::kOff}};
  for (const auto& [known, value] : kNames) {
    if (known != name) continue;
    *level = value;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      fmt::format("unknown log level \"{}\": choose debug, info, warn, error or off", name));
}

}  // namespace cairn
