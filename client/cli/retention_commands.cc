// `cairn ckpt retention` (the rules of a directory) and `cairn ckpt prune` (apply rules once, now).
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/arguments.h"
#include "client/cli/checkpoint_table.h"
#include "client/cli/format.h"
#include "client/cli/json_shapes.h"

namespace cairn::cli {
namespace {

struct RuleOptions {
  std::string directory;
  RetentionPolicy policy;
  bool clear = false;
  bool dry_run = false;
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
  if (options.clear || HasRule(options.policy)) {
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

int RunPrune(Context& context, const RuleOptions& options) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string directory = PlainPath(options.directory);
  std::optional<RetentionPolicy> policy;
  if (HasRule(options.policy)) policy = options.policy;
  auto removed = client->PruneCheckpoints(
      directory, policy, options.dry_run ? Client::PruneMode::kDryRun : Client::PruneMode::kRemove);
  if (!removed.ok()) return context.Fail({"cannot prune", directory, removed.status()});
  uint64_t bytes = 0;
  for (const CheckpointInfo& info : *removed) bytes += info.size_bytes;
  if (context.json()) {
    Json list = Json::array();
    for (const CheckpointInfo& info : *removed) list.push_back(CheckpointJson(info));
    context.PrintJson({{"path", directory},
                       {"dry_run", options.dry_run},
                       {"removed_bytes", bytes},
                       {"removed", std::move(list)}});
    return kExitOk;
  }
  if (!removed->empty()) {
    context.Print(RenderCheckpoints(*removed, context.clock().WallNow(), context.style()));
  }
  context.Print(absl::StrCat(options.dry_run ? "would remove " : "removed ", removed->size(),
                             removed->size() == 1 ? " checkpoint, " : " checkpoints, ",
                             HumanBytes(bytes), "\n"));
  return kExitOk;
}

}  // namespace

void AddRetentionCommands(CLI::App* checkpoint, Command* chosen) {
  auto prune = std::make_shared<RuleOptions>();
  CLI::App* prune_app = checkpoint->add_subcommand("prune", "Remove what no rule keeps, once, now");
  AddRules(prune_app, prune);
  prune_app->add_flag("-n,--dry-run", prune->dry_run, "Only say what would be removed");
  prune_app->footer(
      R"(Without a rule here, the directory's own rules (ckpt retention) apply. The newest checkpoint
and pinned ones always stay.

Examples:
  cairn ckpt prune models/run7 --keep-last 3 --dry-run
  cairn ckpt prune models/run7 --keep-last 3 --keep-every 1000 --keep-newer-than 7d)");
  prune_app->callback([prune, chosen] {
    *chosen = [prune](Context& context) { return RunPrune(context, *prune); };
  });

  auto retention = std::make_shared<RuleOptions>();
  CLI::App* retention_app =
      checkpoint->add_subcommand("retention", "Show or set the rules applied after each commit");
  AddRules(retention_app, retention);
  retention_app->add_flag("--clear", retention->clear, "Drop all rules: keep everything");
  retention_app->footer(R"(Rules given replace all that were set.

Examples:
  cairn ckpt retention models/run7
  cairn ckpt retention models/run7 --keep-last 5 --keep-every 10000)");
  retention_app->callback([retention, chosen] {
    *chosen = [retention](Context& context) { return RunRetention(context, *retention); };
  });
}

}  // namespace cairn::cli
