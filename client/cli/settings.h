// The values of the global options and where each is from: the arguments, else the environment,
// else the configuration file (config_file.h), else the default. One table says what there is.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/global_options.h"

namespace cairn::cli {

// Gives the value of an environment variable; nothing when it is not set. Tests put their own in
// the place of the process's.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment ProcessEnvironment();

// How a value may be written in the configuration file, beside a string.
enum class ValueShape { kText, kTexts, kSeconds };

// Whether someone who can write the file could send bytes elsewhere by it.
enum class Reach { kOwnScreen, kOwnData };

struct Setting {
  const char* key;          // in the file; with "--" before it, the option
  const char* option;       // its names, as the argument parser takes them
  const char* environment;  // the variable
  const char* type;         // of its value: "TIME", or the words there are, "a|b"
  const char* fallback;
  const char* help;
  ValueShape shape;
  Reach reach;
  // INVALID_ARGUMENT: `text` is no such value; says what is.
  absl::Status (*apply)(const std::string& text, GlobalOptions* options);
};

std::span<const Setting> AllSettings();

// A value that makes no sense is told with the words there are.
absl::Status BadChoice(const std::string& text, std::string_view words);

enum class Origin { kDefault, kFile, kEnvironment, kArguments };
std::string OriginName(Origin origin);

struct SettingValue {
  const Setting* setting;
  std::string text;
  Origin origin;
  std::string where;  // "FILE:3", "CAIRN_TIMEOUT", "--timeout"; empty for the default
};

struct Settings {
  GlobalOptions options;
  std::vector<SettingValue> values;  // one a setting, in the order of AllSettings()
  std::string file;                  // the configuration file; empty: no place to look for one
  bool file_exists = false;
};

// What the arguments say: texts by key, each checked already.
struct SettingArguments {
  std::string config_path;
  std::map<std::string, std::string> texts;
};

// INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED: the environment or the file is wrong; says where.
absl::StatusOr<Settings> ResolveSettings(const SettingArguments& arguments,
                                         const Environment& environment);

// The arguments and the environment alone; of the latter what makes no sense is left out. For what
// has to work whatever the file says.
Settings ResolveWithoutFile(const SettingArguments& arguments, const Environment& environment);

// --config, CAIRN_CONFIG, $XDG_CONFIG_HOME/cairn/config.toml, ~/.config/cairn/config.toml.
std::string ConfigPath(const SettingArguments& arguments, const Environment& environment);

}  // namespace cairn::cli
