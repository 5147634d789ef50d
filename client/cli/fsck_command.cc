// `cairn fsck` and `cairn scrub`: compares the metadata with what the targets hold, step by step,
// and mends it when asked to. The cluster does the work; here it is counted and printed.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cairn/admin.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/scrub_report.h"
#include "client/cli/watch.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

struct CheckArguments {
  std::string name;  // "fsck"
  CheckStorageOptions options;
  WatchOptions watch;
  bool status = false;  // of the scrub that goes on by itself
};

// More would scroll away what matters; the summary has the counts.
constexpr uint64_t kLinesOnTerminal = 100;

// Part of the JSON and of the lines that scripts read: added to, never renamed.
const char* FaultName(StorageFault fault) {
  switch (fault) {
    case StorageFault::kFragmentMissing:
      return "fragment_missing";
    case StorageFault::kFragmentDamaged:
      return "fragment_damaged";
    case StorageFault::kFragmentWrongLength:
      return "fragment_wrong_length";
    case StorageFault::kFragmentOrphan:
      return "fragment_orphan";
    case StorageFault::kStripeLost:
      return "stripe_lost";
    case StorageFault::kGroupUnknown:
      return "group_unknown";
    case StorageFault::kUnknown:
      break;
  }
  return "unknown";
}

bool IsOfOneFragment(StorageFault fault) {
  return fault != StorageFault::kStripeLost && fault != StorageFault::kGroupUnknown;
}

bool HasGroup(const StorageFinding& finding) {
  return finding.fault != StorageFault::kFragmentOrphan || finding.group != 0;
}

Json FindingJson(const StorageFinding& finding) {
  const bool fragment = IsOfOneFragment(finding.fault);
  return {{"fault", FaultName(finding.fault)},
          {"stripe", finding.stripe},
          {"group", HasGroup(finding) ? Json(finding.group) : Json(nullptr)},
          {"target", fragment ? Json(finding.target) : Json(nullptr)},
          {"index", fragment ? Json(finding.index) : Json(nullptr)},
          {"repaired", finding.repaired},
          {"detail", finding.detail}};
}

std::string FindingLine(const StorageFinding& finding, const CheckStorageOptions& options) {
  std::string line = absl::StrCat(FaultName(finding.fault), "  stripe ", finding.stripe);
  if (HasGroup(finding)) absl::StrAppend(&line, "  group ", finding.group);
  if (IsOfOneFragment(finding.fault))
    absl::StrAppend(&line, "  target ", finding.target, "  index ", finding.index);
  if (options.repair) absl::StrAppend(&line, finding.repaired ? "  repaired" : "  not repaired");
  if (!finding.detail.empty()) absl::StrAppend(&line, "  ", Printable(finding.detail));
  return absl::StrCat(line, "\n");
}

// What all steps have found together.
struct CheckResult {
  struct Count {
    uint64_t found = 0;
    uint64_t repaired = 0;
  };
  uint64_t next = 0;
  bool done = false;
  uint64_t stripes = 0;
  uint64_t fragments = 0;
  uint64_t verified_bytes = 0;
  uint64_t leftovers = 0;
  std::map<StorageFault, Count> by_fault;
  std::set<uint32_t> unreachable;
  Json findings = Json::array();  // with --output json only; as ndjson they are printed
  uint64_t lines = 0;             // printed
  absl::Duration elapsed;

  Count All() const {
    Count all;
    for (const auto& [fault, count] : by_fault) {
      all.found += count.found;
      all.repaired += count.repaired;
    }
    return all;
  }
};

void TakeFinding(Context& context, const CheckArguments& arguments, const StorageFinding& finding,
                 CheckResult* result) {
  CheckResult::Count& count = result->by_fault[finding.fault];
  ++count.found;
  if (finding.repaired) ++count.repaired;
  if (context.streams_json()) {
    context.PrintJson(FindingJson(finding));
    return;
  }
  if (context.json()) {
    result->findings.push_back(FindingJson(finding));
    return;
  }
  if (context.console().out_is_terminal() && result->lines == kLinesOnTerminal) return;
  context.Print(FindingLine(finding, arguments.options));
  ++result->lines;
}

// Until done, the first failure, or nobody reads the output any more.
absl::Status CheckAll(Context& context, Admin& admin, const CheckArguments& arguments,
                      Progress& progress, CheckResult* result) {
  while (!result->done) {
    RETURN_IF_ERROR(context.interrupts().Check());
    ASSIGN_OR_RETURN(const StorageCheckStep step,
                     admin.CheckStorage(result->next, arguments.options));
    result->stripes += step.stripes;
    result->fragments += step.fragments;
    result->verified_bytes += step.verified_bytes;
    result->leftovers += step.leftovers;
    result->unreachable.insert(step.unreachable_targets.begin(), step.unreachable_targets.end());
    if (!step.findings.empty()) progress.Hide();
    for (const StorageFinding& finding : step.findings)
      TakeFinding(context, arguments, finding, result);
    if (!step.done && step.next <= result->next) {
      return absl::InternalError(
          absl::StrCat("the check does not get on from stripe ", result->next));
    }
    result->next = step.next;
    result->done = step.done;
    const uint64_t end = step.last_stripe + 1;
    progress.Set(step.done ? end : std::min(step.next, end), end);
    if (context.console().write_errno() != 0) break;
  }
  return absl::OkStatus();
}

std::string Counted(uint64_t count, const char* noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

std::string Verdict(const CheckResult& result, const CheckStorageOptions& options) {
  const CheckResult::Count all = result.All();
  if (all.found == 0) return "nothing found";
  if (!options.repair) return absl::StrCat(all.found, " found");
  return absl::StrCat(all.found, " found, ", all.repaired, " repaired");
}

void PrintSummary(Context& context, const CheckArguments& arguments, const CheckResult& result) {
  const CheckResult::Count all = result.All();
  if (all.found > result.lines)
    context.Print(absl::StrCat("and ", all.found - result.lines, " more\n"));
  std::string out =
      absl::StrCat(arguments.name, ": ",
                   result.done ? "" : absl::StrCat("stopped at stripe ", result.next, ", "),
                   Verdict(result, arguments.options), ", ", Counted(result.stripes, "stripe"),
                   ", ", Counted(result.fragments, "fragment"));
  if (arguments.options.verify)
    absl::StrAppend(&out, ", ", HumanBytes(result.verified_bytes), " verified");
  absl::StrAppend(&out, " in ", HumanDuration(result.elapsed));
  if (arguments.options.verify)
    absl::StrAppend(&out, " (", HumanRate(result.verified_bytes, result.elapsed), ")");
  absl::StrAppend(&out, "\n");
  for (const auto& [fault, count] : result.by_fault) {
    absl::StrAppend(&out, "  ", FaultName(fault), ": ", count.found);
    if (arguments.options.repair) absl::StrAppend(&out, ", ", count.repaired, " repaired");
    absl::StrAppend(&out, "\n");
  }
  if (result.leftovers > 0) {
    absl::StrAppend(&out, Counted(result.leftovers, "fragment"),
                    " left by moves, to be freed when the rebuild is through: no fault, see 'cairn "
                    "rebuild status'\n");
  }
  if (!result.unreachable.empty()) {
    absl::StrAppend(&out, "could not ask ", result.unreachable.size() == 1 ? "target " : "targets ",
                    absl::StrJoin(result.unreachable, ", "),
                    ": what is missing there is not known\n");
  }
  context.Print(out);
}

Json SummaryJson(const Context& context, const CheckArguments& arguments,
                 const CheckResult& result) {
  const CheckResult::Count all = result.All();
  Json by_fault = Json::object();
  for (const auto& [fault, count] : result.by_fault)
    by_fault[FaultName(fault)] = {{"found", count.found}, {"repaired", count.repaired}};
  Json summary = {{"ok", result.done && all.found == all.repaired && result.unreachable.empty()},
                  {"done", result.done},
                  {"verify", arguments.options.verify},
                  {"repair", arguments.options.repair},
                  {"stripes", result.stripes},
                  {"fragments", result.fragments},
                  {"verified_bytes", result.verified_bytes},
                  {"seconds", absl::ToDoubleSeconds(result.elapsed)},
                  {"found", all.found},
                  {"repaired", all.repaired},
                  {"by_fault", std::move(by_fault)},
                  {"leftovers", result.leftovers},
                  {"unreachable_targets", result.unreachable}};
  if (!context.streams_json()) summary["findings"] = result.findings;
  return summary;
}

int ExitCode(const CheckResult& result) {
  const CheckResult::Count all = result.All();
  if (all.found > all.repaired) return kExitError;
  return result.unreachable.empty() ? kExitOk : kExitPartial;
}

int RunCheck(Context& context, const CheckArguments& arguments) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Admin admin(*client);
  CheckResult result;
  Progress progress(&context.console(), &context.clock(), context.options.progress, arguments.name,
                    std::nullopt, ProgressUnit::kStripes);
  const absl::Status checked = CheckAll(context, admin, arguments, progress, &result);
  progress.Finish();
  result.elapsed = progress.elapsed();
  if (context.console().write_errno() != 0) return kExitError;  // main says of what
  if (checked.ok()) {
    if (context.json()) {
      context.PrintJson(SummaryJson(context, arguments, result));
    } else {
      PrintSummary(context, arguments, result);
    }
    return ExitCode(result);
  }
  // What has been found and repaired until then counts all the same.
  const Failure failure = {"cannot check the storage", "", checked};
  if (!context.json()) {
    PrintSummary(context, arguments, result);
    return context.Fail(failure);
  }
  if (context.interrupts().signal() != 0) return context.Fail(failure);
  context.Complain(failure);
  Json document = SummaryJson(context, arguments, result);
  document["error"] = FailureJson(failure);
  context.PrintJson(document);
  return ExitCodeOf(checked);
}

CLI::App* AddCheck(CLI::App* app, Command* chosen, const std::string& help,
                   std::shared_ptr<CheckArguments> arguments) {
  CLI::App* check = app->add_subcommand(arguments->name, help);
  check->add_flag("--repair", arguments->options.repair,
                  "Make again what is missing or damaged, free what nothing refers to");
  check->callback([arguments, chosen] {
    *chosen = [arguments](Context& context) {
      if (!arguments->status) return RunCheck(context, *arguments);
      return RunLooks(context, arguments->watch, [&context] { return LookAtScrub(context); });
    };
  });
  return check;
}

constexpr char kFaults[] =
    R"(
Faults:
  fragment_missing       a target lacks a fragment that it should hold
  fragment_damaged       a fragment is not what was written
  fragment_wrong_length  a fragment is too long or too short
  fragment_orphan        a target holds a fragment that nothing refers to (no fault, and only counted,
                         as long as a rebuild is about to free what its moves have left)
  stripe_lost            too few fragments are left to read a stripe: part of a file is gone
  group_unknown          a stripe is in a placement group that is none

On a terminal the first 100 are printed one by one; elsewhere, and in JSON, all. As ndjson each is a
line, as soon as it is found, and the last line has the counts.

Exit codes: 0 nothing found, or all of it repaired; 1 something found is left, or it failed; 2 some
targets could not be asked, and nothing else is left; 4 unreachable.

)";

// `scrub status`; an older spelling is `scrub --status`.
void AddScrubStatus(CLI::App* scrub, const std::shared_ptr<CheckArguments>& arguments) {
  scrub->add_flag("--status", arguments->status, "The same as 'cairn scrub status'");
  scrub->require_subcommand(0, 1);
  CLI::App* status = scrub->add_subcommand(
      "status", "Show how far the check is that goes on by itself, and what it has found");
  AddWatchOption(status, &arguments->watch);
  status->footer(R"(Examples:
  cairn scrub status
  cairn scrub status --watch=1m
  cairn scrub status --output json)");
  // Before the command that it belongs to chooses what to run.
  status->callback([arguments] { arguments->status = true; });
}

}  // namespace

void AddStorageCheckCommands(CLI::App* app, Command* chosen) {
  auto fsck = std::make_shared<CheckArguments>();
  fsck->name = "fsck";
  CLI::App* fsck_app =
      AddCheck(app, chosen, "Compare the metadata with what the targets hold", fsck);
  fsck_app->add_flag("--verify", fsck->options.verify,
                     "Also read every fragment and check it, as 'cairn scrub' does");
  fsck_app->footer(absl::StrCat(
      R"(Looks at every stripe of every file, and at every fragment of every target. Changes nothing without
--repair. Saves and restores go on meanwhile.
)",
      kFaults, R"(Examples:
  cairn fsck
  cairn fsck --repair
  cairn fsck --output json > found.json)"));

  auto scrub = std::make_shared<CheckArguments>();
  scrub->name = "scrub";
  scrub->options.verify = true;
  CLI::App* scrub_app = AddCheck(app, chosen, "Read every fragment back and check it", scrub);
  AddScrubStatus(scrub_app, scrub);
  scrub_app->footer(absl::StrCat(
      R"(Reads all that the targets hold, and compares it with its checksums and with the metadata: finds
damage before somebody needs the data. The same as 'cairn fsck --verify'. Changes nothing without
--repair. Saves and restores go on meanwhile.

The cluster does this by itself, once a week and slowly, and mends what it finds; what a client had to
read around it looks at within seconds. See 'cairn scrub status', and scrub_interval_hours and scrub_bandwidth in
the configuration of the node with the metadata.
)",
      kFaults, R"(Examples:
  cairn scrub
  cairn scrub --repair
  cairn scrub status
  cairn scrub --repair || echo "look at what is left")"));
}

}  // namespace cairn::cli
