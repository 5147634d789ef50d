// `cairn node show|drain|undrain|rm|ok-to-stop`: what is to become of nodes. `node ls` is in
// status_command.cc; how far the moving is, rebuild_command.cc.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cairn/admin.h"
#include "client/cli/arguments.h"
#include "client/cli/confirm.h"
#include "client/cli/format.h"
#include "client/cli/losses_text.h"
#include "client/cli/status_document.h"
#include "client/cli/table.h"
#include "client/cli/watch.h"

namespace cairn::cli {
namespace {

struct NodeArguments {
  uint32_t node = 0;
  bool force = false;
  Consent consent;
};

struct Change {
  NodeAction action;
  std::string name;   // "drain"
  std::string done;   // after "node 3 "
  std::string error;  // before "node 3"
  std::string would;  // before "node 3", of a dry run
};

std::string NodeName(uint32_t node) { return absl::StrCat("node ", node); }

uint32_t ParseNode(const std::string& text) {
  uint32_t node = 0;
  if (absl::SimpleAtoi(text, &node) && node != 0) return node;
  throw CLI::ValidationError(
      "ID", absl::StrCat("'", text, "' is not a node: give its number in 'cairn node ls'"));
}

void AddNode(CLI::App* command, const std::shared_ptr<NodeArguments>& arguments) {
  command
      ->add_option_function<std::string>(
          "node", [arguments](const std::string& text) { arguments->node = ParseNode(text); },
          "The node's number in 'cairn node ls'")
      ->required()
      ->type_name("ID");
}

// Of a node, not of a file: the hint is another one.
absl::Status WithNodeHint(const absl::Status& status) {
  if (absl::StrContains(status.message(), "; ")) return status;
  const char* hint = "";
  if (absl::IsNotFound(status)) hint = "; 'cairn node ls' lists the nodes";
  if (absl::IsFailedPrecondition(status)) hint = "; see 'cairn node ls' and 'cairn rebuild status'";
  return absl::Status(status.code(), absl::StrCat(status.message(), hint));
}

int RunChange(Context& context, const NodeArguments& arguments, const Change& change) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  SetNodeOptions options;
  options.force = arguments.force;
  options.dry_run = arguments.consent.dry_run;
  const auto losses = Admin(*client).SetNode(arguments.node, change.action, options);
  if (!losses.ok()) {
    return context.Fail({change.error, NodeName(arguments.node), WithNodeHint(losses.status())});
  }
  if (context.json()) {
    Json done = {{"node", arguments.node}, {"action", change.name}, {"force", arguments.force}};
    if (change.action == NodeAction::kRemove) done["losses"] = *losses;
    if (options.dry_run) done["dry_run"] = true;
    context.PrintJson(done);
  } else if (options.dry_run) {
    context.Print(absl::StrCat("would ", change.would, " ", NodeName(arguments.node), "\n",
                               LossesText(*losses)));
  } else {
    context.Print(
        absl::StrCat(NodeName(arguments.node), " ", change.done, "\n", LossesText(*losses)));
  }
  return kExitOk;
}

// " (host3, 10.0.0.3:7440, up; 2 targets, 1.20 TiB)".
std::string NodeDetails(const Json& node, const Json& status) {
  std::vector<std::string> known;
  for (const char* name : {"name", "endpoint", "state"}) {
    const auto text = node[name].get<std::string>();
    if (!text.empty()) known.push_back(Printable(text));
  }
  size_t targets = 0;
  uint64_t used_bytes = 0;
  for (const Json& target : status["targets"]) {
    if (target["node"] != node["id"]) continue;
    ++targets;
    used_bytes += target["used_bytes"].get<uint64_t>();
  }
  return absl::StrCat(" (", absl::StrJoin(known, ", "), "; ", targets,
                      targets == 1 ? " target, " : " targets, ", HumanBytes(used_bytes), ")");
}

// `node` is null where it is not known.
std::string RemovalQuestion(uint32_t id, const Json* node, const Json& status,
                            const Losses& losses) {
  const bool gone = node != nullptr && ((*node)["state"] == "down" || (*node)["state"] == "out");
  return absl::StrCat(
      NodeName(id), node == nullptr ? "" : NodeDetails(*node, status), "\n",
      gone ? "It does not answer: what it holds counts as lost, and is made again elsewhere from "
             "what is left.\n"
           : "What it holds is moved away first. Then it leaves the cluster for good.\n",
      LossesText(losses), "Remove it?");
}

// Nothing: go on. Else it is already reported, and the result is the exit code.
std::optional<int> ConfirmRemoval(Context& context, const NodeArguments& arguments) {
  const uint32_t id = arguments.node;
  const Deed deed = {"remove", NodeName(id)};
  const std::optional<int> refused = RefuseUnasked(context, arguments.consent, deed);
  if (refused.has_value()) return refused;
  int code = kExitOk;
  const std::optional<Json> status = GetStatus(context, &code);
  if (!status.has_value()) return code;
  const Json& nodes = (*status)["nodes"];
  const auto node =
      std::find_if(nodes.begin(), nodes.end(), [id](const Json& each) { return each["id"] == id; });
  // The status of a very large cluster comes without its nodes: then the service knows.
  if (node == nodes.end() && !nodes.empty()) {
    return context.Fail(
        {"cannot remove", NodeName(id), WithNodeHint(absl::NotFoundError("there is none"))});
  }
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  SetNodeOptions options;
  options.force = arguments.force;
  options.dry_run = true;
  const auto losses = Admin(*client).SetNode(id, NodeAction::kRemove, options);
  if (!losses.ok())
    return context.Fail({"cannot remove", NodeName(id), WithNodeHint(losses.status())});
  const Json* known = node == nodes.end() ? nullptr : &*node;
  return Ask(context, arguments.consent, deed, RemovalQuestion(id, known, *status, *losses));
}

int RunRemove(Context& context, const NodeArguments& arguments) {
  if (!arguments.consent.yes && !arguments.consent.dry_run) {
    const std::optional<int> refused = ConfirmRemoval(context, arguments);
    if (refused.has_value()) return *refused;
  }
  return RunChange(context, arguments,
                   {NodeAction::kRemove, "rm",
                    "is being removed, and is gone once it holds nothing any more; see 'cairn "
                    "rebuild status'",
                    "cannot remove", "remove"});
}

// What a node's targets are together.
std::string TargetsText(const Json& targets) {
  std::vector<std::string> numbers;
  uint64_t used = 0, capacity = 0;
  for (const Json& target : targets) {
    numbers.push_back(absl::StrCat(target["id"].get<uint64_t>()));
    used += target["used_bytes"].get<uint64_t>();
    capacity += target["capacity_bytes"].get<uint64_t>();
  }
  if (numbers.empty()) return "none";
  return absl::StrCat(absl::StrJoin(numbers, ", "), "; ", HumanBytes(used), " of ",
                      HumanBytes(capacity), " used");
}

std::string RenderNode(const Json& node, TextStyle style) {
  const auto text = [&node](const char* name) {
    const auto value = node[name].get<std::string>();
    return value.empty() ? "-" : value;
  };
  std::string state = text("state");
  if (node["removing"] == true) {
    absl::StrAppend(&state, ", removing");
  } else if (node["draining"] == true) {
    absl::StrAppend(&state, ", draining");
  }
  return RenderProperties({{"node", absl::StrCat(node["id"].get<uint64_t>())},
                           {"state", state},
                           {"since", text("state_since")},
                           {"endpoint", text("endpoint")},
                           {"host", text("name")},
                           {"rack", text("rack")},
                           {"targets", TargetsText(node["targets"])}},
                          style);
}

Look LookAtNode(Context& context, uint32_t id) {
  int code = kExitOk;
  const std::optional<Json> status = GetStatus(context, &code);
  if (!status.has_value()) return {code};
  for (Json node : (*status)["nodes"]) {
    if (node["id"] != id) continue;
    node["targets"] = Json::array();
    for (const Json& target : (*status)["targets"]) {
      if (target["node"] == id) node["targets"].push_back(target);
    }
    if (context.json()) {
      context.PrintJson(node);
    } else {
      context.Print(RenderNode(node, context.style()));
    }
    return {kExitOk};
  }
  return {context.Fail(
      {"cannot show", NodeName(id), WithNodeHint(absl::NotFoundError("there is none"))})};
}

int RunOkToStop(Context& context, const std::vector<uint32_t>& nodes) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string names =
      absl::StrCat(nodes.size() == 1 ? "node " : "nodes ", absl::StrJoin(nodes, ", "));
  const auto advice = Admin(*client).OkToStop(nodes);
  if (!advice.ok()) return context.Fail({"cannot tell of", names, WithNodeHint(advice.status())});
  if (context.json()) {
    context.PrintJson({{"nodes", nodes}, {"ok", advice->ok}, {"reasons", advice->reasons}});
  } else if (advice->ok) {
    context.Print(
        absl::StrCat("yes: without ", names, " everything stays readable and writable\n"));
  } else {
    context.Print(absl::StrCat("no: ", names, " should not be stopped",
                               nodes.size() == 1 ? "\n" : " at once\n"));
    for (const std::string& reason : advice->reasons)
      context.Print(absl::StrCat("  ", Printable(reason), "\n"));
  }
  return advice->ok ? kExitOk : kExitError;
}

void AddDrain(CLI::App* node, Command* chosen) {
  auto drained = std::make_shared<NodeArguments>();
  CLI::App* drain = node->add_subcommand("drain", "Move away what a node holds");
  AddNode(drain, drained);
  drain->add_flag("--force", drained->force,
                  "Also where some of it cannot be moved: too few other nodes");
  AddDryRunOption(drain, &drained->consent);
  drain->footer(
      R"(New data goes to other nodes from now on. The moving goes on by itself, and the node stays in the
cluster: readable, and to be used again with undrain.

Exit codes: 0 it is noted, 1 refused or failed, 4 unreachable.

Examples:
  cairn node drain 3 --dry-run
  cairn node drain 3
  cairn node drain 3 && cairn rebuild status --watch)");
  drain->callback([drained, chosen] {
    *chosen = [drained](Context& context) {
      return RunChange(context, *drained,
                       {NodeAction::kDrain, "drain",
                        "is being drained: what it holds moves away; see 'cairn rebuild status'",
                        "cannot drain", "drain"});
    };
  });

  auto undrained = std::make_shared<NodeArguments>();
  CLI::App* undrain = node->add_subcommand("undrain", "Use a node again that was to be empty");
  AddNode(undrain, undrained);
  undrain->footer(
      R"(Takes back a drain, and an rm that has not come to its end. What has been moved stays where it is.

Exit codes: 0 it is noted, 1 refused or failed, 4 unreachable.

Examples:
  cairn node undrain 3)");
  undrain->callback([undrained, chosen] {
    *chosen = [undrained](Context& context) {
      return RunChange(context, *undrained,
                       {NodeAction::kUndrain, "undrain", "is used again", "cannot undrain", "use"});
    };
  });
}

void AddRemove(CLI::App* node, Command* chosen) {
  auto removed = std::make_shared<NodeArguments>();
  CLI::App* rm = node->add_subcommand("rm", "Drain a node and take it out of the cluster");
  AddNode(rm, removed);
  rm->add_flag("--force", removed->force,
               "Also where some of it cannot be moved, or is lost with the node");
  AddYesOption(rm, &removed->consent);
  AddDryRunOption(rm, &removed->consent);
  rm->footer(
      R"(What the node holds is moved away first. A node that is down counts as lost at once, and what it
held is made again from what is left; where too little is left for that, it takes --force. A removed
node's number is never used again.

Exit codes: 0 it is noted, 1 refused, not confirmed or failed, 4 unreachable.

Examples:
  cairn node rm 3
  cairn node rm 3 --dry-run
  cairn node rm 3 --yes && cairn rebuild status --watch)");
  rm->callback([removed, chosen] {
    *chosen = [removed](Context& context) { return RunRemove(context, *removed); };
  });
}

void AddShow(CLI::App* node, Command* chosen) {
  auto shown = std::make_shared<NodeArguments>();
  auto watch = std::make_shared<WatchOptions>();
  CLI::App* show = node->add_subcommand("show", "Show a node and what its targets hold");
  AddNode(show, shown);
  AddWatchOption(show, watch.get());
  show->footer("Examples:\n  cairn node show 3\n  cairn node show 3 --output json");
  show->callback([shown, watch, chosen] {
    *chosen = [shown, watch](Context& context) {
      return RunLooks(context, *watch, [&] { return LookAtNode(context, shown->node); });
    };
  });
}

void AddOkToStop(CLI::App* node, Command* chosen) {
  auto nodes = std::make_shared<std::vector<uint32_t>>();
  CLI::App* ok_to_stop =
      node->add_subcommand("ok-to-stop", "Tell whether nodes may be stopped, all at once");
  ok_to_stop
      ->add_option_function<std::vector<std::string>>(
          "node",
          [nodes](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) nodes->push_back(ParseNode(text));
          },
          "The nodes' numbers in 'cairn node ls'")
      ->required()
      ->type_name("ID...");
  ok_to_stop->footer(
      R"(They may when everything stays readable, and every redundancy in use writable. Stops nothing.

Exit codes: 0 yes, 1 no (the reasons are on stdout) or failed, 4 unreachable.

Examples:
  cairn node ok-to-stop 3
  cairn node ok-to-stop 3 4 --output json
  cairn node ok-to-stop 3 > /dev/null && ssh host3 systemctl restart cairnd)");
  ok_to_stop->callback([nodes, chosen] {
    *chosen = [nodes](Context& context) { return RunOkToStop(context, *nodes); };
  });
}

}  // namespace

void AddNodeCommands(CLI::App* node, Command* chosen) {
  AddShow(node, chosen);
  AddDrain(node, chosen);
  AddRemove(node, chosen);
  AddOkToStop(node, chosen);
}

}  // namespace cairn::cli
