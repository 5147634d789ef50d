// `cairn tier policy set|ls|rm|test`: what becomes of what is written below a directory.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cairn/tiering.h"
#include "client/cli/arguments.h"
#include "client/cli/confirm.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/table.h"
#include "client/cli/tier_text.h"

namespace cairn::cli {
namespace {

struct PolicyArguments {
  std::string path;
  TierPolicy policy;
  absl::Duration release_after, release_unread, delete_after;
  CLI::Option* release_after_given = nullptr;
  CLI::Option* release_unread_given = nullptr;
  CLI::Option* delete_after_given = nullptr;
  Consent consent;

  TierPolicy Complete() const {
    TierPolicy complete = policy;
    if (release_after_given->count() > 0) complete.release_after = release_after;
    if (release_unread_given->count() > 0) complete.release_unread = release_unread;
    if (delete_after_given->count() > 0) complete.delete_after = delete_after;
    if (complete.high_percent > 0 && complete.low_percent == 0)
      complete.low_percent = complete.high_percent > 10 ? complete.high_percent - 10 : 1;
    return complete;
  }
};

// What a policy would do, page by page. Returns the exit code.
int ShowVerdicts(Context& context, Tiering& tiering, const std::string& path,
                 const std::optional<TierPolicy>& policy) {
  JsonList list(&context);
  Table table({{"PLACE"},
               {"SIZE", Align::kRight},
               {"NOW"},
               {"NEXT"},
               {"WHEN", Align::kRight},
               {"PATH"},
               {"RULE"}});
  const absl::Time now = context.clock().WallNow();
  std::string from;
  while (true) {
    const auto page = tiering.TestPolicy(path, policy, from);
    if (!page.ok()) return context.Fail({"cannot test the policy of", path, page.status()});
    for (const TierVerdict& verdict : page->verdicts) {
      list.Add(VerdictJson(verdict));
      const Tone tone = verdict.now == TierStep::kDelete ? Tone::kWarning : Tone::kNone;
      table.AddRow({PlaceWord(verdict.place), HumanBytes(verdict.size_bytes),
                    Cell(StepWord(verdict.now), tone), StepWord(verdict.next),
                    HumanAhead(verdict.next_at, now), verdict.path, verdict.rule});
    }
    if (!page->more || page->next == from) break;
    from = page->next;
  }
  list.Finish();
  if (context.json()) return kExitOk;
  context.Print(table.empty() ? absl::StrCat("nothing is below ", Printable(path), "\n")
                              : table.Render(context.style()));
  return kExitOk;
}

int RunSet(Context& context, const PolicyArguments& arguments) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Tiering tiering(*client);
  const std::string path = PlainPath(arguments.path);
  const TierPolicy policy = arguments.Complete();
  if (arguments.consent.dry_run) return ShowVerdicts(context, tiering, path, policy);
  const auto replaced = tiering.SetPolicy(path, policy);
  if (!replaced.ok())
    return context.Fail({"cannot set the tier policy of", path, replaced.status()});
  if (context.json()) {
    context.PrintJson({{"path", path}, {"replaced", *replaced}, {"policy", PolicyJson(policy)}});
  } else {
    context.Print(absl::StrCat(Printable(path), ": ", DescribePolicy(policy), "\n"));
  }
  return kExitOk;
}

int RunTest(Context& context, const PolicyArguments& arguments) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Tiering tiering(*client);
  std::optional<TierPolicy> policy;
  if (!arguments.policy.tier.empty()) policy = arguments.Complete();
  return ShowVerdicts(context, tiering, PlainPath(arguments.path), policy);
}

int RunList(Context& context) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const auto policies = Tiering(*client).Policies();
  if (!policies.ok()) return context.Fail({"cannot list the tier policies", "", policies.status()});
  JsonList list(&context);
  Table table({{"PATH"}, {"AGE", Align::kRight}, {"POLICY"}});
  for (const PathPolicy& each : *policies) {
    Json json = {{"path", each.path}, {"set_at", UtcTime(each.set_at)}};
    json["policy"] = PolicyJson(each.policy);
    list.Add(std::move(json));
    table.AddRow(
        {each.path, HumanAge(each.set_at, context.clock().WallNow()), DescribePolicy(each.policy)});
  }
  list.Finish();
  if (!context.json()) context.Print(table.Render(context.style()));
  return kExitOk;
}

int RunRemove(Context& context, const std::string& typed) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string path = PlainPath(typed);
  const auto existed = Tiering(*client).RemovePolicy(path);
  if (!existed.ok())
    return context.Fail({"cannot remove the tier policy of", path, existed.status()});
  if (context.json()) {
    context.PrintJson({{"path", path}, {"existed", *existed}});
  } else {
    context.Print(absl::StrCat(*existed ? "removed the tier policy of " : "no tier policy of ",
                               Printable(path), "\n"));
  }
  return kExitOk;
}

void AddPath(CLI::App* command, std::string* path) {
  command->add_option("path", *path, "A bucket or a directory in one")
      ->required()
      ->type_name("PATH");
}

void AddReleaseRules(CLI::App* command, PolicyArguments* arguments) {
  command
      ->add_option("--keep-hot", arguments->policy.keep_hot,
                   "The newest N checkpoints of each directory stay hot; others are released once "
                   "they are copied")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  arguments->release_after_given = AddDurationOption(
      command, "--release-after", &arguments->release_after, "Release what is so old: 12h, 30d");
  arguments->release_unread_given =
      AddDurationOption(command, "--release-unread", &arguments->release_unread,
                        "Release what nobody has read for so long");
  command
      ->add_option("--high", arguments->policy.high_percent,
                   "Release the copies used longest ago once targets are so full, in percent")
      ->check(CLI::Range(1, 99))
      ->type_name("PERCENT");
  command
      ->add_option("--low", arguments->policy.low_percent,
                   "Stop doing that once they are only so full [10 less]")
      ->check(CLI::Range(1, 98))
      ->type_name("PERCENT");
}

void AddRules(CLI::App* command, PolicyArguments* arguments, bool tier_required) {
  AddPath(command, &arguments->path);
  CLI::Option* tier =
      command->add_option("--tier", arguments->policy.tier, "Where copies go")->type_name("TIER");
  if (tier_required) tier->required();
  const size_t before_rules = command->get_options().size();
  AddDurationOption(command, "--archive-after", &arguments->policy.archive_after,
                    "Copy what is so old [at once]");
  AddBytesOption(command, "--min-size", &arguments->policy.min_bytes,
                 "What is smaller stays hot alone");
  AddReleaseRules(command, arguments);
  command
      ->add_option("--keep-every", arguments->policy.keep_every_steps,
                   "Checkpoints of steps divisible by K are kept for ever")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 62))
      ->type_name("K");
  arguments->delete_after_given =
      AddDurationOption(command, "--delete-after", &arguments->delete_after,
                        "Delete checkpoints that neither --keep-hot nor --keep-every keeps once "
                        "they are so old; 0: at once");
  AddChoiceOption<RecallMode>(command, "--recall", &arguments->policy.recall,
                              {{"block", RecallMode::kBlock},
                               {"fail", RecallMode::kFail},
                               {"delayed", RecallMode::kDelayed}},
                              "What reading does that meets bytes which are cold alone [block]");
  command
      ->add_option("--promote-after-reads", arguments->policy.promote_reads,
                   "Fetch what has been opened so often while it was cold; within ten seconds once")
      ->check(CLI::Range(1, 1'000'000))
      ->type_name("N");
  // Rules say nothing without the tier that they are about.
  const std::vector<CLI::Option*> options = command->get_options({});
  for (size_t i = before_rules; i < options.size(); ++i) options[i]->needs(tier);
}

constexpr char kSetFooter[] =
    R"(The nearest directory above a checkpoint or file that has a policy counts, and it alone. Copies are made in the
background; letting go of the space on the targets is a second step, made only when the copy is found in its store.
What is pinned stays hot and is never deleted; the newest checkpoint of a directory is never deleted.
Without a rule that releases, copies are made and everything stays hot.

Exit codes: 0 it is set, 1 refused or failed, 4 unreachable.

Examples:
  cairn tier policy set runs/llama --tier archive --keep-hot 2 --keep-every 10 --delete-after 7d
  cairn tier policy set data --tier archive --release-unread 30d --high 85 --low 75
  cairn tier policy set runs --tier archive --keep-hot 3 --dry-run)";

constexpr char kTestFooter[] =
    R"(For each checkpoint and file below the path: where it is, what is done at once, what follows and when, and the rule
that says so. With --tier and rules: what such a policy would do; without: what the policies that are set do.

Examples:
  cairn tier policy test runs/llama
  cairn tier policy test runs --tier archive --keep-hot 2 --delete-after 0)";

}  // namespace

void AddTierPolicyCommands(CLI::App* tier, Command* chosen) {
  CLI::App* policy =
      tier->add_subcommand("policy", "Say what becomes of data by age, use, space and step");
  policy->require_subcommand(1);
  policy->footer(
      "Examples:\n  cairn tier policy set runs --tier archive --keep-hot 2\n"
      "  cairn tier policy ls");

  auto set_arguments = std::make_shared<PolicyArguments>();
  CLI::App* set =
      policy->add_subcommand("set", "Set or replace the policy of a bucket or directory");
  AddRules(set, set_arguments.get(), true);
  AddDryRunOption(set, &set_arguments->consent);
  set->footer(kSetFooter);
  set->callback([set_arguments, chosen] {
    *chosen = [set_arguments](Context& context) { return RunSet(context, *set_arguments); };
  });

  CLI::App* ls = policy->add_subcommand("ls", "List the policies");
  ls->footer("Examples:\n  cairn tier policy ls\n  cairn tier policy ls --output json");
  ls->callback([chosen] { *chosen = [](Context& context) { return RunList(context); }; });

  auto removed = std::make_shared<std::string>();
  CLI::App* rm = policy->add_subcommand("rm", "Remove a policy; what has a copy keeps it");
  AddPath(rm, removed.get());
  rm->footer("Examples:\n  cairn tier policy rm runs/llama");
  rm->callback([removed, chosen] {
    *chosen = [removed](Context& context) { return RunRemove(context, *removed); };
  });

  auto test_arguments = std::make_shared<PolicyArguments>();
  CLI::App* test = policy->add_subcommand("test", "Show what a policy does to what is there now");
  AddRules(test, test_arguments.get(), false);
  test->footer(kTestFooter);
  test->callback([test_arguments, chosen] {
    *chosen = [test_arguments](Context& context) { return RunTest(context, *test_arguments); };
  });
}

}  // namespace cairn::cli
