// `cairn doctor`: which disk, link, clock or node stands out. The cluster examines itself and
// judges; here it is waited for and printed.
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
#include "client/cli/format.h"
#include "client/cli/status_document.h"
#include "client/cli/table.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

// Each waits a second for an examination that takes a few.
constexpr int kLooksMax = 120;
// Others examine too, and only the last result is kept.
constexpr int kBeginningsMax = 3;

// The codes are those of server/cluster/diagnosis.h and, of nodes and targets, health.h.
constexpr char kHelp[] =
    R"(Asks every node at once: it tries its devices with a few small reads, its links to a few other
nodes with some hundred KiB, and tells its clock and how full its targets are. What stands out is
looked at twice before it is told. Takes seconds, and disturbs nobody.

Exit codes: 0 nothing stands out, or there are warnings only; 1 there are errors, or the command
failed; 4 unreachable.

Codes, beside those of 'cairn health' for nodes and targets (NODE_DOWN, NODE_OUT, NODE_SUSPECT,
TARGET_FAILED, TARGET_FULL, TARGET_JOINING, TARGET_NEARFULL):
  LINK_BROKEN        two nodes do not reach each other, though others do
  LINK_SLOW          the way between two nodes is much slower than the others
  NODE_CLOCK_SKEW    a clock is off those of the others
  NODE_FLAPPING      a node came and went three times or more in half an hour
  NODE_NETWORK_SLOW  all links of a node are slow, or broken: it is the node and not the links
  NODE_SILENT        a node that counts as alive does not answer
  NODE_UNEXAMINED    a node runs a release that cannot be examined
  TARGET_SLOW        a device is much slower than the others
  TARGET_STUCK       a device has not answered a read for a second or more

Examples:
  cairn doctor
  cairn doctor --nodes                 # and what was measured of every node, target and link
  cairn doctor --output json
  cairn doctor > /dev/null || echo "something is broken")";

std::string Counted(uint64_t count, const char* noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

Json LatencyJson(const LatencyInfo& latency) {
  return {{"samples", latency.samples},
          {"p50_us", absl::ToInt64Microseconds(latency.p50)},
          {"p99_us", absl::ToInt64Microseconds(latency.p99)},
          {"max_us", absl::ToInt64Microseconds(latency.max)}};
}

Json FindingJson(const ExamineFinding& finding) {
  return {{"code", finding.code},
          {"severity", finding.is_error ? "error" : "warning"},
          {"since", finding.since == absl::UnixEpoch() ? "" : UtcTime(finding.since)},
          {"summary", finding.summary},
          {"endangers", finding.endangers},
          {"todo", finding.todo},
          {"nodes", finding.nodes},
          {"targets", finding.targets},
          {"is_link", finding.is_link},
          {"measured", finding.measured},
          {"usual", finding.usual},
          {"unit", finding.unit}};
}

Json TargetJson(const ExaminedTarget& target) {
  return {{"target", target.target},
          {"used_bytes", target.used_bytes},
          {"capacity_bytes", target.capacity_bytes},
          {"failure", target.failure},
          {"probe", LatencyJson(target.probe)},
          {"probe_pending_us", absl::ToInt64Microseconds(target.probe_pending)},
          {"probe_error", target.probe_error},
          {"write", LatencyJson(target.write)},
          {"read", LatencyJson(target.read)},
          {"flush", LatencyJson(target.flush)}};
}

Json LinkJson(const ExaminedLink& link) {
  return {{"to_node", link.to_node},
          {"round_trip_us", absl::ToInt64Microseconds(link.round_trip)},
          {"bytes_per_second", link.bytes_per_second},
          {"error", link.error}};
}

Json NodeJson(const ExaminedNode& node) {
  Json targets = Json::array(), links = Json::array();
  for (const ExaminedTarget& target : node.targets) targets.push_back(TargetJson(target));
  for (const ExaminedLink& link : node.links) links.push_back(LinkJson(link));
  return {{"node", node.node},
          {"error", node.error},
          {"version", node.software_version},
          {"uptime_seconds", absl::ToInt64Seconds(node.uptime)},
          {"round_trip_us", absl::ToInt64Microseconds(node.round_trip)},
          {"clock_ahead_us", absl::ToInt64Microseconds(node.clock_ahead)},
          {"clock_error_us", absl::ToInt64Microseconds(node.clock_error)},
          {"window_seconds", absl::ToInt64Seconds(node.window)},
          {"downs", node.downs},
          {"suspects", node.suspects},
          {"restarts", node.restarts},
          {"targets", std::move(targets)},
          {"links", std::move(links)}};
}

// As that of `cairn health`, and what was measured.
Json DoctorJson(const ExaminationStep& result, absl::Duration elapsed) {
  Json items = Json::array(), nodes = Json::array();
  std::string status = "ok";
  for (const ExamineFinding& finding : result.findings) {
    items.push_back(FindingJson(finding));
    if (status != "error") status = finding.is_error ? "error" : "warning";
  }
  for (const ExaminedNode& node : result.examined) nodes.push_back(NodeJson(node));
  return {{"status", status},
          {"items", std::move(items)},
          {"seconds", absl::ToDoubleSeconds(elapsed)},
          {"nodes", std::move(nodes)}};
}

std::string LookedAt(const ExaminationStep& result, absl::Duration elapsed) {
  size_t answered = 0, targets = 0, links = 0;
  for (const ExaminedNode& node : result.examined) {
    if (node.error.empty()) ++answered;
    targets += node.targets.size();
    links += node.links.size();
  }
  const std::string nodes =
      answered == result.examined.size()
          ? Counted(answered, "node")
          : absl::StrCat(answered, " of ", Counted(result.examined.size(), "node"));
  return absl::StrCat(nodes, ", ", Counted(targets, "target"), " and ", Counted(links, "link"),
                      " looked at in ", HumanDuration(elapsed), "\n");
}

// "-" for none.
std::string LatencyText(const LatencyInfo& latency) {
  return latency.samples == 0 ? "-" : HumanDuration(latency.p50);
}

std::string ClockText(const ExaminedNode& node) {
  const absl::Duration off = node.clock_ahead;
  if (absl::AbsDuration(off) <= node.clock_error) return "0 us";
  return absl::StrCat(off < absl::ZeroDuration() ? "-" : "+",
                      HumanDuration(absl::AbsDuration(off)));
}

std::string NodeTable(const ExaminationStep& result, TextStyle style) {
  Table table({{"NODE", Align::kRight},
               {"RTT", Align::kRight},
               {"CLOCK", Align::kRight},
               {"UPTIME", Align::kRight},
               {"DOWNS", Align::kRight},
               {"RESTARTS", Align::kRight},
               {"VERSION"},
               {"ERROR"}});
  for (const ExaminedNode& node : result.examined) {
    const bool known = node.error.empty();
    table.AddRow({absl::StrCat(node.node), known ? HumanDuration(node.round_trip) : "-",
                  known ? ClockText(node) : "-", known ? HumanDuration(node.uptime) : "-",
                  absl::StrCat(node.downs), absl::StrCat(node.restarts),
                  known ? node.software_version : "-", known ? "-" : node.error});
  }
  return table.Render(style);
}

std::string TargetTable(const ExaminationStep& result, TextStyle style) {
  Table table({{"TARGET", Align::kRight},
               {"NODE", Align::kRight},
               {"USE%", Align::kRight},
               {"PROBE", Align::kRight},
               {"WRITE", Align::kRight},
               {"READ", Align::kRight},
               {"FLUSH", Align::kRight},
               {"ERROR"}});
  for (const ExaminedNode& node : result.examined) {
    for (const ExaminedTarget& target : node.targets) {
      const double capacity = static_cast<double>(target.capacity_bytes);
      const std::string& error = target.failure.empty() ? target.probe_error : target.failure;
      table.AddRow(
          {absl::StrCat(target.target), absl::StrCat(node.node),
           capacity == 0
               ? "-"
               : absl::StrFormat(
                     "%d%%",
                     static_cast<int>(100.0 * static_cast<double>(target.used_bytes) / capacity)),
           LatencyText(target.probe), LatencyText(target.write), LatencyText(target.read),
           LatencyText(target.flush), error.empty() ? "-" : error});
    }
  }
  return table.Render(style);
}

std::string LinkTable(const ExaminationStep& result, TextStyle style) {
  Table table({{"FROM", Align::kRight},
               {"TO", Align::kRight},
               {"RTT", Align::kRight},
               {"RATE", Align::kRight},
               {"ERROR"}});
  for (const ExaminedNode& node : result.examined) {
    for (const ExaminedLink& link : node.links) {
      table.AddRow(
          {absl::StrCat(node.node), absl::StrCat(link.to_node),
           link.error.empty() ? HumanDuration(link.round_trip) : "-",
           link.bytes_per_second == 0 ? "-" : HumanRate(link.bytes_per_second, absl::Seconds(1)),
           link.error.empty() ? "-" : link.error});
    }
  }
  return table.Render(style);
}

// Until it is done.
absl::StatusOr<ExaminationStep> Examine(Context& context, Admin& admin) {
  Progress progress(&context.console(), &context.clock(),
                    context.json() ? ProgressMode::kNever : context.options.progress, "examine",
                    std::nullopt, ProgressUnit::kNodes);
  int beginnings = 1;
  uint64_t examination = 0;
  for (int look = 0; look < kLooksMax; ++look) {
    RETURN_IF_ERROR(context.interrupts().Check());
    absl::StatusOr<ExaminationStep> step = admin.Examine(examination);
    if (absl::IsAborted(step.status()) && beginnings++ < kBeginningsMax) {
      examination = 0;
      continue;
    }
    if (!step.ok() || step->done) return step;
    examination = step->examination;
    progress.Set(step->nodes_done, step->nodes);
  }
  return absl::DeadlineExceededError("the examination does not end");
}

int RunDoctor(Context& context, bool all) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Admin admin(*client);
  const MonoTime began = context.clock().Now();
  const auto result = Examine(context, admin);
  if (!result.ok()) return context.Fail({"cannot examine the cluster", "", result.status()});
  const absl::Duration elapsed = context.clock().Now() - began;
  const Json document = DoctorJson(*result, elapsed);
  if (context.json()) {
    context.PrintJson(document);
  } else {
    context.Print(LookedAt(*result, elapsed));
    context.Print(document["items"].empty()
                      ? "nothing stands out\n"
                      : RenderHealth(document, context.clock().WallNow(), context.style()));
    if (all) {
      for (const auto& table : {NodeTable, TargetTable, LinkTable})
        context.Print(absl::StrCat("\n", table(*result, context.style())));
    }
  }
  return document["status"] == "error" ? kExitError : kExitOk;
}

}  // namespace

void AddDoctorCommand(CLI::App* app, Command* chosen) {
  CLI::App* doctor =
      app->add_subcommand("doctor", "Find the slow disk, the slow link, the clock that is off");
  auto all = std::make_shared<bool>(false);
  doctor->add_flag("--nodes", *all, "Also show what was measured of every node, target and link");
  doctor->footer(kHelp);
  doctor->callback(
      [all, chosen] { *chosen = [all](Context& context) { return RunDoctor(context, *all); }; });
}

}  // namespace cairn::cli
