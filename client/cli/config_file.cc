// See config_file.h.
#include "client/cli/config_file.h"

#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/failure.h"
#include "client/cli/settings.h"
#include "client/cli/suggest.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

// Nobody has more to say in it; a device or a wrong file is noticed before it fills the memory.
constexpr size_t kFileBytesMax = size_t{1} << 20;

absl::Status UnknownKey(const std::string& place, const std::string& key) {
  std::vector<std::string> keys;
  for (const Setting& setting : AllSettings()) keys.push_back(setting.key);
  const std::string nearest = Nearest(key, keys);
  return absl::InvalidArgumentError(
      absl::StrCat(place, ": unknown setting \"", key, "\"; ",
                   nearest.empty() ? absl::StrCat("there are ", absl::StrJoin(keys, ", "))
                                   : absl::StrCat("did you mean \"", nearest, "\"?")));
}

const char* Expected(ValueShape shape) {
  switch (shape) {
    case ValueShape::kTexts:
      return "a string in quotes, or a list of such";
    case ValueShape::kSeconds:
      return "a string in quotes like \"60s\", or a whole number of seconds";
    case ValueShape::kText:
      break;
  }
  return "a string in quotes";
}

// As the option would be given it; nothing when it has another type.
std::optional<std::string> TextOf(const toml::node& node, ValueShape shape) {
  if (node.is_string()) return node.value_exact<std::string>();
  if (shape == ValueShape::kSeconds) {
    const auto seconds = node.value_exact<int64_t>();
    if (seconds.has_value() && *seconds >= 0) return absl::StrCat(*seconds, "s");
  }
  const toml::array* list = node.as_array();
  if (shape != ValueShape::kTexts || list == nullptr || list->empty()) return std::nullopt;
  std::vector<std::string> texts;
  for (const toml::node& element : *list) {
    if (!element.is_string()) return std::nullopt;
    texts.push_back(element.value_or(std::string()));
  }
  return absl::StrJoin(texts, ",");
}

absl::StatusOr<ConfigEntry> ParseEntry(const std::string& file_name, const std::string& key,
                                       const toml::node& node) {
  const uint64_t line = node.source().begin.line;
  const std::string place = absl::StrCat(file_name, ":", line);
  const auto settings = AllSettings();
  const auto setting = std::find_if(settings.begin(), settings.end(),
                                    [&key](const Setting& each) { return key == each.key; });
  if (setting == settings.end()) return UnknownKey(place, key);
  const std::optional<std::string> text = TextOf(node, setting->shape);
  if (!text.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(place, ": \"", key, "\" must be ",
                                                   Expected(setting->shape),
                                                   "; see 'cairn config show --help'"));
  }
  GlobalOptions ignored;
  if (const absl::Status status = setting->apply(*text, &ignored); !status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(place, ": \"", key, "\": ", std::string(status.message())));
  }
  return ConfigEntry{&*setting, *text, line};
}

// Of the file that is open: its name may lead elsewhere a moment later.
absl::Status CheckWriters(int fd, const std::string& path, const ConfigEntry& entry) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return ErrnoStatus(errno);
  const bool own = info.st_uid == geteuid() || info.st_uid == 0;
  if (own && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      path, ":", entry.line, ": others can write this file, and by \"", entry.setting->key,
      "\" they could send your data elsewhere; ",
      own ? absl::StrCat("run 'chmod go-w ", path, "'") : "make it a file of your own"));
}

}  // namespace

absl::StatusOr<std::vector<ConfigEntry>> ParseConfigFile(std::string_view text,
                                                         const std::string& file_name) {
  toml::table table;
  try {
    table = toml::parse(text, file_name);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name, ":", uint64_t{error.source().begin.line}, ": ",
                     std::string(error.description()), "; it has to be TOML: KEY = \"VALUE\""));
  }
  std::vector<ConfigEntry> entries;
  for (const auto& [key, node] : table) {
    ASSIGN_OR_RETURN(ConfigEntry entry, ParseEntry(file_name, std::string(key.str()), node));
    entries.push_back(std::move(entry));
  }
  return entries;
}

absl::StatusOr<std::vector<ConfigEntry>> ReadConfigFile(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  if (file == nullptr) {
    const absl::Status status = ErrnoStatus(errno);
    return absl::Status(status.code(),
                        absl::StrCat("cannot read ", path, ": ", std::string(status.message())));
  }
  std::string text(kFileBytesMax + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read ", path, "; it has to be a file of text"));
  }
  if (text.size() > kFileBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has more than 1 MiB; that is no configuration"));
  }
  ASSIGN_OR_RETURN(std::vector<ConfigEntry> entries, ParseConfigFile(text, path));
  for (const ConfigEntry& entry : entries) {
    if (entry.setting->reach == Reach::kOwnData)
      RETURN_IF_ERROR(CheckWriters(fileno(file.get()), path, entry));
  }
  return entries;
}

}  // namespace cairn::cli
