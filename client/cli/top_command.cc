// `cairn top`: what moves at this moment, by node, target, client, tier and mount.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cairn/admin.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/table.h"
#include "client/cli/top_rates.h"
#include "client/cli/watch.h"

namespace cairn::cli {
namespace {

constexpr char kHelp[] =
    R"(Nodes and targets: what their devices write and read, with copies and parity, and with what is rebuilt. Clients: what
they send and get, other nodes of the cluster among them, in the last second; each node tells of its 32 busiest. Tiers
are shown while something moves to or from them. A node that is down is left out; one that does not answer is told as such.

Mounts: what the kernel asks of them for programs, less what it has cached, by their own count. They report every 7 or 8
seconds; rates are those between the last two reports. The 32 that do most are told of. Latency is the average of a call,
waiting for locks included; errors are answers such as ENOENT, too. JSON has all operations. Of programs that use the
SDK's FileSystem themselves, bytes are all that is counted.

On a terminal the picture is drawn anew in its place. Elsewhere, and with --output ndjson, sample follows sample, in
ndjson each in a line.

Examples:
  cairn top
  cairn top --interval 10s --limit 30
  cairn top --once
  cairn top --output ndjson | jq .total)";

// The first picture shall come soon, however rarely it is drawn anew.
constexpr absl::Duration kFirstInterval = absl::Seconds(1);
// Nodes tell what clients moved in the last whole second.
constexpr absl::Duration kIntervalMin = absl::Seconds(1);
// The kernel asks 20 different things of a busy mount; these tell what it is busy with.
constexpr size_t kOperationsShown = 3;

struct TopArguments {
  absl::Duration interval = absl::Seconds(2);
  uint64_t limit = 10;
  bool once = false;
};

std::string RateText(double bytes_per_second) {
  if (bytes_per_second < 1) return "-";
  return HumanRate(static_cast<uint64_t>(bytes_per_second), absl::Seconds(1));
}

uint64_t Whole(double bytes_per_second) { return static_cast<uint64_t>(bytes_per_second + 0.5); }

// Rates of calls, unlike those of bytes, are often below 1.
double Hundredths(double per_second) { return std::round(per_second * 100) / 100; }

Json RateJson(const Rate& rate) {
  return {{"written_bytes_per_second", Whole(rate.written)},
          {"read_bytes_per_second", Whole(rate.read)}};
}

Json WithRate(Json json, const Rate& rate) {
  json.update(RateJson(rate));
  return json;
}

Json OperationJson(const OperationRate& operation) {
  return {{"calls_per_second", Hundredths(operation.calls)},
          {"errors_per_second", Hundredths(operation.errors)},
          {"mean_us", absl::ToInt64Microseconds(operation.latency)}};
}

Json MountJson(const MountRate& mount) {
  Json operations = Json::array();
  for (const OperationRate& operation : mount.operations) {
    Json& json = operations.emplace_back(Json{{"operation", operation.name}});
    json.update(OperationJson(operation));
  }
  Json json =
      WithRate({{"name", mount.name}, {"client", mount.client}, {"path", mount.path}}, mount.rate);
  json.update(OperationJson(mount.all));
  json.update({{"interval_ms", absl::ToInt64Milliseconds(mount.interval)},
               {"open_files", mount.open_files},
               {"locks", mount.locks},
               {"operations", std::move(operations)}});
  return json;
}

Json TopJson(const TopRates& rates, absl::Time at) {
  Json nodes = Json::array(), targets = Json::array(), clients = Json::array();
  for (const NodeRate& node : rates.nodes) {
    Json json = WithRate({{"node", node.node}, {"sessions", node.sessions}}, node.rate);
    if (!node.status.ok()) json["error"] = std::string(node.status.message());
    nodes.push_back(std::move(json));
  }
  for (const TargetRate& target : rates.targets)
    targets.push_back(WithRate({{"target", target.target}, {"node", target.node}}, target.rate));
  for (const ClientRate& client : rates.clients)
    clients.push_back(WithRate({{"name", client.name}, {"nodes", client.nodes}}, client.rate));
  Json tiers = Json::array();
  for (const TierRate& tier : rates.tiers) {
    tiers.push_back({{"name", tier.tier},
                     {"archived_bytes_per_second", Whole(tier.archived)},
                     {"recalled_bytes_per_second", Whole(tier.recalled)},
                     {"read_bytes_per_second", Whole(tier.read)}});
  }
  Json mounts = Json::array();
  for (const MountRate& mount : rates.mounts) mounts.push_back(MountJson(mount));
  return {{"at", UtcTime(at)},
          {"total", RateJson(rates.total)},
          {"nodes", std::move(nodes)},
          {"targets", std::move(targets)},
          {"clients", std::move(clients)},
          {"tiers", std::move(tiers)},
          {"mounts", std::move(mounts)},
          {"mount_count", rates.mount_count}};
}

// Of a table that shows `shown` of `all` rows: what it leaves out.
std::string LeftOut(size_t shown, size_t all) {
  return shown == all ? "" : absl::StrCat("and ", all - shown, " more\n");
}

std::string RenderNodes(const TopRates& rates, size_t limit, TextStyle style) {
  Table table({{"NODE", Align::kRight},
               {"WRITE", Align::kRight},
               {"READ", Align::kRight},
               {"SESSIONS", Align::kRight},
               {"ERROR"}});
  // By id unless some have to be left out.
  std::vector<NodeRate> nodes = rates.nodes;
  if (nodes.size() > limit) {
    std::stable_sort(nodes.begin(), nodes.end(), [](const NodeRate& a, const NodeRate& b) {
      return a.rate.total() > b.rate.total();
    });
    nodes.resize(limit);
  }
  for (const NodeRate& node : nodes) {
    const std::string error(node.status.message());
    table.AddRow({absl::StrCat(node.node), RateText(node.rate.written), RateText(node.rate.read),
                  absl::StrCat(node.sessions), Cell(error.empty() ? "-" : error, Tone::kNone)});
  }
  return table.Render(style) + LeftOut(nodes.size(), rates.nodes.size());
}

std::string RenderTargets(const TopRates& rates, size_t limit, TextStyle style) {
  Table table({{"TARGET", Align::kRight},
               {"NODE", Align::kRight},
               {"WRITE", Align::kRight},
               {"READ", Align::kRight}});
  const size_t shown = std::min(limit, rates.targets.size());
  for (size_t i = 0; i < shown; ++i) {
    const TargetRate& target = rates.targets[i];
    table.AddRow({absl::StrCat(target.target), absl::StrCat(target.node),
                  RateText(target.rate.written), RateText(target.rate.read)});
  }
  return table.Render(style) + LeftOut(shown, rates.targets.size());
}

std::string RenderClients(const TopRates& rates, size_t limit, TextStyle style) {
  if (rates.clients.empty()) return "no client moves anything\n";
  Table table(
      {{"WRITE", Align::kRight}, {"READ", Align::kRight}, {"NODES", Align::kRight}, {"CLIENT"}});
  const size_t shown = std::min(limit, rates.clients.size());
  for (size_t i = 0; i < shown; ++i) {
    const ClientRate& client = rates.clients[i];
    table.AddRow({RateText(client.rate.written), RateText(client.rate.read),
                  absl::StrCat(client.nodes), client.name});
  }
  return table.Render(style) + LeftOut(shown, rates.clients.size());
}

std::string RenderTierRates(const TopRates& rates, TextStyle style) {
  if (rates.tiers.empty()) return "";
  Table table({{"TIER"},
               {"ARCHIVED", Align::kRight},
               {"RECALLED", Align::kRight},
               {"READ", Align::kRight}});
  for (const TierRate& tier : rates.tiers)
    table.AddRow(
        {tier.tier, RateText(tier.archived), RateText(tier.recalled), RateText(tier.read)});
  return absl::StrCat("\n", table.Render(style));
}

// "host:/mnt/models"; of one that has no name, "host:pid".
std::string MountText(const MountRate& mount) {
  if (mount.name.empty()) return mount.client;
  return absl::StrCat(mount.client.substr(0, mount.client.rfind(':')), ":", mount.name);
}

std::string LatencyText(const OperationRate& operation) {
  return operation.calls > 0 ? HumanDuration(operation.latency) : "-";
}

// "getattr 1.20k/s 0.31 ms, lookup 800/s 0.52 ms".
std::string BusiestText(const std::vector<OperationRate>& operations) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < std::min(kOperationsShown, operations.size()); ++i) {
    const OperationRate& operation = operations[i];
    texts.push_back(absl::StrCat(operation.name, " ", HumanFrequency(operation.calls), " ",
                                 LatencyText(operation)));
  }
  return texts.empty() ? "-" : absl::StrJoin(texts, ", ");
}

std::string RenderMounts(const TopRates& rates, size_t limit, TextStyle style) {
  if (rates.mounts.empty()) return "";
  Table table({{"MOUNT"},
               {"OPS/S", Align::kRight},
               {"WRITE", Align::kRight},
               {"READ", Align::kRight},
               {"LATENCY", Align::kRight},
               {"ERRORS/S", Align::kRight},
               {"BUSIEST"}});
  const size_t shown = std::min(limit, rates.mounts.size());
  for (size_t i = 0; i < shown; ++i) {
    const MountRate& mount = rates.mounts[i];
    table.AddRow({MountText(mount), HumanFrequency(mount.all.calls), RateText(mount.rate.written),
                  RateText(mount.rate.read), LatencyText(mount.all),
                  HumanFrequency(mount.all.errors), BusiestText(mount.operations)});
  }
  return absl::StrCat("\n", table.Render(style),
                      LeftOut(shown, std::max<size_t>(shown, rates.mount_count)));
}

std::string RenderTop(const TopRates& rates, size_t limit, TextStyle style) {
  return absl::StrCat("write ", RateText(rates.total.written), ", read ",
                      RateText(rates.total.read), "\n\n", RenderNodes(rates, limit, style), "\n",
                      RenderTargets(rates, limit, style), "\n", RenderClients(rates, limit, style),
                      RenderTierRates(rates, style), RenderMounts(rates, limit, style));
}

int RunTop(Context& context, const TopArguments& arguments) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Admin admin(*client);
  absl::StatusOr<std::vector<NodeLoad>> before = admin.Load();
  if (!before.ok()) return context.Fail({"cannot ask what moves", "", before.status()});
  const absl::Status waited = context.wait(std::min(arguments.interval, kFirstInterval));
  if (!waited.ok()) return context.Fail({"stopped watching", "", waited});
  WatchOptions watch;
  watch.on = !arguments.once;
  watch.interval = arguments.interval;
  return RunLooks(context, watch, [&]() -> Look {
    absl::StatusOr<std::vector<NodeLoad>> after = admin.Load();
    if (!after.ok()) return {context.Fail({"cannot ask what moves", "", after.status()})};
    const TopRates rates = RatesBetween(*before, *after);
    before = std::move(after);
    if (context.json()) {
      context.PrintJson(TopJson(rates, context.clock().WallNow()));
    } else {
      context.Print(RenderTop(rates, arguments.limit, context.style()));
    }
    return {kExitOk};
  });
}

}  // namespace

void AddTopCommand(CLI::App* app, Command* chosen) {
  CLI::App* top =
      app->add_subcommand("top", "What moves now, by node, target, client, tier and mount");
  auto arguments = std::make_shared<TopArguments>();
  AddDurationOption(top, "-i,--interval", &arguments->interval, "From sample to sample [2s]");
  top->add_option("-n,--limit", arguments->limit, "Rows of each table; JSON has all [10]")
      ->type_name("ROWS");
  top->add_flag("--once", arguments->once, "One sample, of a second, and no more");
  top->footer(kHelp);
  top->callback([arguments, chosen] {
    if (arguments->interval < kIntervalMin)
      throw CLI::ValidationError("--interval", "1s is the least");
    *chosen = [arguments](Context& context) { return RunTop(context, *arguments); };
  });
}

}  // namespace cairn::cli
