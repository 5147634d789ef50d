// `cairn health`: what is wrong, since when, what it endangers and what to do. The cluster judges;
// here it is only printed.
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/status_document.h"
#include "client/cli/watch.h"

namespace cairn::cli {
namespace {

// The codes are those of server/cluster/health.h.
constexpr char kHelp[] =
    R"(Exit codes: 0 nothing is wrong, or there are warnings only; 1 there are errors, or the
command failed; 4 unreachable.

Codes:
  DATA_CROWDED      groups have several fragments where only one should be
  DATA_DEGRADED     groups of targets are read around what is missing
  DATA_MOVING       members of groups are being made elsewhere
  DATA_UNAVAILABLE  groups lack more than their redundancy may lose
  METADATA_WARNING  what the metadata has to say
  NODE_DOWN         a node has been silent for seconds
  NODE_DRAINING     a node is to be empty, or out of the cluster
  NODE_OUT          a node has been down for minutes
  NODE_SUSPECT      a node has missed heartbeats
  REBUILD_BLOCKED   members of groups have nowhere to go
  TARGET_FAILED     a target takes and gives nothing
  TARGET_FULL       targets are 95 % full, or more
  TARGET_JOINING    a target is not used yet
  TARGET_NEARFULL   targets are 85 % full, or more
  WRITES_CROWDED    too little is up to spread what is written as it should be
  WRITES_REFUSED    too little is up to write at all

Examples:
  cairn health
  cairn health --watch
  cairn health --output json
  cairn health > /dev/null || echo "look after the cluster")";

std::string Since(const std::string& time, absl::Time now) {
  absl::Time since;
  if (time.empty() || !absl::ParseTime(absl::RFC3339_full, time, &since, nullptr)) return "";
  return absl::StrCat(" since ", HumanAge(since, now));
}

std::string Counted(size_t count, const char* noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

Look LookAtHealth(Context& context) {
  int code = kExitOk;
  const auto status = GetStatus(context, &code);
  if (!status.has_value()) return {code};
  const Json& health = (*status)["health"];
  if (context.json()) {
    context.PrintJson(health);
  } else {
    context.Print(RenderHealth(health, context.clock().WallNow(), context.style()));
  }
  return {health["status"] == "error" ? kExitError : kExitOk};
}

}  // namespace

std::string RenderHealth(const Json& health, absl::Time now, TextStyle style) {
  if (health["items"].empty()) return absl::StrCat(Toned("HEALTH OK", Tone::kGood, style), "\n");
  std::string out;
  for (const Json& item : health["items"]) {
    const auto text = [&item](const char* name) {
      return Printable(item[name].get<std::string>());
    };
    const Tone tone = item["severity"] == "error" ? Tone::kBad : Tone::kWarning;
    absl::StrAppend(&out, Toned(absl::AsciiStrToUpper(text("severity")), tone, style), " ",
                    text("code"), Since(text("since"), now), ": ", text("summary"), "\n");
    if (!text("endangers").empty()) absl::StrAppend(&out, "  endangers: ", text("endangers"), "\n");
    if (!text("todo").empty()) absl::StrAppend(&out, "  do: ", text("todo"), "\n");
  }
  return out;
}

std::string HealthLine(const Json& health) {
  size_t errors = 0, warnings = 0;
  for (const Json& item : health["items"]) ++(item["severity"] == "error" ? errors : warnings);
  if (errors + warnings == 0) return "ok";
  std::string text = errors == 0 ? "" : Counted(errors, "error");
  if (warnings > 0) absl::StrAppend(&text, errors == 0 ? "" : ", ", Counted(warnings, "warning"));
  return absl::StrCat(text, ": cairn health");
}

void AddHealthCommand(CLI::App* app, Command* chosen) {
  CLI::App* health = app->add_subcommand("health", "Show what is wrong and what to do about it");
  auto watch = std::make_shared<WatchOptions>();
  AddWatchOption(health, watch.get());
  health->footer(kHelp);
  health->callback([watch, chosen] {
    *chosen = [watch](Context& context) {
      return RunLooks(context, *watch, [&context] { return LookAtHealth(context); });
    };
  });
}

}  // namespace cairn::cli
