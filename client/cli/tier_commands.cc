// `cairn tier add|check|ls|show|rm`: the cold stores that the cluster may use.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cairn/admin.h"
#include "client/cli/arguments.h"
#include "client/cli/confirm.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/table.h"
#include "client/cli/tier_text.h"

namespace cairn::cli {
namespace {

struct AddArguments {
  TierSpec spec;
  AddTierOptions options;
};

struct TierArguments {
  std::string name;
  Consent consent;
};

struct StoreOption {
  const char* name;  // of the spec, and with "--" of the command
  const char* type;
  const char* help;
};

constexpr StoreOption kStoreOptions[] = {
    {"endpoint", "URL", "Of S3: https://HOST[:PORT] or http://... [AWS in the region]"},
    {"region", "REGION", "Of S3: where the bucket is; needed for AWS [us-east-1]"},
    {"path-style", "yes|no",
     "Of S3: whether the bucket is in the path or in the host's name [yes with --endpoint]"},
    {"ca-file", "FILE", "Of S3: what the endpoint's certificate is checked by [the system's]"},
    {"credentials", "SOURCE",
     "Of S3: env, file:/PATH[#PROFILE], instance or container, on every node [env]"},
    {"etag", "md5|opaque", "Of S3: what the service's ETags are [md5]"},
};

std::string TierName(std::string_view name) { return absl::StrCat("tier ", Printable(name)); }

absl::Status WithTierHint(const absl::Status& status) {
  if (!absl::IsNotFound(status) || absl::StrContains(status.message(), "; ")) return status;
  return absl::NotFoundError(absl::StrCat(status.message(), "; 'cairn tier ls' lists the tiers"));
}

Json TierJson(const TierInfo& tier) {
  Json options = Json::object();
  for (const auto& [name, value] : tier.spec.options) options[name] = value;
  return {{"name", tier.spec.name},
          {"location", tier.spec.location},
          {"options", options},
          {"objects", tier.objects},
          {"stored_bytes", tier.stored_bytes},
          {"live_bytes", tier.live_bytes},
          {"archive_paused", tier.control.archive_paused},
          {"recall_paused", tier.control.recall_paused},
          {"added_at", UtcTime(absl::FromUnixNanos(tier.added_at_ns))}};
}

int RunAdd(Context& context, const AddArguments& arguments) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const auto added = Admin(*client).AddTier(arguments.spec, arguments.options);
  if (!added.ok())
    return context.Fail({"cannot add", TierName(arguments.spec.name), added.status()});
  const TierSpec& spec = added->tier.spec;
  if (context.json()) {
    Json document = TierJson(added->tier);
    document["existed"] = added->existed;
    document["nodes_ok"] = added->nodes_ok;
    context.PrintJson(document);
  } else if (added->existed) {
    context.Print(absl::StrCat(TierName(spec.name), " is there already, at ",
                               Printable(spec.location), "\n"));
  } else {
    context.Print(absl::StrCat(
        TierName(spec.name), " is at ", Printable(spec.location),
        arguments.options.unchecked
            ? "; try it with 'cairn tier check'"
            : absl::StrCat("; ", added->nodes_ok,
                           added->nodes_ok == 1 ? " node has" : " nodes have", " tried it"),
        "\n"));
  }
  return kExitOk;
}

Json CheckJson(const TierCheck& check) {
  Json steps = Json::array();
  for (const TierCheck::Step& step : check.steps) {
    steps.push_back({{"name", step.name},
                     {"slowest_us", absl::ToInt64Microseconds(step.slowest)},
                     {"slowest_node", step.slowest_node}});
  }
  Json failures = Json::array();
  for (const TierCheck::Failure& failure : check.failures) {
    failures.push_back({{"node", failure.node},
                        {"step", failure.step},
                        {"code", absl::StatusCodeToString(failure.status.code())},
                        {"error", std::string(failure.status.message())},
                        {"hint", failure.hint}});
  }
  return {{"name", check.tier.spec.name},     {"location", check.tier.spec.location},
          {"nodes_asked", check.nodes_asked}, {"nodes_ok", check.nodes_ok},
          {"nodes_away", check.nodes_away},   {"steps", std::move(steps)},
          {"failures", std::move(failures)}};
}

std::string RenderCheck(const TierCheck& check, TextStyle style) {
  std::string out =
      absl::StrCat(TierName(check.tier.spec.name), " at ", Printable(check.tier.spec.location),
                   ": ", check.nodes_ok, " of ", check.nodes_asked,
                   check.nodes_asked == 1 ? " node" : " nodes", " can use it",
                   check.nodes_away == 0
                       ? ""
                       : absl::StrCat(" (", check.nodes_away,
                                      check.nodes_away == 1 ? " more is" : " more are", " down)"),
                   "\n");
  if (!check.steps.empty()) {
    Table steps({{"SLOWEST", Align::kRight}, {"NODE", Align::kRight}, {"STEP"}});
    for (const TierCheck::Step& step : check.steps)
      steps.AddRow({HumanDuration(step.slowest), absl::StrCat(step.slowest_node), step.name});
    absl::StrAppend(&out, "\n", steps.Render(style));
  }
  for (const TierCheck::Failure& failure : check.failures) {
    absl::StrAppend(&out, "\n", Toned("failed", Tone::kBad, style), "  node ", failure.node,
                    failure.step.empty() ? "" : ", ", Printable(failure.step), ": ",
                    Printable(std::string(failure.status.message())));
    if (!failure.hint.empty()) absl::StrAppend(&out, "\n        ", Printable(failure.hint));
    absl::StrAppend(&out, "\n");
  }
  const size_t untold = check.nodes_asked - check.nodes_ok - check.failures.size();
  if (untold > 0)
    absl::StrAppend(&out, "\n", untold,
                    untold == 1 ? " more node failed\n" : " more nodes failed\n");
  return out;
}

int RunCheck(Context& context, const std::string& name) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const auto check = Admin(*client).CheckTier(name);
  if (!check.ok())
    return context.Fail({"cannot check", TierName(name), WithTierHint(check.status())});
  if (context.json()) {
    context.PrintJson(CheckJson(*check));
  } else {
    context.Print(RenderCheck(*check, context.style()));
  }
  return check->nodes_ok == check->nodes_asked ? kExitOk : kExitError;
}

int RunList(Context& context) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const auto tiers = Admin(*client).Tiers();
  if (!tiers.ok()) return context.Fail({"cannot list the tiers", "", tiers.status()});
  if (context.json()) {
    JsonList list(&context);
    for (const TierInfo& tier : *tiers) list.Add(TierJson(tier));
    list.Finish();
    return kExitOk;
  }
  Table table({{"TIER"},
               {"AGE", Align::kRight},
               {"OBJECTS", Align::kRight},
               {"SIZE", Align::kRight},
               {"LOCATION"}});
  for (const TierInfo& tier : *tiers) {
    table.AddRow({tier.spec.name,
                  HumanAge(absl::FromUnixNanos(tier.added_at_ns), context.clock().WallNow()),
                  absl::StrCat(tier.objects), HumanBytes(tier.stored_bytes), tier.spec.location});
  }
  context.Print(table.Render(context.style()));
  return kExitOk;
}

int RunShow(Context& context, const std::string& name) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const auto tiers = Admin(*client).Tiers();
  if (!tiers.ok()) return context.Fail({"cannot show", TierName(name), tiers.status()});
  for (const TierInfo& tier : *tiers) {
    if (tier.spec.name != name) continue;
    if (context.json()) {
      context.PrintJson(TierJson(tier));
      return kExitOk;
    }
    std::vector<std::pair<std::string, std::string>> lines = {{"tier", tier.spec.name},
                                                              {"location", tier.spec.location}};
    lines.insert(lines.end(), tier.spec.options.begin(), tier.spec.options.end());
    lines.emplace_back("added", UtcTime(absl::FromUnixNanos(tier.added_at_ns)));
    lines.emplace_back("holds",
                       absl::StrCat(tier.objects, " objects, ", HumanBytes(tier.stored_bytes),
                                    ", of which files use ", HumanBytes(tier.live_bytes)));
    lines.emplace_back("archive", tier.control.archive_paused ? "paused" : "on");
    lines.emplace_back("fetch", tier.control.recall_paused ? "paused" : "on");
    lines.emplace_back("bandwidth", DescribeLimits(tier.control.limits));
    context.Print(RenderProperties(lines, context.style()));
    return kExitOk;
  }
  return context.Fail(
      {"cannot show", TierName(name), WithTierHint(absl::NotFoundError("there is none"))});
}

int RunRemove(Context& context, const TierArguments& arguments) {
  const std::string name = TierName(arguments.name);
  const bool asks = !arguments.consent.yes && !arguments.consent.dry_run;
  const Deed deed = {"remove", name};
  if (asks) {
    const std::optional<int> refused = RefuseUnasked(context, arguments.consent, deed);
    if (refused.has_value()) return *refused;
  }
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Admin admin(*client);
  if (asks) {
    const absl::Status possible = admin.RemoveTier(arguments.name, /*dry_run=*/true);
    if (!possible.ok()) return context.Fail({"cannot remove", name, WithTierHint(possible)});
    const std::optional<int> refused =
        Ask(context, arguments.consent, deed,
            absl::StrCat("The cluster forgets ", name,
                         "; what is in its store stays there.\nRemove it?"));
    if (refused.has_value()) return *refused;
  }
  const absl::Status removed = admin.RemoveTier(arguments.name, arguments.consent.dry_run);
  if (!removed.ok()) return context.Fail({"cannot remove", name, WithTierHint(removed)});
  if (context.json()) {
    Json done = {{"name", arguments.name}, {"removed", !arguments.consent.dry_run}};
    if (arguments.consent.dry_run) done["dry_run"] = true;
    context.PrintJson(done);
  } else {
    context.Print(
        absl::StrCat(arguments.consent.dry_run ? "would remove " : "removed ", name, "\n"));
  }
  return kExitOk;
}

void AddName(CLI::App* command, std::string* name) {
  command->add_option("tier", *name, "The tier's name in 'cairn tier ls'")
      ->required()
      ->type_name("TIER");
}

void AddAdd(CLI::App* tier, Command* chosen) {
  auto arguments = std::make_shared<AddArguments>();
  CLI::App* add = tier->add_subcommand("add", "Add a cold tier, once all nodes can use it");
  add->add_option("tier", arguments->spec.name,
                  "Its name in the cluster: a to z, 0 to 9 and \"-\", beginning with a letter")
      ->required()
      ->type_name("TIER");
  add->add_option("location", arguments->spec.location,
                  "s3://BUCKET[/PREFIX], or /PATH of a directory that every node has mounted")
      ->required()
      ->type_name("LOCATION");
  for (const StoreOption& option : kStoreOptions) {
    add->add_option_function<std::string>(
           absl::StrCat("--", option.name),
           [arguments, name = option.name](const std::string& value) {
             arguments->spec.options.emplace_back(name, value);
           },
           option.help)
        ->type_name(option.type);
  }
  add->add_flag("--unchecked", arguments->options.unchecked, "Also if nodes cannot use it now");
  add->footer(
      R"(Every node that is up writes, reads, lists and deletes a probe first; what fails is told, with what to do about
it. An empty directory is made a store, by a marker, so that a disk that is not mounted is not taken for it.
Secrets are never named here: nodes read them from their environment (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY), from a file of their own, or from the service that their machine has for it.

Exit codes: 0 it is there, 1 refused or failed, 4 unreachable.

Examples:
  cairn tier add archive s3://checkpoints --region eu-central-1 --credentials instance
  cairn tier add minio s3://cairn/prod --endpoint https://minio.example:9000 --ca-file /etc/ssl/minio.pem
  cairn tier add disks /mnt/archive)");
  add->callback([arguments, chosen] {
    *chosen = [arguments](Context& context) { return RunAdd(context, *arguments); };
  });
}

void AddCheck(CLI::App* tier, Command* chosen) {
  auto name = std::make_shared<std::string>();
  CLI::App* check =
      tier->add_subcommand("check", "Have all nodes try a tier, and say what is wrong");
  AddName(check, name.get());
  check->footer(
      R"(Each node that is up writes two objects, one of them in parts, reads them whole and by ranges, lists and
deletes them. Shown is how long each step took on the slowest node, and of each node that failed the
first step that did.

Exit codes: 0 all nodes can use it, 1 some cannot, 4 unreachable.

Examples:
  cairn tier check archive
  cairn tier check archive --output json)");
  check->callback(
      [name, chosen] { *chosen = [name](Context& context) { return RunCheck(context, *name); }; });
}

}  // namespace

void AddTierCommands(CLI::App* app, Command* chosen) {
  CLI::App* tier = app->add_subcommand(
      "tier", "Manage cold tiers: where they are, what goes there, and what comes back");
  tier->require_subcommand(1);
  tier->footer(
      "Examples:\n  cairn tier add archive s3://checkpoints --region eu-central-1\n"
      "  cairn tier check archive");

  CLI::App* ls = tier->add_subcommand("ls", "List the cold tiers");
  ls->footer("Examples:\n  cairn tier ls\n  cairn tier ls --output json");
  ls->callback([chosen] { *chosen = [](Context& context) { return RunList(context); }; });

  auto shown = std::make_shared<std::string>();
  CLI::App* show = tier->add_subcommand("show", "Show where a tier is and how it is reached");
  show->alias("info");
  AddName(show, shown.get());
  show->footer("Examples:\n  cairn tier show archive\n  cairn tier show archive --output json");
  show->callback([shown, chosen] {
    *chosen = [shown](Context& context) { return RunShow(context, *shown); };
  });

  AddAdd(tier, chosen);
  AddCheck(tier, chosen);

  auto removed = std::make_shared<TierArguments>();
  CLI::App* rm = tier->add_subcommand("rm", "Forget a tier; what is in its store stays there");
  AddName(rm, &removed->name);
  AddYesOption(rm, &removed->consent);
  AddDryRunOption(rm, &removed->consent);
  rm->footer("Examples:\n  cairn tier rm archive\n  cairn tier rm archive --yes");
  rm->callback([removed, chosen] {
    *chosen = [removed](Context& context) { return RunRemove(context, *removed); };
  });
  AddTierPolicyCommands(tier, chosen);
  AddTierMoveCommands(tier, chosen);
}

}  // namespace cairn::cli
