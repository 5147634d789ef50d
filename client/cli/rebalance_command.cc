// `cairn rebalance start|status|stop`: how evenly targets are filled, and having them more even.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cairn/admin.h"
#include "client/cli/arguments.h"
#include "client/cli/confirm.h"
#include "client/cli/format.h"
#include "client/cli/table.h"
#include "client/cli/watch.h"

namespace cairn::cli {
namespace {

constexpr size_t kMovesShown = 20;
// Without being asked, targets are evened out to 10 %. Below this, what is moved is seldom worth
// it.
constexpr uint32_t kThresholdPercent = 2;

enum class Verb { kStart, kStatus, kStop };

struct RebalanceArguments {
  Verb verb = Verb::kStart;
  uint32_t threshold_percent = kThresholdPercent;
  Consent consent;
  WatchOptions watch;
  bool stop = false;  // an older spelling of the verb
};

double PercentOf(const BalanceInfo::Fill& fill) {
  if (fill.capacity_bytes == 0) return 0;
  return 100.0 * static_cast<double>(fill.used_bytes) / static_cast<double>(fill.capacity_bytes);
}

double SpreadOf(const BalanceInfo& info) {
  return PercentOf(info.fullest) - PercentOf(info.emptiest);
}

Json FillJson(const BalanceInfo::Fill& fill) {
  return {{"target", fill.target},
          {"node", fill.node},
          {"used_bytes", fill.used_bytes},
          {"capacity_bytes", fill.capacity_bytes}};
}

Json BalanceJson(const BalanceInfo& info) {
  Json moves = Json::array();
  for (const BalanceInfo::Move& move : info.moves) {
    moves.push_back({{"group", move.group},
                     {"index", move.index},
                     {"from_target", move.from_target},
                     {"to_target", move.to_target},
                     {"bytes", move.bytes}});
  }
  return {{"targets", info.targets},
          {"emptiest", FillJson(info.emptiest)},
          {"median", FillJson(info.median)},
          {"fullest", FillJson(info.fullest)},
          {"spread_percent", SpreadOf(info)},
          {"threshold_percent", info.threshold_percent},
          {"moves_planned", info.moves_planned},
          {"bytes_planned", info.bytes_planned},
          {"moves_under_way", info.moves_under_way},
          {"waits_for_sweep", info.waits_for_sweep},
          {"moves", std::move(moves)}};
}

std::string FillText(const BalanceInfo& info, const BalanceInfo::Fill& fill) {
  if (info.targets == 0) return "-";
  return absl::StrCat(absl::StrFormat("%.1f%%", PercentOf(fill)), " of ",
                      HumanBytes(fill.capacity_bytes), ", target ", fill.target, " of node ",
                      fill.node);
}

std::string PlannedText(const BalanceInfo& info) {
  if (info.moves_planned > 0) {
    return absl::StrCat(info.moves_planned, info.moves_planned == 1 ? " member" : " members",
                        " of placement groups, about ", HumanBytes(info.bytes_planned));
  }
  if (info.moves_under_way > 0) return "not known before the moves under way have ended";
  return "nothing: one member less would not bring the two nearer to each other";
}

std::string UnderWayText(const BalanceInfo& info) {
  const std::string goal = info.threshold_percent == 0
                               ? "no rebalance"
                               : absl::StrCat("a rebalance to ", info.threshold_percent, "%");
  return absl::StrCat(goal, ", ", info.moves_under_way,
                      info.moves_under_way == 1 ? " move" : " moves",
                      info.waits_for_sweep ? "; what has been moved is being freed" : "");
}

enum class Plan { kShow, kHide };

std::string RenderBalance(const BalanceInfo& info, Plan plan, TextStyle style) {
  std::vector<std::pair<std::string, std::string>> lines = {
      {"targets", absl::StrCat(info.targets, " that take data")},
      {"fullest", FillText(info, info.fullest)},
      {"median", FillText(info, info.median)},
      {"emptiest", FillText(info, info.emptiest)},
      {"spread", absl::StrFormat("%.1f%%", SpreadOf(info))},
      {"under way", UnderWayText(info)}};
  if (plan == Plan::kShow) lines.emplace_back("to move", PlannedText(info));
  std::string out = RenderProperties(lines, style);
  if (plan == Plan::kHide || info.moves.empty()) return out;
  Table moves({{"GROUP", Align::kRight},
               {"MEMBER", Align::kRight},
               {"FROM", Align::kRight},
               {"TO", Align::kRight},
               {"ABOUT", Align::kRight}});
  for (size_t i = 0; i < std::min(info.moves.size(), kMovesShown); ++i) {
    const BalanceInfo::Move& move = info.moves[i];
    moves.AddRow({absl::StrCat(move.group), absl::StrCat(move.index),
                  absl::StrCat(move.from_target), absl::StrCat(move.to_target),
                  HumanBytes(move.bytes)});
  }
  absl::StrAppend(&out, "\n", moves.Render(style));
  if (info.moves_planned > kMovesShown)
    absl::StrAppend(&out, "and ", info.moves_planned - kMovesShown, " more\n");
  return out;
}

void Show(Context& context, const BalanceInfo& info, Plan plan) {
  if (context.json()) {
    context.PrintJson(BalanceJson(info));
  } else {
    context.Print(RenderBalance(info, plan, context.style()));
  }
}

std::string WatchLine(const BalanceInfo& info, absl::Time now) {
  return absl::StrCat(UtcTime(now), "  spread ", absl::StrFormat("%.1f%%", SpreadOf(info)), "  ",
                      UnderWayText(info), "\n");
}

Look LookAtBalance(Context& context, Admin& admin, bool watched) {
  const auto info = admin.Balance();
  if (!info.ok()) return {context.Fail({"cannot see how targets are filled", "", info.status()})};
  if (!watched || context.json() || context.console().can_redraw()) {
    Show(context, *info, Plan::kHide);
  } else {
    context.Print(WatchLine(*info, context.clock().WallNow()));
  }
  const bool last = info->threshold_percent == 0 && info->moves_under_way == 0;
  if (watched && last && !context.json()) context.Print("nothing is left to move\n");
  return {kExitOk, last};
}

int RunStatus(Context& context, const RebalanceArguments& arguments) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Admin admin(*client);
  return RunLooks(context, arguments.watch, [&context, &admin, &arguments] {
    return LookAtBalance(context, admin, arguments.watch.on);
  });
}

int RunStart(Context& context, const RebalanceArguments& arguments) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Admin admin(*client);
  const auto info = arguments.consent.dry_run ? admin.Balance(arguments.threshold_percent)
                                              : admin.StartRebalance(arguments.threshold_percent);
  if (!info.ok()) return context.Fail({"cannot even out", "the targets", info.status()});
  if (arguments.watch.on) context.BeginWatching();
  Show(context, *info, Plan::kShow);
  return arguments.watch.on ? RunStatus(context, arguments) : kExitOk;
}

int RunStop(Context& context) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const auto info = Admin(*client).StopRebalance();
  if (!info.ok()) return context.Fail({"cannot stop", "the targets", info.status()});
  Show(context, *info, Plan::kHide);
  return kExitOk;
}

int Run(Context& context, const RebalanceArguments& arguments) {
  switch (arguments.verb) {
    case Verb::kStatus:
      return RunStatus(context, arguments);
    case Verb::kStop:
      return RunStop(context);
    case Verb::kStart:
      break;
  }
  return arguments.stop ? RunStop(context) : RunStart(context, arguments);
}

using ArgumentsPointer = std::shared_ptr<RebalanceArguments>;

struct StartOptions {
  CLI::Option* dry_run;
  CLI::Option* watch;
};

StartOptions AddStartOptions(CLI::App* command, const ArgumentsPointer& arguments) {
  command
      ->add_option("--threshold", arguments->threshold_percent,
                   "Percent of its capacity that one may be fuller than another (2)")
      ->check(CLI::Range(1, 99))
      ->type_name("PCT");
  AddDryRunOption(command, &arguments->consent);
  AddWatchOption(command, &arguments->watch, "until nothing is left to move");
  const StartOptions options = {command->get_option("--dry-run"), command->get_option("--watch")};
  options.dry_run->excludes(options.watch);
  return options;
}

void AddVerbs(CLI::App* rebalance, const ArgumentsPointer& arguments) {
  CLI::App* start = rebalance->add_subcommand("start", "Even the targets out");
  AddStartOptions(start, arguments);
  start->footer(R"(Examples:
  cairn rebalance start --dry-run
  cairn rebalance start --threshold 5
  cairn rebalance start --watch)");
  CLI::App* status =
      rebalance->add_subcommand("status", "Show how evenly targets are filled, and what moves");
  AddWatchOption(status, &arguments->watch, "until nothing is left to move");
  status->footer(R"(Examples:
  cairn rebalance status
  cairn rebalance status --watch)");
  // These run before the callback of the command that they belong to.
  status->callback([arguments] { arguments->verb = Verb::kStatus; });
  CLI::App* stop = rebalance->add_subcommand("stop", "End it, and moves that only copy for it");
  stop->footer("Examples:\n  cairn rebalance stop");
  stop->callback([arguments] { arguments->verb = Verb::kStop; });
}

}  // namespace

void AddRebalanceCommand(CLI::App* app, Command* chosen) {
  auto arguments = std::make_shared<RebalanceArguments>();
  arguments->watch.form = LookForm::kLine;
  CLI::App* rebalance =
      app->add_subcommand("rebalance", "See how evenly targets are filled, and even them out");
  rebalance->require_subcommand(0, 1);
  const StartOptions start = AddStartOptions(rebalance, arguments);
  rebalance->add_flag("--stop", arguments->stop, "The same as 'cairn rebalance stop'")
      ->excludes(start.dry_run)
      ->excludes(start.watch);
  AddVerbs(rebalance, arguments);
  rebalance->footer(
      R"(Targets are evened out to 10% without being asked, behind lost and leaving data. This does it once to a
lower threshold, or as near as members of placement groups can bring it: some moves at a time, with
pauses for freeing what has been moved. It goes on by itself, also after restarts. How much a member
holds is estimated: an equal share of what its target does. Without a verb it is started.

Exit codes: 0 ok (with --watch: nothing is left), 1 refused or failed, 4 unreachable.

Examples:
  cairn rebalance --dry-run
  cairn rebalance start --watch
  cairn rebalance status
  cairn rebalance stop)");
  rebalance->callback([arguments, chosen] {
    *chosen = [arguments](Context& context) { return Run(context, *arguments); };
  });
}

}  // namespace cairn::cli
