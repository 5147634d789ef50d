// `cairn target show|add|drain|undrain|rm|replace`: targets that come and go. `target ls` is in
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

struct TargetArguments {
  uint32_t target = 0;
  bool force = false;
  Consent consent;
};

struct AddArguments {
  uint32_t node = 0;
  NewTarget target;
  Consent consent;
};

struct Change {
  TargetAction action;
  std::string name;   // "drain"
  std::string done;   // after "target 7 "
  std::string error;  // before "target 7"
  std::string would;  // before "target 7", of a dry run
};

std::string TargetName(uint32_t target) { return absl::StrCat("target ", target); }

uint32_t ParseId(const std::string& text, const char* option, const char* noun) {
  uint32_t id = 0;
  if (absl::SimpleAtoi(text, &id) && id != 0) return id;
  throw CLI::ValidationError(option, absl::StrCat("'", text, "' is not a ", noun,
                                                  ": give its number in 'cairn ", noun, " ls'"));
}

void AddTarget(CLI::App* command, const std::shared_ptr<TargetArguments>& arguments) {
  command
      ->add_option_function<std::string>(
          "target",
          [arguments](const std::string& text) {
            arguments->target = ParseId(text, "ID", "target");
          },
          "The target's number in 'cairn target ls'")
      ->required()
      ->type_name("ID");
}

absl::Status WithTargetHint(const absl::Status& status) {
  if (absl::StrContains(status.message(), "; ")) return status;
  const char* hint = "";
  if (absl::IsNotFound(status)) hint = "; 'cairn target ls' lists the targets";
  if (absl::IsFailedPrecondition(status))
    hint = "; see 'cairn target ls' and 'cairn rebuild status'";
  return absl::Status(status.code(), absl::StrCat(status.message(), hint));
}

int RunChange(Context& context, const TargetArguments& arguments, const Change& change) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  SetTargetOptions options;
  options.force = arguments.force;
  options.dry_run = arguments.consent.dry_run;
  const auto losses = Admin(*client).SetTarget(arguments.target, change.action, options);
  if (!losses.ok()) {
    return context.Fail(
        {change.error, TargetName(arguments.target), WithTargetHint(losses.status())});
  }
  if (context.json()) {
    Json done = {{"target", arguments.target},
                 {"action", change.name},
                 {"force", arguments.force},
                 {"losses", *losses}};
    if (options.dry_run) done["dry_run"] = true;
    context.PrintJson(done);
  } else if (options.dry_run) {
    context.Print(absl::StrCat("would ", change.would, " ", TargetName(arguments.target), "\n",
                               LossesText(*losses)));
  } else {
    context.Print(
        absl::StrCat(TargetName(arguments.target), " ", change.done, "\n", LossesText(*losses)));
  }
  return kExitOk;
}

// " (node 3, up, /dev/nvme1n1; 1.20 TiB)".
std::string TargetDetails(const Json& target) {
  const auto path = target["path"].get<std::string>();
  return absl::StrCat(" (node ", target["node"].get<uint64_t>(), ", ",
                      Printable(target["state"].get<std::string>()),
                      path.empty() ? "" : absl::StrCat(", ", Printable(path)), "; ",
                      HumanBytes(target["used_bytes"].get<uint64_t>()), ")");
}

// Nothing: go on. Else it is already reported, and the result is the exit code.
std::optional<int> ConfirmRemoval(Context& context, const TargetArguments& arguments,
                                  const Change& change) {
  const std::string name = TargetName(arguments.target);
  const Deed deed = {"remove", name};
  const std::optional<int> refused = RefuseUnasked(context, arguments.consent, deed);
  if (refused.has_value()) return refused;
  int code = kExitOk;
  const std::optional<Json> status = GetStatus(context, &code);
  if (!status.has_value()) return code;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  SetTargetOptions options;
  options.force = arguments.force;
  options.dry_run = true;
  const auto losses = Admin(*client).SetTarget(arguments.target, change.action, options);
  if (!losses.ok()) return context.Fail({change.error, name, WithTargetHint(losses.status())});
  const Json& targets = (*status)["targets"];
  const auto target = std::find_if(targets.begin(), targets.end(), [&arguments](const Json& each) {
    return each["id"] == arguments.target;
  });
  return Ask(context, arguments.consent, deed,
             absl::StrCat(name, target == targets.end() ? "" : TargetDetails(*target),
                          "\nWhat can be read of it is moved away, the rest is made again "
                          "from other fragments. Then it leaves the cluster for good.\n",
                          LossesText(*losses), "Remove it?"));
}

int RunRemoval(Context& context, const TargetArguments& arguments, const Change& change) {
  if (!arguments.consent.yes && !arguments.consent.dry_run) {
    const std::optional<int> refused = ConfirmRemoval(context, arguments, change);
    if (refused.has_value()) return *refused;
  }
  return RunChange(context, arguments, change);
}

std::string RenderTarget(const Json& target, TextStyle style) {
  const auto number = [&target](const char* name) { return target[name].get<uint64_t>(); };
  auto state = target["state"].get<std::string>();
  if (target["removing"] == true) {
    absl::StrAppend(&state, ", removing");
  } else if (target["draining"] == true) {
    absl::StrAppend(&state, ", draining");
  }
  const auto path = target["path"].get<std::string>();
  return RenderProperties(
      {{"target", absl::StrCat(number("id"))},
       {"node", absl::StrCat(number("node"))},
       {"state", state},
       {"path", path.empty() ? "-" : path},
       {"space", absl::StrCat(HumanBytes(number("used_bytes")), " of ",
                              HumanBytes(number("capacity_bytes")), " used")},
       {"fragments", absl::StrCat(number("fragments"))},
       {"groups", absl::StrCat(number("groups"), ", of which ", number("moving_away"), " leave; ",
                               number("moving_here"), " come")}},
      style);
}

Look LookAtTarget(Context& context, uint32_t id) {
  int code = kExitOk;
  const std::optional<Json> status = GetStatus(context, &code);
  if (!status.has_value()) return {code};
  for (const Json& target : (*status)["targets"]) {
    if (target["id"] != id) continue;
    if (context.json()) {
      context.PrintJson(target);
    } else {
      context.Print(RenderTarget(target, context.style()));
    }
    return {kExitOk};
  }
  return {context.Fail(
      {"cannot show", TargetName(id), WithTargetHint(absl::NotFoundError("there is none"))})};
}

void AddShow(CLI::App* target, Command* chosen) {
  auto shown = std::make_shared<TargetArguments>();
  auto watch = std::make_shared<WatchOptions>();
  CLI::App* show = target->add_subcommand("show", "Show a target, its space and what moves");
  AddTarget(show, shown);
  AddWatchOption(show, watch.get());
  show->footer("Examples:\n  cairn target show 7\n  cairn target show 7 --watch");
  show->callback([shown, watch, chosen] {
    *chosen = [shown, watch](Context& context) {
      return RunLooks(context, *watch, [&] { return LookAtTarget(context, shown->target); });
    };
  });
}

std::string AddPlan(const AddArguments& arguments) {
  const NewTarget& target = arguments.target;
  return absl::StrCat(
      "a target to node ", arguments.node,
      target.path.empty() ? "" : absl::StrCat(" at ", Printable(target.path)),
      target.size_bytes == 0 ? "" : absl::StrCat(", ", HumanBytes(target.size_bytes)),
      target.wipe ? "; whatever is on it is lost" : "");
}

// What only the node can tell, as whether the device is in use, a dry run leaves out.
int DryRunAdd(Context& context, const AddArguments& arguments) {
  int code = kExitOk;
  const std::optional<Json> status = GetStatus(context, &code);
  if (!status.has_value()) return code;
  const Json& nodes = (*status)["nodes"];
  const bool known = std::any_of(nodes.begin(), nodes.end(), [&arguments](const Json& each) {
    return each["id"] == arguments.node;
  });
  // The status of a very large cluster comes without its nodes.
  if (!known && !nodes.empty()) {
    return context.Fail({"cannot add a target to", absl::StrCat("node ", arguments.node),
                         absl::NotFoundError("there is none; 'cairn node ls' lists the nodes")});
  }
  if (context.json()) {
    context.PrintJson({{"node", arguments.node},
                       {"path", arguments.target.path},
                       {"size_bytes", arguments.target.size_bytes},
                       {"wipe", arguments.target.wipe},
                       {"dry_run", true}});
  } else {
    context.Print(absl::StrCat("would add ", AddPlan(arguments), "\n"));
  }
  return kExitOk;
}

std::optional<int> ConfirmWipe(Context& context, const AddArguments& arguments) {
  if (!arguments.target.wipe) return std::nullopt;
  const Deed deed = {"wipe", Printable(arguments.target.path)};
  const std::optional<int> refused = RefuseUnasked(context, arguments.consent, deed);
  if (refused.has_value()) return refused;
  return Ask(context, arguments.consent, deed,
             absl::StrCat("This adds ", AddPlan(arguments), ".\nWipe it?"));
}

int RunAdd(Context& context, const AddArguments& arguments) {
  if (arguments.consent.dry_run) return DryRunAdd(context, arguments);
  if (const std::optional<int> refused = ConfirmWipe(context, arguments); refused.has_value())
    return *refused;
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const auto added = Admin(*client).AddTarget(arguments.node, arguments.target);
  const std::string node = absl::StrCat("node ", arguments.node);
  if (!added.ok()) return context.Fail({"cannot add a target to", node, added.status()});
  if (context.json()) {
    context.PrintJson({{"node", arguments.node},
                       {"target", added->target},
                       {"path", added->path},
                       {"capacity_bytes", added->capacity_bytes},
                       {"existed", added->existed}});
  } else if (added->existed) {
    context.Print(absl::StrCat(node, " has it already, as target ", added->target, "\n"));
  } else {
    context.Print(absl::StrCat("target ", added->target, " of ", node, ", ",
                               HumanBytes(added->capacity_bytes), " at ", Printable(added->path),
                               ": it takes data in a few seconds; see 'cairn target ls'\n"));
  }
  return kExitOk;
}

void AddAdd(CLI::App* target, Command* chosen) {
  auto arguments = std::make_shared<AddArguments>();
  CLI::App* add = target->add_subcommand("add", "Give a running node one more target");
  add->add_option_function<std::string>(
         "--node",
         [arguments](const std::string& text) {
           arguments->node = ParseId(text, "--node", "node");
         },
         "The node's number in 'cairn node ls'")
      ->required()
      ->type_name("ID");
  add->add_option("--path", arguments->target.path,
                  "Block device or file on the node, from the root (a file in its data directory)");
  AddBytesOption(add, "--size", &arguments->target.size_bytes, "Size of a file that is to be made");
  add->add_flag("--wipe", arguments->target.wipe,
                "Also if there is something on it, which is lost");
  AddYesOption(add, &arguments->consent);
  AddDryRunOption(add, &arguments->consent);
  add->footer(
      R"(The node makes a target of it, which gets an id of its own, is there after a restart, too, and is filled by
new data and by evening out ('cairn rebalance' hurries that). The node's configuration may name it
as well, but need not. What is in use, mounted, or not blank is refused; --wipe asks first.

Exit codes: 0 it is there, 1 refused or failed, 4 unreachable.

Examples:
  cairn target add --node 3 --path /dev/nvme1n1
  cairn target add --node 3 --path /mnt/nvme2/cairn.data --size 2TiB
  cairn target add --node 3 --path /dev/nvme1n1 --wipe --yes)");
  add->callback([arguments, chosen] {
    if (arguments->target.path.empty() && arguments->target.size_bytes == 0)
      throw CLI::ValidationError("--path", "say where: --path, or --size of a file to be made");
    *chosen = [arguments](Context& context) { return RunAdd(context, *arguments); };
  });
}

void AddDrain(CLI::App* target, Command* chosen) {
  auto drained = std::make_shared<TargetArguments>();
  CLI::App* drain = target->add_subcommand("drain", "Move away what a target holds");
  AddTarget(drain, drained);
  drain->add_flag("--force", drained->force,
                  "Also where some of it cannot be moved: too few other targets");
  AddDryRunOption(drain, &drained->consent);
  drain->footer(
      R"(As 'cairn node drain', of one target: it stays in the cluster, readable and to be used again with undrain.

Exit codes: 0 it is noted, 1 refused or failed, 4 unreachable.

Examples:
  cairn target drain 7)");
  drain->callback([drained, chosen] {
    *chosen = [drained](Context& context) {
      return RunChange(context, *drained,
                       {TargetAction::kDrain, "drain",
                        "is being drained: what it holds moves away; see 'cairn target ls'",
                        "cannot drain", "drain"});
    };
  });

  auto undrained = std::make_shared<TargetArguments>();
  CLI::App* undrain = target->add_subcommand("undrain", "Use a target again that was to be empty");
  AddTarget(undrain, undrained);
  undrain->footer(
      R"(Takes back a drain, and an rm or a replace that has not come to its end. What has been moved stays where it is.

Exit codes: 0 it is noted, 1 refused or failed, 4 unreachable.

Examples:
  cairn target undrain 7)");
  undrain->callback([undrained, chosen] {
    *chosen = [undrained](Context& context) {
      return RunChange(
          context, *undrained,
          {TargetAction::kUndrain, "undrain", "is used again", "cannot undrain", "use"});
    };
  });
}

void AddRemoval(CLI::App* target, Command* chosen, const char* help, const char* footer,
                Change change) {
  auto removed = std::make_shared<TargetArguments>();
  CLI::App* command = target->add_subcommand(change.name, help);
  AddTarget(command, removed);
  command->add_flag("--force", removed->force,
                    "Also where some of it cannot be moved, or is lost with the target");
  AddYesOption(command, &removed->consent);
  AddDryRunOption(command, &removed->consent);
  command->footer(footer);
  command->callback([removed, chosen, change] {
    *chosen = [removed, change](Context& context) { return RunRemoval(context, *removed, change); };
  });
}

}  // namespace

void AddTargetCommands(CLI::App* target, Command* chosen) {
  AddShow(target, chosen);
  AddAdd(target, chosen);
  AddDrain(target, chosen);
  AddRemoval(
      target, chosen, "Drain a target and take it out of the cluster",
      R"(What the target holds is moved to others first; it is refused where they have no room for it, or where
another redundancy would need more failure domains than would be left. One that has failed counts as
lost, and what it held is made again; where too little is left for that, it takes --force. Its number
is never used again, and its device is let go when cairnd is next started on its node.

Exit codes: 0 it is noted, 1 refused, not confirmed or failed, 4 unreachable.

Examples:
  cairn target rm 7
  cairn target rm 7 --yes && cairn rebuild status --watch)",
      {TargetAction::kRemove, "rm",
       "is being removed, and is gone once it holds nothing any more; see 'cairn target ls'",
       "cannot remove", "remove"});
  AddRemoval(
      target, chosen, "Take out a target whose device fails, for another to come",
      R"(At once, without waiting for what may come back: what can still be read of the target moves, the rest is made
again. What has nowhere to go for now waits for the new device, so give that to the node soon: 'cairn
target add', under the old path once this target has left the list. It gets a number of its own.

Exit codes: 0 it is noted, 1 refused, not confirmed or failed, 4 unreachable.

Examples:
  cairn target replace 7
  cairn target replace 7 --yes && cairn target add --node 3 --path /dev/nvme2n1)",
      {TargetAction::kReplace, "replace",
       "is being emptied and leaves; give its node another: 'cairn target add'", "cannot replace",
       "replace"});
}

}  // namespace cairn::cli
