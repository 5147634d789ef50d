// See mount_arguments.h.
#include "client/cli/mount_arguments.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

constexpr int kThreadsMax = 1024;

// The kernel's, as libfuse names them.
constexpr std::array<std::string_view, 10> kKernelOptions = {
    "dev", "nodev", "suid", "nosuid", "exec", "noexec", "atime", "noatime", "dirsync", "sync"};

// For mount(8), systemd and the like, or what is so anyway.
constexpr std::array<std::string_view, 23> kPassedOver = {
    "defaults", "auto",       "noauto",   "user",        "nouser",
    "users",    "owner",      "group",    "nofail",      "_netdev",
    "relatime", "norelatime", "async",    "strictatime", "nostrictatime",
    "lazytime", "nolazytime", "diratime", "nodiratime",  "default_permissions",
    "iversion", "noiversion", "silent"};
constexpr std::array<std::string_view, 6> kPassedOverWithValue = {
    "x-", "X-", "comment=", "user=", "subtype=", "helper="};

template <size_t kSize>
bool Has(const std::array<std::string_view, kSize>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool IsPassedOver(std::string_view option) {
  return Has(kPassedOver, option) ||
         std::any_of(kPassedOverWithValue.begin(), kPassedOverWithValue.end(),
                     [option](std::string_view start) { return option.starts_with(start); });
}

// At commas that have no backslash before them.
std::vector<std::string> SplitOptions(std::string_view list) {
  std::vector<std::string> options(1);
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i] == '\\' && i + 1 < list.size()) {
      options.back().push_back(list[++i]);
    } else if (list[i] == ',') {
      options.emplace_back();
    } else {
      options.back().push_back(list[i]);
    }
  }
  std::erase(options, "");
  return options;
}

absl::Status TakeThreads(const std::string& value, int* threads) {
  if (absl::SimpleAtoi(value, threads) && *threads >= 1 && *threads <= kThreadsMax)
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", value, "' threads make no sense; write 1 to ", kThreadsMax));
}

// "NAME=VALUE", with names as the command's own options have them.
absl::StatusOr<bool> ApplyValue(const std::string& name, const std::string& value,
                                MountArguments* arguments) {
  if (name == "threads") {
    RETURN_IF_ERROR(TakeThreads(value, &arguments->threads));
  } else if (name == "dirty-bytes") {
    ASSIGN_OR_RETURN(arguments->dirty_bytes, ParseBytes(value));
  } else if (name == "readahead") {
    ASSIGN_OR_RETURN(arguments->readahead_bytes, ParseBytes(value));
  } else if (name == "attr-timeout") {
    ASSIGN_OR_RETURN(arguments->attribute_timeout, ParseDuration(value));
  } else if (name == "timeout") {
    ASSIGN_OR_RETURN(arguments->timeout, ParseDuration(value));
  } else if (name == "log-file") {
    arguments->log_file = value;
  } else if (name == "metrics") {
    arguments->metrics_address = value;
  } else if (name == "fsname") {
    arguments->shown_source = value;
  } else {
    return false;
  }
  return true;
}

absl::Status ApplyOne(const std::string& option, MountArguments* arguments) {
  const size_t sign = option.find('=');
  if (option == "ro" || option == "rw") {
    arguments->read_only = option == "ro";
  } else if (option == "allow_other") {
    arguments->sharing = Sharing::kAll;
  } else if (Has(kKernelOptions, option)) {
    arguments->kernel_options.push_back(option);
  } else if (!IsPassedOver(option)) {
    const std::string name = absl::StrReplaceAll(option.substr(0, sign), {{"_", "-"}});
    bool known = false;
    if (sign != std::string::npos) {
      const auto applied = ApplyValue(name, option.substr(sign + 1), arguments);
      if (!applied.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("-o ", name, ": ", applied.status().message()));
      }
      known = *applied;
    }
    if (!known) {
      return absl::InvalidArgumentError(absl::StrCat(
          "unknown mount option '", option,
          "'; there are ro, rw, allow_other, threads=N, timeout=TIME, dirty-bytes=BYTES, "
          "readahead=BYTES, attr-timeout=TIME, log-file=FILE, metrics=HOST:PORT, and mount(8)'s"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckEndpoint(const std::string& endpoint) {
  GlobalOptions ignored;
  for (const Setting& setting : AllSettings()) {
    if (std::string_view(setting.key) == "endpoint") return setting.apply(endpoint, &ignored);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MountSource> ParseMountSource(std::string_view text) {
  absl::string_view rest(text.data(), text.size());
  // As fstab may have it, where the type is "fuse".
  absl::ConsumePrefix(&rest, "cairn#");
  MountSource source;
  // No endpoint has a slash; an IPv6 address has colons of its own.
  const size_t at = rest.find(":/");
  source.endpoint = std::string(rest.substr(0, at));
  if (at != absl::string_view::npos) {
    const absl::string_view path = rest.substr(at + 1);
    source.path = PlainPath(std::string_view(path.data(), path.size()));
  }
  if (at == 0) return source;
  if (const absl::Status checked = CheckEndpoint(source.endpoint); !checked.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", std::string(text),
                     "' is no source; write HOST:PORT[,HOST:PORT...][:/BUCKET/PATH], or "
                     ":/BUCKET/PATH of the cluster that the settings name"));
  }
  return source;
}

absl::Status ApplyMountOptions(std::string_view list, MountArguments* arguments) {
  for (const std::string& option : SplitOptions(list)) RETURN_IF_ERROR(ApplyOne(option, arguments));
  return absl::OkStatus();
}

std::string DefaultMountLog(std::string_view mount_point, bool is_root,
                            const Environment& environment) {
  std::string name(mount_point);
  while (!name.empty() && name.back() == '/') name.pop_back();
  std::replace(name.begin(), name.end(), '/', '-');
  const std::string file = absl::StrCat("mount", name.empty() ? "-" : name, ".log");
  if (is_root) return absl::StrCat("/var/log/cairn/", file);
  const std::string state = environment("XDG_STATE_HOME").value_or("");
  if (state.starts_with('/')) return absl::StrCat(state, "/cairn/", file);
  const std::string home = environment("HOME").value_or("");
  return home.empty() ? "" : absl::StrCat(home, "/.local/state/cairn/", file);
}

absl::StatusOr<MountOptions> MakeMountOptions(const MountArguments& arguments, Mounting mounting,
                                              const ClientOptions& client) {
  ASSIGN_OR_RETURN(const MountSource source, ParseMountSource(arguments.source));
  MountOptions options;
  options.client = client;
  if (!source.endpoint.empty()) options.client.endpoint = source.endpoint;
  if (arguments.timeout.has_value()) options.client.timeout = *arguments.timeout;
  options.client.connect_timeout = std::min(options.client.connect_timeout, options.client.timeout);
  options.file_system.dirty_bytes_max = arguments.dirty_bytes;
  options.file_system.readahead_bytes = arguments.readahead_bytes;
  // Directories need not be called in UTF-8; what is told to the service has to be.
  options.file_system.name = Printable(arguments.mount_point);
  options.path = source.path;
  options.mount_point = arguments.mount_point;
  options.source = arguments.shown_source;
  if (options.source.empty())
    options.source = absl::StrCat("cairn#", options.client.endpoint, ":/", source.path);
  options.read_only = arguments.read_only;
  options.allow_other = arguments.sharing == Sharing::kAll ||
                        (arguments.sharing == Sharing::kDefault && mounting == Mounting::kByRoot);
  options.threads = arguments.threads;
  options.attribute_timeout = arguments.attribute_timeout;
  options.kernel_options = arguments.kernel_options;
  options.log_file = arguments.log_file;
  options.metrics_address = arguments.metrics_address;
  return options;
}

}  // namespace cairn::cli
