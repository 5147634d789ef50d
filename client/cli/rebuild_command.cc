// `cairn rebuild status`: what is being made again or moved, once or until nothing is left.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cairn/admin.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/scrub_report.h"
#include "client/cli/table.h"
#include "client/cli/watch.h"

namespace cairn::cli {
namespace {

// Members without a place may get one in the next plan, which is late while a pass is under way.
// After so long they wait for people.
constexpr absl::Duration kStuckPatience = absl::Minutes(1);
constexpr size_t kMovesShown = 20;

uint64_t MovesLeft(const RebuildInfo& info) {
  return uint64_t{info.moves_copying} + info.moves_settling;
}
bool IsIdle(const RebuildInfo& info) { return MovesLeft(info) == 0 && info.members_lost == 0; }

const char* StateOf(const RebuildInfo::Move& move) {
  return move.settling ? "settling" : "copying";
}

Json RebuildJson(const RebuildInfo& info) {
  Json moves = Json::array();
  for (const RebuildInfo::Move& move : info.moves) {
    moves.push_back({{"group", move.group},
                     {"index", move.index},
                     {"from_target", move.from_target},
                     {"to_target", move.to_target},
                     {"state", StateOf(move)}});
  }
  return {{"idle", IsIdle(info)},
          {"moves_copying", info.moves_copying},
          {"moves_settling", info.moves_settling},
          {"members_lost", info.members_lost},
          {"restored_fragments", info.restored_fragments},
          {"restored_bytes", info.restored_bytes},
          {"bytes_per_second", info.bytes_per_second},
          {"pass_stripes_done", info.pass_stripes_done},
          {"pass_stripes", info.pass_stripes},
          {"passes", info.passes},
          {"failed_fragments", info.failed_fragments},
          {"last_failure", info.last_failure},
          {"waiting_nodes", info.waiting_nodes},
          {"sweep_due", info.sweep_due},
          {"scrub", ScrubJson(info.scrub)},
          {"moves", std::move(moves)}};
}

std::string Counted(uint64_t count, const char* noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

std::string MovesText(const RebuildInfo& info) {
  return absl::StrCat(info.moves_copying, " copying, ", info.moves_settling, " settling");
}

std::string RestoredText(const RebuildInfo& info) {
  return absl::StrCat(Counted(info.restored_fragments, "fragment"), ", ",
                      HumanBytes(info.restored_bytes));
}

std::string RateText(const RebuildInfo& info) {
  return info.bytes_per_second == 0 ? "-" : HumanRate(info.bytes_per_second, absl::Seconds(1));
}

std::string PassPercent(const RebuildInfo& info) {
  if (info.pass_stripes == 0) return "-";
  const uint64_t done = std::min(info.pass_stripes_done, info.pass_stripes);
  return absl::StrCat(
      static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(info.pass_stripes)),
      "%");
}

std::string PassText(const RebuildInfo& info) {
  if (info.pass_stripes == 0) return absl::StrCat("none under way, ", info.passes, " ended");
  return absl::StrCat(PassPercent(info), " of about ", Counted(info.pass_stripes, "stripe"), ", ",
                      info.passes, " ended");
}

std::string FailuresText(const RebuildInfo& info) {
  if (info.failed_fragments == 0 && info.last_failure.empty()) return "none";
  std::string text =
      info.failed_fragments == 0
          ? "none in the last pass"
          : absl::StrCat(Counted(info.failed_fragments, "fragment"), " in the last pass");
  if (!info.last_failure.empty()) absl::StrAppend(&text, "; the last: ", info.last_failure);
  return text;
}

std::string WaitingText(const RebuildInfo& info) {
  if (info.waiting_nodes.empty()) return "for nothing";
  return absl::StrCat(info.waiting_nodes.size() == 1 ? "for node " : "for nodes ",
                      absl::StrJoin(info.waiting_nodes, ", "));
}

std::string RenderRebuild(const RebuildInfo& info, TextStyle style) {
  std::string out = RenderProperties(
      {{"moves", MovesText(info)},
       {"stuck", info.members_lost == 0
                     ? "none"
                     : absl::StrCat(Counted(info.members_lost, "member"),
                                    " of groups with nowhere to go: add a node")},
       {"restored", absl::StrCat(RestoredText(info), " since the metadata's node has started")},
       {"rate", RateText(info)},
       {"pass", PassText(info)},
       {"failures", FailuresText(info)},
       {"sweep",
        info.sweep_due ? "due: frees what moves have left, when they are through" : "none"},
       {"waiting", WaitingText(info)}},
      style);
  if (info.moves.empty()) return out;
  Table table({{"GROUP", Align::kRight},
               {"INDEX", Align::kRight},
               {"FROM", Align::kRight},
               {"TO", Align::kRight},
               {"STATE"}});
  const size_t shown = std::min(info.moves.size(), kMovesShown);
  for (size_t i = 0; i < shown; ++i) {
    const RebuildInfo::Move& move = info.moves[i];
    table.AddRow({absl::StrCat(move.group), absl::StrCat(move.index),
                  absl::StrCat(move.from_target), absl::StrCat(move.to_target), StateOf(move)});
  }
  absl::StrAppend(&out, "\n", table.Render(style));
  // Not all are told one by one.
  const uint64_t all = std::max<uint64_t>(MovesLeft(info), info.moves.size());
  if (all > shown) absl::StrAppend(&out, "and ", all - shown, " more\n");
  return out;
}

// For logs: one line a look.
std::string RebuildLine(const RebuildInfo& info, absl::Time now) {
  std::string line =
      absl::StrCat(UtcTime(now), "  ", MovesText(info), ", ", info.members_lost, " stuck; ",
                   RestoredText(info), ", ", RateText(info), "; pass ", PassPercent(info), "; ",
                   Counted(info.failed_fragments, "failure"));
  if (!info.waiting_nodes.empty()) absl::StrAppend(&line, "; waits ", WaitingText(info));
  return absl::StrCat(line, "\n");
}

void ShowLook(Context& context, const RebuildInfo& info, bool watched) {
  if (context.json()) {
    context.PrintJson(RebuildJson(info));
  } else if (!watched || context.console().can_redraw()) {
    context.Print(RenderRebuild(info, context.style()));
  } else {
    context.Print(RebuildLine(info, context.clock().WallNow()));
  }
}

// One after the other, at one rebuild.
class RebuildLooks {
 public:
  RebuildLooks(Context& context, Client& client, bool watched)
      : context_(context), admin_(client), watched_(watched) {}

  Look Next() {
    const auto info = admin_.RebuildStatus();
    if (!info.ok())
      return {context_.Fail({"cannot get the state of the rebuild", "", info.status()})};
    ShowLook(context_, *info, watched_);
    if (!watched_) return {kExitOk};
    if (IsIdle(*info)) {
      if (!context_.json()) context_.Print("nothing is left to move\n");
      return {kExitOk, true};
    }
    return IsStuck(*info) ? Look{kExitError, true} : Look{kExitOk};
  }

 private:
  // Tells it, too.
  bool IsStuck(const RebuildInfo& info) {
    const MonoTime now = context_.clock().Now();
    if (MovesLeft(info) > 0) {
      stuck_since_.reset();
      return false;
    }
    if (!stuck_since_.has_value()) stuck_since_ = now;
    if (now - *stuck_since_ < kStuckPatience) return false;
    context_.Complain({"rebuild is stuck", "",
                       absl::FailedPreconditionError(absl::StrCat(
                           Counted(info.members_lost, "member"),
                           " of groups with nowhere to go; add a node, or see 'cairn health'"))});
    return true;
  }

  Context& context_;
  Admin admin_;
  const bool watched_;
  std::optional<MonoTime> stuck_since_;
};

}  // namespace

void AddRebuildCommands(CLI::App* app, Command* chosen) {
  CLI::App* rebuild = app->add_subcommand("rebuild", "See lost and moved data being made again");
  rebuild->require_subcommand(1);
  rebuild->footer("Examples:\n  cairn rebuild status");
  CLI::App* status =
      rebuild->add_subcommand("status", "Show what is being moved, and how far that is");
  auto watch = std::make_shared<WatchOptions>();
  watch->form = LookForm::kLine;
  AddWatchOption(status, watch.get(), "until nothing is left");
  status->footer(
      R"(A move gives one member of a placement group to another target. While it is "copying", its fragments
are being made there; while it is "settling", the target is the member, and what is still being
written elsewhere is waited for.

Exit codes: 0 ok (with --watch: nothing is left), 1 failed (with --watch: members have had nowhere
to go for a minute), 4 unreachable.

Examples:
  cairn rebuild status
  cairn rebuild status --watch
  cairn rebuild status --output json)");
  status->callback([watch, chosen] {
    *chosen = [watch](Context& context) {
      int code = kExitOk;
      Client* client = context.Connect(&code);
      if (client == nullptr) return code;
      RebuildLooks looks(context, *client, watch->on);
      return RunLooks(context, *watch, [&looks] { return looks.Next(); });
    };
  });
}

}  // namespace cairn::cli
