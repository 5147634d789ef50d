// See settings.h.
#include "client/cli/settings.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/config_file.h"
#include "client/cli/format.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

template <class T>
absl::Status Choose(const std::string& text, const std::vector<std::pair<const char*, T>>& choices,
                    T* value) {
  std::vector<std::string> words;
  for (const auto& [word, meaning] : choices) {
    words.emplace_back(word);
    if (text != word) continue;
    *value = meaning;
    return absl::OkStatus();
  }
  return BadChoice(text, absl::StrJoin(words, ", "));
}

absl::Status ApplyEndpoint(const std::string& text, GlobalOptions* options) {
  for (const std::string& endpoint : std::vector<std::string>(absl::StrSplit(text, ','))) {
    const size_t colon = endpoint.rfind(':');
    if (colon != std::string::npos && colon > 0 && colon + 1 < endpoint.size()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' names no nodes; write HOST:PORT, several with commas between them"));
  }
  options->endpoint = text;
  return absl::OkStatus();
}

absl::Status ApplyOutput(const std::string& text, GlobalOptions* options) {
  return Choose<OutputFormat>(text,
                              {{"table", OutputFormat::kTable},
                               {"json", OutputFormat::kJson},
                               {"ndjson", OutputFormat::kNdjson}},
                              &options->output);
}

absl::Status ApplyTimeout(const std::string& text, GlobalOptions* options) {
  ASSIGN_OR_RETURN(options->timeout, ParseDuration(text));
  return absl::OkStatus();
}

absl::Status ApplyColor(const std::string& text, GlobalOptions* options) {
  return Choose<ColorMode>(
      text,
      {{"auto", ColorMode::kAuto}, {"always", ColorMode::kAlways}, {"never", ColorMode::kNever}},
      &options->color);
}

absl::Status ApplyProgress(const std::string& text, GlobalOptions* options) {
  return Choose<ProgressMode>(text,
                              {{"auto", ProgressMode::kAuto},
                               {"always", ProgressMode::kAlways},
                               {"never", ProgressMode::kNever}},
                              &options->progress);
}

constexpr Setting kSettings[] = {
    {"endpoint", "-e,--endpoint", "CAIRN_ENDPOINT", "HOST:PORT", "127.0.0.1:7440",
     "Nodes to ask, HOST:PORT[,HOST:PORT...]", ValueShape::kTexts, Reach::kOwnData, ApplyEndpoint},
    {"output", "-o,--output", "CAIRN_OUTPUT", "table|json|ndjson", "table",
     "Tables for people, or JSON for programs: one document, or one a line as they come",
     ValueShape::kText, Reach::kOwnScreen, ApplyOutput},
    {"timeout", "--timeout", "CAIRN_TIMEOUT", "TIME", "60s",
     "How long one call may take, retries included", ValueShape::kSeconds, Reach::kOwnScreen,
     ApplyTimeout},
    {"color", "--color", "CAIRN_COLOR", "auto|always|never", "auto",
     "Colors in tables; auto: on a terminal", ValueShape::kText, Reach::kOwnScreen, ApplyColor},
    {"progress", "--progress", "CAIRN_PROGRESS", "auto|always|never", "auto",
     "Bars on stderr; auto: of long transfers, on a terminal", ValueShape::kText, Reach::kOwnScreen,
     ApplyProgress},
};

// An empty variable counts as none, as NO_COLOR's convention has it.
std::optional<std::string> Lookup(const Environment& environment, const std::string& name) {
  std::optional<std::string> value = environment(name);
  if (value.has_value() && value->empty()) return std::nullopt;
  return value;
}

// What the environment says of a setting: the text and the variable's name.
std::optional<std::pair<std::string, std::string>> FromEnvironment(const Setting& setting,
                                                                   const Environment& environment) {
  if (auto value = Lookup(environment, setting.environment); value.has_value())
    return std::pair(*std::move(value), std::string(setting.environment));
  if (std::strcmp(setting.key, "color") != 0) return std::nullopt;
  // What all programs understand, or should.
  if (Lookup(environment, "NO_COLOR").has_value()) return std::pair("never", "NO_COLOR");
  const auto force = Lookup(environment, "CLICOLOR_FORCE");
  if (force.has_value() && *force != "0") return std::pair("always", "CLICOLOR_FORCE");
  return std::nullopt;
}

SettingValue ValueOf(const Setting& setting, const SettingArguments& arguments,
                     const Environment& environment, const std::string& file,
                     const std::vector<ConfigEntry>& entries) {
  if (const auto at = arguments.texts.find(setting.key); at != arguments.texts.end())
    return {&setting, at->second, Origin::kArguments, absl::StrCat("--", setting.key)};
  if (auto found = FromEnvironment(setting, environment); found.has_value())
    return {&setting, found->first, Origin::kEnvironment, found->second};
  for (const ConfigEntry& entry : entries) {
    if (entry.setting == &setting)
      return {&setting, entry.text, Origin::kFile, absl::StrCat(file, ":", entry.line)};
  }
  return {&setting, setting.fallback, Origin::kDefault, ""};
}

bool IsConfigNamed(const SettingArguments& arguments, const Environment& environment) {
  return !arguments.config_path.empty() || Lookup(environment, "CAIRN_CONFIG").has_value();
}

}  // namespace

Environment ProcessEnvironment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

std::span<const Setting> AllSettings() { return kSettings; }

absl::Status BadChoice(const std::string& text, std::string_view words) {
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is none of ", std::string(words)));
}

std::string OriginName(Origin origin) {
  switch (origin) {
    case Origin::kArguments:
      return "arguments";
    case Origin::kEnvironment:
      return "environment";
    case Origin::kFile:
      return "file";
    case Origin::kDefault:
      break;
  }
  return "default";
}

std::string ConfigPath(const SettingArguments& arguments, const Environment& environment) {
  if (!arguments.config_path.empty()) return arguments.config_path;
  if (auto path = Lookup(environment, "CAIRN_CONFIG"); path.has_value()) return *path;
  const auto config_home = Lookup(environment, "XDG_CONFIG_HOME");
  // The XDG rules: a relative one counts as none.
  if (config_home.has_value() && config_home->starts_with('/'))
    return absl::StrCat(*config_home, "/cairn/config.toml");
  const auto home = Lookup(environment, "HOME");
  return home.has_value() ? absl::StrCat(*home, "/.config/cairn/config.toml") : "";
}

absl::StatusOr<Settings> ResolveSettings(const SettingArguments& arguments,
                                         const Environment& environment) {
  Settings settings;
  settings.file = ConfigPath(arguments, environment);
  std::vector<ConfigEntry> entries;
  if (!settings.file.empty()) {
    auto read = ReadConfigFile(settings.file);
    const bool needless = absl::IsNotFound(read.status()) && !IsConfigNamed(arguments, environment);
    if (!read.ok() && !needless) return read.status();
    settings.file_exists = read.ok();
    if (read.ok()) entries = *std::move(read);
  }
  for (const Setting& setting : AllSettings()) {
    SettingValue value = ValueOf(setting, arguments, environment, settings.file, entries);
    const absl::Status applied = setting.apply(value.text, &settings.options);
    if (!applied.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(value.where, ": ", std::string(applied.message())));
    }
    settings.values.push_back(std::move(value));
  }
  return settings;
}

Settings ResolveWithoutFile(const SettingArguments& arguments, const Environment& environment) {
  Settings settings;
  for (const Setting& setting : AllSettings()) {
    const SettingValue value = ValueOf(setting, arguments, environment, "", {});
    // Arguments have been checked; a variable that is wrong is told where it matters.
    static_cast<void>(setting.apply(value.text, &settings.options));
  }
  return settings;
}

}  // namespace cairn::cli
