// See complete_command.h.
#include "client/cli/complete_command.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/remote_walk.h"
#include "client/cli/status_document.h"

namespace cairn::cli {
namespace {

// Somebody has pressed a key and waits.
constexpr absl::Duration kPatience = absl::Seconds(2);

enum class Wanted { kAny, kDirectories, kCheckpoints, kBuckets };

void Offer(Context& context, const std::string& value, const std::string& help) {
  // What a terminal would obey, and what would look like two lines, nobody types.
  if (Printable(value) == value) context.Print(absl::StrCat(value, "\t", Printable(help), "\n"));
}

// "models/run7/" and "st" of "models/run7/st"; what is before the path itself goes with the first.
std::pair<std::string, std::string> CutLastName(const std::string& word) {
  const size_t slash = word.rfind('/');
  if (slash == std::string::npos) return {"", word};
  return {word.substr(0, slash + 1), word.substr(slash + 1)};
}

bool IsWanted(const Entry& entry, Wanted wanted) {
  switch (wanted) {
    case Wanted::kAny:
      return true;
    case Wanted::kDirectories:
    case Wanted::kBuckets:
      return entry.type == EntryType::kDirectory;
    case Wanted::kCheckpoints:
      return IsContainer(entry.type);
  }
  return false;
}

// A directory can be gone on from; a checkpoint, too, where files are asked for.
bool EndsInSlash(const Entry& entry, Wanted wanted) {
  if (wanted == Wanted::kBuckets) return false;
  return entry.type == EntryType::kDirectory ||
         (wanted == Wanted::kAny && entry.type == EntryType::kCheckpoint);
}

void OfferPaths(Context& context, Client& client, const std::string& word, Wanted wanted) {
  const auto [typed, name] = CutLastName(word);
  if (wanted == Wanted::kBuckets && !typed.empty()) return;
  const auto entries = client.List(PlainPath(typed));
  if (!entries.ok()) return;
  for (const Entry& entry : *entries) {
    if (!entry.name.starts_with(name) || !IsWanted(entry, wanted)) continue;
    Offer(context, absl::StrCat(typed, entry.name, EndsInSlash(entry, wanted) ? "/" : ""), "");
  }
}

// Of nodes or targets in the status.
void OfferNumbers(Context& context, Client& client, const std::string& word,
                  const std::string& list, const std::vector<std::string>& details) {
  const auto text = client.StatusJson();
  if (!text.ok()) return;
  const auto status = NormalizeStatus(*text, client.endpoint());
  if (!status.ok()) return;
  for (const Json& each : (*status)[list]) {
    const std::string number = absl::StrCat(each["id"].get<uint64_t>());
    if (!number.starts_with(word)) continue;
    std::string help;
    for (const std::string& detail : details) {
      const auto known = each[detail].is_string() ? each[detail].get<std::string>()
                                                  : absl::StrCat("node ", each[detail].dump());
      if (!known.empty()) absl::StrAppend(&help, help.empty() ? "" : ", ", known);
    }
    Offer(context, number, help);
  }
}

// The words were typed so far, and not parsed: those that say where the cluster is.
SettingArguments SettingsIn(const std::vector<std::string>& words) {
  SettingArguments arguments;
  const auto take = [&arguments](const std::string& name, const std::string& value) {
    if (name == "-e" || name == "--endpoint") arguments.texts["endpoint"] = value;
    if (name == "--config") arguments.config_path = value;
  };
  for (size_t i = 2; i < words.size(); ++i) {
    const size_t sign = words[i].find('=');
    if (words[i].starts_with("--") && sign != std::string::npos) {
      take(words[i].substr(0, sign), words[i].substr(sign + 1));
    } else if (i + 1 < words.size()) {
      take(words[i], words[i + 1]);
    }
  }
  return arguments;
}

}  // namespace

int RunComplete(Context& context, const std::vector<std::string>& words) {
  if (words.size() < 2) return kExitOk;
  const std::string& wanted = words[0];
  const std::string& word = words[1];
  const auto settings = ResolveSettings(SettingsIn(words), context.environment);
  if (!settings.ok()) return kExitOk;
  context.options = settings->options;
  context.options.timeout = std::min(context.options.timeout, kPatience);
  const auto client = Client::Connect(context.MakeClientOptions());
  if (!client.ok()) return kExitOk;
  if (wanted == "path") OfferPaths(context, **client, word, Wanted::kAny);
  if (wanted == "directory") OfferPaths(context, **client, word, Wanted::kDirectories);
  if (wanted == "checkpoint") OfferPaths(context, **client, word, Wanted::kCheckpoints);
  if (wanted == "bucket") OfferPaths(context, **client, word, Wanted::kBuckets);
  if (wanted == "node")
    OfferNumbers(context, **client, word, "nodes", {"name", "endpoint", "state"});
  if (wanted == "target")
    OfferNumbers(context, **client, word, "targets", {"node", "state", "path"});
  return kExitOk;
}

}  // namespace cairn::cli
