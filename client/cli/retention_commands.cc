// `cairn ckpt retention` (the rules of a directory) and `cairn ckpt prune` (apply rules once, now).
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/arguments.h"
#include "client/cli/checkpoint_table.h"
#include "client/cli/confirm.h"
#include "client/cli/format.h"
#include "client/cli/json_shapes.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

struct RuleOptions {
  std::string directory;
  RetentionPolicy policy;
  bool clear = false;
  Consent consent;
};

void AddRules(CLI::App* command, const std::shared_ptr<RuleOptions>& options) {
  command->add_option("dir", options->directory, "Directory of checkpoints")
      ->required()
      ->type_name("DIR");
  command->add_option("--keep-last", options->policy.keep_last, "Keep the newest N")
      ->check(CLI::Range(uint32_t{1}, UINT32_MAX))
      ->type_name("N");
  command
      ->add_option("--keep-every", options->policy.keep_every_steps,
                   "Keep those whose step is divisible by K")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 62))
      ->type_name("K");
  AddDurationOption(command, "--keep-newer-than", &options->policy.keep_newer_than,
                    "Keep those committed less than this ago: 12h, 7d");
}

bool HasRule(const RetentionPolicy& policy) {
  return policy.keep_last != 0 || policy.keep_every_steps != 0 ||
         policy.keep_newer_than != absl::ZeroDuration();
}

std::string DescribeRules(const RetentionPolicy& policy) {
  std::vector<std::string> rules;
  if (policy.keep_last != 0) rules.push_back(absl::StrCat("the newest ", policy.keep_last));
  if (policy.keep_every_steps != 0) {
    rules.push_back(absl::StrCat("every step divisible by ", policy.keep_every_steps));
  }
  if (policy.keep_newer_than != absl::ZeroDuration()) {
    rules.push_back(absl::StrCat("those newer than ", HumanDuration(policy.keep_newer_than)));
  }
  if (rules.empty()) return "keeps all checkpoints: no rule is set";
  return absl::StrCat("keeps ", absl::StrJoin(rules, ", "), ", the newest and pinned ones");
}

// The rules as they would be, and what they would remove of what is there.
int DryRunRetention(Context& context, Client& client, const RuleOptions& options) {
  const std::string directory = PlainPath(options.directory);
  std::vector<CheckpointInfo> removed;
  if (HasRule(options.policy)) {
    auto pruned = client.PruneCheckpoints(directory, options.policy, Client::PruneMode::kDryRun);
    if (!pruned.ok())
      return context.Fail({"cannot tell what would go from", directory, pruned.status()});
    removed = *std::move(pruned);
  }
  if (context.json()) {
    Json json = {{"path", directory}};
    json.update(RetentionJson(options.policy));
    json["dry_run"] = true;
    json["would_remove"] = Json::array();
    for (const CheckpointInfo& info : removed) json["would_remove"].push_back(info.path);
    context.PrintJson(json);
    return kExitOk;
  }
  context.Print(absl::StrCat("would be: ", Printable(directory), " ", DescribeRules(options.policy),
                             "\nremoved after the next commit, of what is there: ", removed.size(),
                             "\n"));
  for (const CheckpointInfo& info : removed)
    context.Print(absl::StrCat("  ", Printable(info.path), "\n"));
  return kExitOk;
}

int RunRetention(Context& context, const RuleOptions& options) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string directory = PlainPath(options.directory);
  if (options.clear && HasRule(options.policy)) {
    return context.Fail({"bad arguments", "",
                         absl::InvalidArgumentError("--clear goes with no other rule; see 'cairn "
                                                    "ckpt retention --help'")});
  }
  const bool changes = options.clear || HasRule(options.policy);
  if (changes && options.consent.dry_run) return DryRunRetention(context, *client, options);
  if (changes) {
    const absl::Status set = client->SetRetention(directory, options.policy);
    if (!set.ok()) return context.Fail({"cannot set the retention of", directory, set});
  }
  auto policy = client->GetRetention(directory);
  if (!policy.ok())
    return context.Fail({"cannot get the retention of", directory, policy.status()});
  if (context.json()) {
    Json json = {{"path", directory}};
    json.update(RetentionJson(*policy));
    context.PrintJson(json);
  } else {
    context.Print(absl::StrCat(Printable(directory), " ", DescribeRules(*policy), "\n"));
  }
  return kExitOk;
}

// What a prune removes, or would.
struct Pruned {
  std::string directory;
  std::vector<CheckpointInfo> checkpoints;
  Client::PruneMode mode;

  uint64_t Bytes() const {
    uint64_t bytes = 0;
    for (const CheckpointInfo& info : checkpoints) bytes += info.size_bytes;
    return bytes;
  }
  std::string Summary() const {
    return absl::StrCat(checkpoints.size(),
                        checkpoints.size() == 1 ? " checkpoint, " : " checkpoints, ",
                        HumanBytes(Bytes()));
  }
};

absl::StatusOr<Pruned> Prune(Client& client, const RuleOptions& options, Client::PruneMode mode) {
  const std::string directory = PlainPath(options.directory);
  std::optional<RetentionPolicy> policy;
  if (HasRule(options.policy)) policy = options.policy;
  ASSIGN_OR_RETURN(std::vector<CheckpointInfo> removed,
                   client.PruneCheckpoints(directory, policy, mode));
  return Pruned{directory, std::move(removed), mode};
}

void ReportPruned(Context& context, const Pruned& pruned) {
  const bool dry_run = pruned.mode == Client::PruneMode::kDryRun;
  if (context.json()) {
    Json list = Json::array();
    for (const CheckpointInfo& info : pruned.checkpoints) list.push_back(CheckpointJson(info));
    context.PrintJson({{"path", pruned.directory},
                       {"dry_run", dry_run},
                       {"removed_bytes", pruned.Bytes()},
                       {"removed", std::move(list)}});
    return;
  }
  if (!pruned.checkpoints.empty()) {
    context.Print(
        RenderCheckpoints(pruned.checkpoints, context.clock().WallNow(), context.style()));
  }
  context.Print(absl::StrCat(dry_run ? "would remove " : "removed ", pruned.Summary(), "\n"));
}

// Nothing: go on. Else it is already reported, and the result is the exit code.
std::optional<int> ConfirmPrune(Context& context, Client& client, const RuleOptions& options,
                                const Deed& deed) {
  const auto would = Prune(client, options, Client::PruneMode::kDryRun);
  if (!would.ok()) return context.Fail({"cannot prune", deed.subject, would.status()});
  if (would->checkpoints.empty()) return std::nullopt;
  const std::string table =
      RenderCheckpoints(would->checkpoints, context.clock().WallNow(), TextStyle::kPlain);
  return Ask(context, options.consent, deed, absl::StrCat(table, "Remove ", would->Summary(), "?"));
}

int RunPrune(Context& context, const RuleOptions& options) {
  const Consent& consent = options.consent;
  const Deed deed = {"prune", PlainPath(options.directory)};
  if (!consent.dry_run) {
    const std::optional<int> refused = RefuseUnasked(context, consent, deed);
    if (refused.has_value()) return *refused;
  }
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  if (!consent.dry_run && !consent.yes) {
    const std::optional<int> refused = ConfirmPrune(context, *client, options, deed);
    if (refused.has_value()) return *refused;
  }
  const auto pruned = Prune(
      *client, options, consent.dry_run ? Client::PruneMode::kDryRun : Client::PruneMode::kRemove);
  if (!pruned.ok()) return context.Fail({"cannot prune", deed.subject, pruned.status()});
  ReportPruned(context, *pruned);
  return kExitOk;
}

}  // namespace

void AddRetentionCommands(CLI::App* checkpoint, Command* chosen) {
  auto prune = std::make_shared<RuleOptions>();
  CLI::App* prune_app = checkpoint->add_subcommand("prune", "Remove what no rule keeps, once, now");
  AddRules(prune_app, prune);
  AddYesOption(prune_app, &prune->consent);
  AddDryRunOption(prune_app, &prune->consent);
  prune_app->footer(
      R"(Without a rule here, the directory's own rules (ckpt retention) apply. The newest checkpoint
and pinned ones always stay. Asks before, on a terminal.

Examples:
  cairn ckpt prune models/run7 --keep-last 3 --dry-run
  cairn ckpt prune models/run7 --keep-last 3 --keep-every 1000 --keep-newer-than 7d --yes)");
  prune_app->callback([prune, chosen] {
    *chosen = [prune](Context& context) { return RunPrune(context, *prune); };
  });

  auto retention = std::make_shared<RuleOptions>();
  CLI::App* retention_app =
      checkpoint->add_subcommand("retention", "Show or set the rules applied after each commit");
  AddRules(retention_app, retention);
  retention_app->add_flag("--clear", retention->clear, "Drop all rules: keep everything");
  AddDryRunOption(retention_app, &retention->consent);
  retention_app->footer(R"(Rules given replace all that were set.

Examples:
  cairn ckpt retention models/run7
  cairn ckpt retention models/run7 --keep-last 5 --dry-run
  cairn ckpt retention models/run7 --keep-last 5 --keep-every 10000)");
  retention_app->callback([retention, chosen] {
    *chosen = [retention](Context& context) { return RunRetention(context, *retention); };
  });
}

}  // namespace cairn::cli
