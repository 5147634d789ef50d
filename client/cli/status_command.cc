// `cairn status`, `cairn node ls` and `cairn target ls`: the cluster's own account of itself. What
// is wrong in it: health_command.cc. What changes nodes and targets:
// node_commands.cc, target_commands.cc.
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/status_document.h"
#include "client/cli/watch.h"

namespace cairn::cli {
namespace {

// protobuf's JSON has 64-bit integers as strings, and names in one of two spellings.
const Json* Find(const Json& object, const std::string& snake) {
  if (auto at = object.find(snake); at != object.end()) return &*at;
  std::string camel;
  for (size_t i = 0; i < snake.size(); ++i) {
    if (snake[i] == '_' && i + 1 < snake.size()) {
      camel.push_back(absl::ascii_toupper(snake[++i]));
    } else {
      camel.push_back(snake[i]);
    }
  }
  if (auto at = object.find(camel); at != object.end()) return &*at;
  return nullptr;
}

uint64_t NumberOf(const Json& value) {
  if (value.is_number()) return value.get<uint64_t>();
  uint64_t number = 0;
  if (value.is_string() && absl::SimpleAtoi(value.get<std::string>(), &number)) return number;
  return 0;
}

// Absent is zero: protobuf leaves default values out.
uint64_t Number(const Json& object, const std::string& name) {
  const Json* value = Find(object, name);
  return value == nullptr ? 0 : NumberOf(*value);
}

int64_t Signed(const Json& object, const std::string& name) {
  const Json* value = Find(object, name);
  int64_t number = 0;
  if (value != nullptr && value->is_number()) return value->get<int64_t>();
  if (value != nullptr && value->is_string() &&
      absl::SimpleAtoi(value->get<std::string>(), &number)) {
    return number;
  }
  return 0;
}

std::string Text(const Json& object, const std::string& name) {
  const Json* value = Find(object, name);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

// The elements of an array that are objects.
std::vector<Json> Objects(const Json& object, const std::string& name) {
  std::vector<Json> result;
  const Json* value = Find(object, name);
  if (value == nullptr || !value->is_array()) return result;
  for (const Json& each : *value) {
    if (each.is_object()) result.push_back(each);
  }
  return result;
}

// Absent is the first: protobuf leaves default values out.
std::string NodeStateOf(const Json& node) {
  const std::string state = Text(node, "state");
  if (state.empty() || state == "NODE_UP") return "up";
  return absl::AsciiStrToLower(absl::StripPrefix(state, "NODE_"));
}

bool Flag(const Json& object, const std::string& name) {
  const Json* value = Find(object, name);
  return value != nullptr && *value == true;
}

std::string StateOf(const Json& target) {
  if (Flag(target, "joining")) return "joining";
  const std::string state = Text(target, "state");
  if (state == "TARGET_UP") return "up";
  if (state == "TARGET_FAILED") return "failed";
  return state.empty() ? "unknown" : state;
}

std::vector<uint64_t> Numbers(const Json& object, const std::string& name) {
  std::vector<uint64_t> result;
  const Json* value = Find(object, name);
  if (value == nullptr || !value->is_array()) return result;
  for (const Json& each : *value) result.push_back(NumberOf(each));
  return result;
}

Json NormalizeHealth(const Json& source) {
  Json items = Json::array();
  std::string worst = "ok";
  for (const Json& item : Objects(source, "health")) {
    // A severity of a later release is no reason to look away.
    const std::string severity = Text(item, "severity") == "HEALTH_WARNING" ? "warning" : "error";
    if (worst != "error") worst = severity;
    items.push_back({{"code", Text(item, "code")},
                     {"severity", severity},
                     {"since", UtcTime(absl::FromUnixNanos(Signed(item, "since_ns")))},
                     {"summary", Text(item, "summary")},
                     {"endangers", Text(item, "endangers")},
                     {"todo", Text(item, "todo")},
                     {"nodes", Numbers(item, "nodes")},
                     {"targets", Numbers(item, "targets")}});
  }
  return {{"status", worst}, {"items", std::move(items)}};
}

Look LookAtStatus(Context& context) {
  int code = kExitOk;
  const auto status = GetStatus(context, &code);
  if (!status.has_value()) return {code};
  if (context.json()) {
    context.PrintJson(*status);
  } else {
    context.Print(RenderStatus(*status, context.style()));
  }
  return {kExitOk};
}

}  // namespace

std::optional<Json> GetStatus(Context& context, int* exit_code) {
  Client* client = context.Connect(exit_code);
  if (client == nullptr) return std::nullopt;
  const auto text = client->StatusJson();
  if (!text.ok()) {
    *exit_code = context.Fail({"cannot get the status of", client->endpoint(), text.status()});
    return std::nullopt;
  }
  auto document = NormalizeStatus(*text, client->endpoint());
  if (!document.ok()) {
    *exit_code = context.Fail({"cannot read the status of", client->endpoint(), document.status()});
    return std::nullopt;
  }
  return *std::move(document);
}

absl::StatusOr<Json> NormalizeStatus(std::string_view status_json, std::string_view endpoint) {
  const Json source = Json::parse(status_json, nullptr, false);
  if (!source.is_object()) {
    return absl::InternalError("it is not a JSON object; the node runs another version");
  }
  Json result = {{"endpoint", std::string(endpoint)},
                 {"cluster_id", Text(source, "cluster_id")},
                 {"software_version", Text(source, "software_version")},
                 {"provider", Text(source, "provider")}};
  for (const char* name :
       {"node_id", "uptime_ms", "checkpoints", "files", "open_attempts", "sessions", "slabs",
        "slabs_free", "slab_bytes", "reclaim_pending_bytes"}) {
    result[name] = Number(source, name);
  }
  const Json* map = Find(source, "map");
  const Json empty = Json::object();
  if (map == nullptr || !map->is_object()) map = &empty;
  result["map_version"] = Number(*map, "version");
  result["stripe_bytes"] = Number(*map, "stripe_bytes");
  result["placement_groups"] = Number(source, "placement_groups");
  result["nodes"] = Json::array();
  for (const Json& node : Objects(*map, "nodes")) {
    result["nodes"].push_back(
        {{"id", Number(node, "id")},
         {"endpoint", Text(node, "endpoint")},
         {"state", NodeStateOf(node)},
         {"state_since", UtcTime(absl::FromUnixNanos(Signed(node, "state_since_ns")))},
         {"name", Text(node, "name")},
         {"rack", Text(node, "rack")},
         {"draining", Flag(node, "draining")},
         {"removing", Flag(node, "removing")}});
  }
  result["targets"] = Json::array();
  for (const Json& target : Objects(*map, "targets")) {
    result["targets"].push_back({{"id", Number(target, "id")},
                                 {"node", Number(target, "node")},
                                 {"core", Number(target, "core")},
                                 {"state", StateOf(target)},
                                 {"capacity_bytes", Number(target, "capacity_bytes")},
                                 {"used_bytes", Number(target, "used_bytes")},
                                 {"path", Text(target, "path")},
                                 {"draining", Flag(target, "draining")},
                                 {"removing", Flag(target, "removing")},
                                 {"lost", Flag(target, "lost")},
                                 {"fragments", Number(target, "fragments")},
                                 {"groups", Number(target, "groups")},
                                 {"moving_away", Number(target, "moving_away")},
                                 {"moving_here", Number(target, "moving_here")}});
  }
  result["health"] = NormalizeHealth(source);
  const Json* warnings = Find(source, "warnings");
  result["warnings"] = warnings != nullptr && warnings->is_array() ? *warnings : Json::array();
  result["counters"] = Json::object();
  if (const Json* counters = Find(source, "counters");
      counters != nullptr && counters->is_object()) {
    for (const auto& [name, value] : counters->items()) result["counters"][name] = NumberOf(value);
  }
  return result;
}

namespace {

// "up, draining": what it is, and what an operator wants of it.
std::string StateCell(const Json& each) {
  auto state = each["state"].get<std::string>();
  if (each.value("removing", false)) return absl::StrCat(state, ", removing");
  if (each["draining"] == true) return absl::StrCat(state, ", draining");
  return state;
}

Tone ToneOf(const Json& each) {
  const auto state = each["state"].get<std::string>();
  if (state == "failed" || state == "out" || state == "down") return Tone::kBad;
  return state == "up" && each["draining"] == false && !each.value("removing", false)
             ? Tone::kGood
             : Tone::kWarning;
}

Table NodeTable(const Json& status) {
  Table nodes({{"NODE", Align::kRight}, {"STATE"}, {"SINCE"}, {"ENDPOINT"}, {"HOST"}, {"RACK"}});
  for (const Json& node : status["nodes"]) {
    const auto text = [&node](const char* name) {
      const auto value = node[name].get<std::string>();
      return value.empty() ? "-" : Printable(value);
    };
    nodes.AddRow({absl::StrCat(node["id"].get<uint64_t>()), Cell(StateCell(node), ToneOf(node)),
                  text("state_since"), text("endpoint"), text("name"), text("rack")});
  }
  return nodes;
}

// What becomes of what it holds, in members of placement groups: "3 leave, 2 come".
std::string DoingCell(const Json& target) {
  const auto number = [&target](const char* name) { return target[name].get<uint64_t>(); };
  std::vector<std::string> doing;
  if (number("moving_away") > 0) doing.push_back(absl::StrCat(number("moving_away"), " leave"));
  if (number("moving_here") > 0) doing.push_back(absl::StrCat(number("moving_here"), " come"));
  if (!doing.empty()) return absl::StrJoin(doing, ", ");
  if (target["draining"] != true && target["removing"] != true) return "-";
  return number("groups") == 0 ? "empty" : absl::StrCat(number("groups"), " wait");
}

Table TargetTable(const Json& status) {
  Table targets({{"TARGET", Align::kRight},
                 {"NODE", Align::kRight},
                 {"STATE"},
                 {"SIZE", Align::kRight},
                 {"USED", Align::kRight},
                 {"USE%", Align::kRight},
                 {"FRAGMENTS", Align::kRight},
                 {"MOVES"},
                 {"PATH"}});
  for (const Json& target : status["targets"]) {
    const auto size = target["capacity_bytes"].get<uint64_t>();
    const auto taken = target["used_bytes"].get<uint64_t>();
    targets.AddRow({absl::StrCat(target["id"].get<uint64_t>()),
                    absl::StrCat(target["node"].get<uint64_t>()),
                    Cell(StateCell(target), ToneOf(target)), HumanBytes(size), HumanBytes(taken),
                    PercentText(taken, size), absl::StrCat(target["fragments"].get<uint64_t>()),
                    DoingCell(target), target["path"].get<std::string>()});
  }
  return targets;
}

using TableOf = Table (*)(const Json& status);

Look LookAtList(Context& context, const std::string& name, TableOf table) {
  int code = kExitOk;
  const auto status = GetStatus(context, &code);
  if (!status.has_value()) return {code};
  if (!context.json()) {
    context.Print(table(*status).Render(context.style()));
    return {kExitOk};
  }
  JsonList list(&context);
  for (const Json& each : (*status)[name]) list.Add(each);
  list.Finish();
  return {kExitOk};
}

// `node ls` and `target ls`: a part of the status, `name` in its JSON.
CLI::App* AddList(CLI::App* noun, Command* chosen, const std::string& help, const std::string& name,
                  TableOf table) {
  auto watch = std::make_shared<WatchOptions>();
  CLI::App* ls = noun->add_subcommand("ls", help);
  AddWatchOption(ls, watch.get());
  ls->callback([watch, name, table, chosen] {
    *chosen = [watch, name, table](Context& context) {
      return RunLooks(context, *watch, [&] { return LookAtList(context, name, table); });
    };
  });
  return ls;
}

}  // namespace

std::string RenderStatus(const Json& status, TextStyle style) {
  auto number = [&](const char* name) { return status[name].get<uint64_t>(); };
  auto text = [&](const char* name) { return status[name].get<std::string>(); };
  uint64_t capacity = 0, used = 0;
  for (const Json& target : status["targets"]) {
    capacity += target["capacity_bytes"].get<uint64_t>();
    used += target["used_bytes"].get<uint64_t>();
  }
  const uint64_t slabs = number("slabs");
  std::vector<std::pair<std::string, std::string>> lines = {
      {"endpoint", text("endpoint")},
      {"cluster", text("cluster_id")},
      {"node", absl::StrCat(number("node_id"), ", version ", text("software_version"), ", up ",
                            HumanDuration(absl::Milliseconds(number("uptime_ms"))))},
      {"health", HealthLine(status["health"])},
      {"fabric", absl::StrCat(text("provider"), ", ", number("sessions"), " sessions")},
      {"buffers", absl::StrCat(slabs - std::min(slabs, number("slabs_free")), " of ", slabs,
                               " slabs of ", HumanBytes(number("slab_bytes")), " in use")},
      {"stored", absl::StrCat(number("checkpoints"), " checkpoints, ", number("files"), " files, ",
                              number("open_attempts"), " being written")},
      {"space", absl::StrCat(HumanBytes(used), " of ", HumanBytes(capacity), " used (",
                             PercentText(used, capacity), "), ",
                             HumanBytes(number("reclaim_pending_bytes")), " to be reclaimed")}};
  std::string out = RenderProperties(lines, style);
  for (const Json& warning : status["warnings"]) {
    if (warning.is_string()) {
      absl::StrAppend(&out, "warning: ", Printable(warning.get<std::string>()), "\n");
    }
  }
  // Of a single node all is said above.
  if (status["nodes"].size() > 1) absl::StrAppend(&out, "\n", NodeTable(status).Render(style));
  if (!status["targets"].empty()) {
    absl::StrAppend(&out, "\n", TargetTable(status).Render(style));
  }
  return out;
}

void AddClusterCommands(CLI::App* app, Command* chosen) {
  CLI::App* status =
      app->add_subcommand("status", "Show the cluster: health, nodes, space, targets");
  auto watch = std::make_shared<WatchOptions>();
  AddWatchOption(status, watch.get());
  status->footer(
      "Examples:\n  cairn status\n  cairn status --watch=10s\n  cairn status --output json");
  status->callback([watch, chosen] {
    *chosen = [watch](Context& context) {
      return RunLooks(context, *watch, [&context] { return LookAtStatus(context); });
    };
  });
  AddHealthCommand(app, chosen);

  CLI::App* node = app->add_subcommand("node", "See the nodes, empty them, take them out");
  node->require_subcommand(1);
  node->footer("Examples:\n  cairn node ls\n  cairn node ok-to-stop 3\n  cairn node drain 3");
  AddList(node, chosen, "List the nodes and their state", "nodes", NodeTable)
      ->footer(
          "Examples:\n  cairn node ls\n  cairn node ls --watch\n  cairn node ls --output ndjson");
  AddNodeCommands(node, chosen);

  CLI::App* target = app->add_subcommand(
      "target", "See the targets, the devices of all nodes; add, empty, replace them");
  target->require_subcommand(1);
  target->footer(
      "Examples:\n  cairn target ls\n  cairn target add --node 3 --path /dev/nvme1n1\n  cairn "
      "target "
      "replace 7");
  AddList(target, chosen, "List the targets, their state and their space", "targets", TargetTable)
      ->footer(
          R"(MOVES counts members of placement groups: those that leave the target or come to it, and of one that is
to be empty those that wait for a place, or "empty".

Examples:
  cairn target ls
  cairn target ls --watch
  cairn target ls --output ndjson)");
  AddTargetCommands(target, chosen);
}

}  // namespace cairn::cli
