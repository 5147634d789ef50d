// The file ~/.config/cairn/config.toml: settings by key, each with its line. What they mean, and
// what else they can come from: settings.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cairn::cli {

struct Setting;

struct ConfigEntry {
  const Setting* setting;
  std::string text;  // as the option would be given it
  uint64_t line;
};

// INVALID_ARGUMENT says the line of `file_name`, the key and what was expected: no TOML, an unknown
// key, a value of another type or without a meaning.
absl::StatusOr<std::vector<ConfigEntry>> ParseConfigFile(std::string_view text,
                                                         const std::string& file_name);

// As ParseConfigFile(). NOT_FOUND: there is no such file. PERMISSION_DENIED: it cannot be read; or
// others than its reader and root can write it, and it says something by which they could send the
// reader's data elsewhere.
absl::StatusOr<std::vector<ConfigEntry>> ReadConfigFile(const std::string& path);

}  // namespace cairn::cli
