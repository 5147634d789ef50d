// See diagnosis.h; links are judged in diagnosis_links.cc.
#include "server/cluster/diagnosis.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "common/base/strings.h"
#include "server/cluster/diagnosis_links.h"
#include "server/cluster/health.h"
#include "server/cluster/health_item.h"
#include "server/cluster/wording.h"

namespace cairn {
namespace {

// A read of 64 KiB takes a tenth of a millisecond from flash and ten from a disk that turns; a
// device that serves a save answers late as well.
constexpr uint64_t kProbeFloorUs = 20'000;
// With nothing to compare with.
constexpr uint64_t kProbeAloneUs = 250'000;
// Of clients' operations, which are up to 4 MiB.
constexpr uint64_t kClientFloorUs = 50'000;
constexpr double kSlowFactor = 5;
// Fewer operations of clients say nothing of the device.
constexpr uint64_t kSamplesMin = 16;
constexpr uint64_t kStuckUs = 1'000'000;

// What people notice in times of files and logs. Leases and failures do not go by the wall clock.
constexpr int64_t kSkewUs = 500'000;

constexpr uint32_t kFlapsMin = 3;
// A node may miss heartbeats under load.
constexpr uint32_t kSuspectsMin = 6;

using NodesById = absl::flat_hash_map<uint32_t, const wire::NodeInfo*>;
using Findings = std::vector<wire::ExamineFinding>;

bool CountsAsAlive(const NodesById& nodes, uint32_t id) {
  const auto found = nodes.find(id);
  return found != nodes.end() &&
         (found->second->state() == wire::NODE_UP || found->second->state() == wire::NODE_SUSPECT);
}

std::string NameOf(const NodesById& nodes, uint32_t id) {
  const auto found = nodes.find(id);
  return found == nodes.end() ? StrCat("node ", id) : Describe(*found->second);
}

wire::ExamineFinding MakeFinding(const char* code, wire::HealthSeverity severity) {
  wire::ExamineFinding finding;
  *finding.mutable_item() = MakeHealthItem(code, severity);
  return finding;
}

std::string Milliseconds(uint64_t us) {
  if (us >= 10'000) return StrCat(us / 1000, " ms");
  const uint64_t rest = us % 1000 / 10;
  return StrCat(us / 1000, ".", rest < 10 ? "0" : "", rest, " ms");
}

// 0: there are none.
template <class T>
T MedianOf(std::vector<T> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// ---- nodes ----

// Which have not answered though they count as alive.
std::set<uint32_t> JudgeSilence(const NodesById& nodes, const std::vector<wire::NodeFacts>& facts,
                                Findings* findings) {
  std::set<uint32_t> silent;
  for (const wire::NodeFacts& node : facts) {
    if (node.code() == 0) continue;
    silent.insert(node.node());
    if (!CountsAsAlive(nodes, node.node())) continue;  // which is told by its state
    const bool too_old =
        static_cast<absl::StatusCode>(node.code()) == absl::StatusCode::kUnimplemented;
    wire::ExamineFinding finding = too_old ? MakeFinding("NODE_UNEXAMINED", wire::HEALTH_WARNING)
                                           : MakeFinding("NODE_SILENT", wire::HEALTH_ERROR);
    wire::HealthItem& item = *finding.mutable_item();
    if (too_old) {
      item.set_summary(
          StrCat(NameOf(nodes, node.node()), " runs a release that cannot be examined"));
      item.set_endangers("nothing; what is slow there is not found");
      item.set_todo("bring its cairnd up to the release of the others");
    } else {
      item.set_summary(StrCat(NameOf(nodes, node.node()), " does not answer: ", node.error()));
      item.set_endangers("what is on it is out of reach for now, and calls to it hang");
      item.set_todo(
          "see whether its machine is stopped, overloaded or cut off; it is down soon if it stays "
          "silent");
    }
    item.add_nodes(node.node());
    findings->push_back(std::move(finding));
  }
  return silent;
}

void JudgeFlapping(const NodesById& nodes, const std::vector<wire::NodeFacts>& facts,
                   Findings* findings) {
  for (const wire::NodeFacts& node : facts) {
    const uint32_t worst = std::max(node.downs(), node.restarts());
    if (worst < kFlapsMin && node.suspects() < kSuspectsMin) continue;
    wire::ExamineFinding finding = MakeFinding("NODE_FLAPPING", wire::HEALTH_WARNING);
    finding.set_measured(std::max(worst, node.suspects()));
    finding.set_unit("times");
    wire::HealthItem& item = *finding.mutable_item();
    item.set_summary(StrCat(NameOf(nodes, node.node()), " comes and goes: in the last ",
                            node.window_s() / 60, " min it was found down ", node.downs(),
                            ", restarted ", node.restarts(), " and missed heartbeats ",
                            node.suspects(), " times"));
    item.set_endangers("each time its data is out of reach, and what waits for it is delayed");
    item.set_todo(node.restarts() >= kFlapsMin
                      ? "see in the log of cairnd there, and in the machine's, why it ends"
                      : "look at its network and at how busy its machine is");
    item.set_since_ns(node.unrest_since_ns());
    item.add_nodes(node.node());
    findings->push_back(std::move(finding));
  }
}

// Against the median, so that when the asker's clock is the one that is off, it is the one named.
void JudgeClocks(const NodesById& nodes, const std::vector<wire::NodeFacts>& facts,
                 Findings* findings) {
  std::vector<int64_t> offsets;
  for (const wire::NodeFacts& node : facts)
    if (node.code() == 0) offsets.push_back(node.clock_ahead_us());
  const int64_t median = offsets.size() < 3 ? 0 : MedianOf(offsets);
  for (const wire::NodeFacts& node : facts) {
    if (node.code() != 0) continue;
    const int64_t ahead = node.clock_ahead_us() - median;
    if (std::abs(ahead) < kSkewUs + static_cast<int64_t>(node.clock_error_us())) continue;
    wire::ExamineFinding finding = MakeFinding("NODE_CLOCK_SKEW", wire::HEALTH_WARNING);
    finding.set_measured(static_cast<double>(ahead) / 1000);
    finding.set_unit("ms");
    wire::HealthItem& item = *finding.mutable_item();
    item.set_summary(StrCat("the clock of ", NameOf(nodes, node.node()), " is ",
                            Milliseconds(static_cast<uint64_t>(std::abs(ahead))),
                            ahead < 0 ? " behind" : " ahead",
                            offsets.size() < 3 ? " of the clock of the node with the metadata"
                                               : " of those of most nodes",
                            " (to ", Milliseconds(node.clock_error_us()), ")"));
    item.set_endangers(
        "times in logs do not fit together; on the node with the metadata also the ages that "
        "retention goes by");
    item.set_todo("let that machine's clock be set by NTP: chronyc tracking, timedatectl");
    item.add_nodes(node.node());
    findings->push_back(std::move(finding));
  }
}

// ---- targets ----

struct Measured {
  const wire::NodeFacts* node = nullptr;
  const wire::TargetFacts* target = nullptr;
};

// One kind of what is measured of targets.
struct Kind {
  const wire::LatencyFacts& (wire::TargetFacts::*of)() const;
  const char* what;
  uint64_t samples_min;
  uint64_t floor_us;
  uint64_t alone_us;  // slow whatever the others do; 0: never
};

const Kind kKinds[] = {
    {&wire::TargetFacts::probe, "a read of 64 KiB takes ", 1, kProbeFloorUs, kProbeAloneUs},
    {&wire::TargetFacts::flush, "a flush takes ", kSamplesMin, kClientFloorUs, 0},
    {&wire::TargetFacts::write, "a write takes ", kSamplesMin, kClientFloorUs, 0},
    {&wire::TargetFacts::read, "a client's read takes ", kSamplesMin, kClientFloorUs, 0},
};

std::string TargetName(const NodesById& nodes, const Measured& measured) {
  return StrCat(Describe(measured.target->target()), " of ", NameOf(nodes, measured.node->node()));
}

void FillTarget(const Measured& measured, wire::HealthItem* item) {
  item->add_nodes(measured.node->node());
  item->add_targets(measured.target->target().id());
}

// Of the others, in one kind; 0: no other has been measured.
uint64_t MedianOfOthers(const std::vector<Measured>& all, const Measured& one, const Kind& kind) {
  std::vector<uint64_t> others;
  for (const Measured& each : all) {
    const wire::LatencyFacts& latency = (each.target->*kind.of)();
    if (each.target != one.target && latency.samples() >= kind.samples_min)
      others.push_back(latency.p50_us());
  }
  return MedianOf(std::move(others));
}

std::optional<wire::ExamineFinding> JudgeSpeed(const NodesById& nodes,
                                               const std::vector<Measured>& all,
                                               const Measured& one) {
  std::string slow;
  wire::ExamineFinding finding = MakeFinding("TARGET_SLOW", wire::HEALTH_WARNING);
  for (const Kind& kind : kKinds) {
    const wire::LatencyFacts& latency = (one.target->*kind.of)();
    if (latency.samples() < kind.samples_min || latency.p50_us() < kind.floor_us) continue;
    const uint64_t usual = MedianOfOthers(all, one, kind);
    const bool stands_out = usual > 0 && static_cast<double>(latency.p50_us()) >=
                                             kSlowFactor * static_cast<double>(usual);
    const bool slow_anyway = kind.alone_us > 0 && latency.p50_us() >= kind.alone_us;
    if (!stands_out && !slow_anyway) continue;
    if (slow.empty()) {
      finding.set_measured(static_cast<double>(latency.p50_us()) / 1000);
      finding.set_usual(static_cast<double>(usual) / 1000);
      finding.set_unit("ms");
    }
    slow += StrCat(slow.empty() ? "" : ", ", kind.what, Milliseconds(latency.p50_us()),
                   usual > 0 ? StrCat(" (median of the others: ", Milliseconds(usual), ")") : "");
  }
  if (slow.empty()) return std::nullopt;
  wire::HealthItem& item = *finding.mutable_item();
  item.set_summary(StrCat(TargetName(nodes, one), " is slow: ", slow));
  item.set_endangers("every save and restore waits for it");
  item.set_todo(
      "see what else uses the device, and its health (smartctl, nvme smart-log, dmesg); replace it "
      "if it is failing: cairn node drain moves what it holds");
  FillTarget(one, &item);
  return finding;
}

wire::ExamineFinding TellStuck(const NodesById& nodes, const Measured& one, absl::Time now) {
  wire::ExamineFinding finding = MakeFinding("TARGET_STUCK", wire::HEALTH_ERROR);
  const uint64_t pending = one.target->probe_pending_us();
  finding.set_measured(static_cast<double>(pending) / 1000);
  finding.set_unit("ms");
  wire::HealthItem& item = *finding.mutable_item();
  item.set_summary(StrCat("the device of ", TargetName(nodes, one),
                          " does not answer: a read has taken ", Milliseconds(pending), " so far"));
  item.set_endangers("calls to it hang, and every save and restore with them");
  item.set_todo(
      "see dmesg there for resets and errors of the device; if it does not come back, stop cairnd "
      "there, so that the others go on without it");
  item.set_since_ns(absl::ToUnixNanos(now - absl::Microseconds(static_cast<int64_t>(pending))));
  FillTarget(one, &item);
  return finding;
}

void JudgeTargets(const NodesById& nodes, const std::vector<wire::NodeFacts>& facts, absl::Time now,
                  Findings* findings) {
  std::vector<Measured> all;
  for (const wire::NodeFacts& node : facts) {
    for (const wire::TargetFacts& target : node.reply().targets())
      if (target.failure().empty()) all.push_back({&node, &target});
  }
  for (const Measured& one : all) {
    if (one.target->probe_pending_us() >= kStuckUs) {
      findings->push_back(TellStuck(nodes, one, now));
      continue;
    }
    std::optional<wire::ExamineFinding> slow = JudgeSpeed(nodes, all, one);
    if (slow.has_value()) findings->push_back(*std::move(slow));
  }
}

// What `cairn health` says of nodes and targets, by what they have just told.
void AddHealth(wire::ClusterMap map, const std::vector<wire::NodeFacts>& facts,
               const std::set<uint32_t>& silent, Findings* findings) {
  absl::flat_hash_map<uint32_t, const wire::TargetFacts*> fresh;
  for (const wire::NodeFacts& node : facts) {
    for (const wire::TargetFacts& target : node.reply().targets())
      fresh[target.target().id()] = &target;
  }
  map.clear_groups();
  for (wire::TargetInfo& target : *map.mutable_targets()) {
    const auto found = fresh.find(target.id());
    if (found == fresh.end()) continue;
    target.set_capacity_bytes(found->second->target().capacity_bytes());
    target.set_used_bytes(found->second->target().used_bytes());
    if (!found->second->failure().empty()) target.set_state(wire::TARGET_FAILED);
  }
  for (wire::HealthItem& item : JudgeHealth(map)) {
    const bool of_part = item.code().starts_with("NODE_") || item.code().starts_with("TARGET_");
    // What people want of a node is no trouble of its; and one that is silent is told already.
    const bool told = item.code() == "NODE_DRAINING" ||
                      (item.code() == "NODE_SUSPECT" && silent.contains(item.nodes(0)));
    if (!of_part || told) continue;
    *findings->emplace_back().mutable_item() = std::move(item);
  }
}

auto OrderOf(const wire::ExamineFinding& finding) {
  const wire::HealthItem& item = finding.item();
  return std::make_tuple(-static_cast<int>(item.severity()), item.code(),
                         item.nodes().empty() ? 0 : item.nodes(0),
                         item.targets().empty() ? 0 : item.targets(0));
}

}  // namespace

std::vector<wire::ExamineFinding> Diagnose(const wire::ClusterMap& map,
                                           const std::vector<wire::NodeFacts>& facts,
                                           absl::Time now) {
  NodesById nodes;
  for (const wire::NodeInfo& node : map.nodes()) nodes[node.id()] = &node;
  Findings findings;
  const std::set<uint32_t> silent = JudgeSilence(nodes, facts, &findings);
  JudgeFlapping(nodes, facts, &findings);
  JudgeClocks(nodes, facts, &findings);
  JudgeTargets(nodes, facts, now, &findings);
  DiagnoseLinks(nodes, facts, silent, &findings);
  AddHealth(map, facts, silent, &findings);
  std::stable_sort(findings.begin(), findings.end(),
                   [](const wire::ExamineFinding& a, const wire::ExamineFinding& b) {
                     return OrderOf(a) < OrderOf(b);
                   });
  return findings;
}

std::vector<uint32_t> NodesToTryAgain(const std::vector<wire::ExamineFinding>& findings) {
  static const std::set<std::string>* const kMayBeBadLuck = new std::set<std::string>{
      "LINK_BROKEN", "LINK_SLOW", "NODE_CLOCK_SKEW", "NODE_NETWORK_SLOW", "TARGET_SLOW"};
  std::set<uint32_t> nodes;
  for (const wire::ExamineFinding& finding : findings) {
    if (!kMayBeBadLuck->contains(finding.item().code())) continue;
    nodes.insert(finding.item().nodes().begin(), finding.item().nodes().end());
  }
  return {nodes.begin(), nodes.end()};
}

wire::NodeFacts BetterOf(const wire::NodeFacts& first, const wire::NodeFacts& second) {
  if (first.code() != 0 || second.code() != 0) return second;
  wire::NodeFacts better = second;
  if (first.clock_error_us() < second.clock_error_us()) {
    better.set_rtt_us(first.rtt_us());
    better.set_clock_ahead_us(first.clock_ahead_us());
    better.set_clock_error_us(first.clock_error_us());
  }
  for (wire::TargetFacts& target : *better.mutable_reply()->mutable_targets()) {
    for (const wire::TargetFacts& other : first.reply().targets()) {
      if (other.target().id() != target.target().id() || other.probe().samples() == 0) continue;
      if (target.probe().samples() > 0 && other.probe().p50_us() < target.probe().p50_us())
        *target.mutable_probe() = other.probe();
    }
  }
  for (wire::LinkFacts& link : *better.mutable_reply()->mutable_links()) {
    for (const wire::LinkFacts& other : first.reply().links()) {
      if (other.to() != link.to() || other.code() != 0) continue;
      if (link.code() != 0) {
        link = other;
        continue;
      }
      link.set_rtt_us(std::min(link.rtt_us(), other.rtt_us()));
      // The rate: a / b > c / d without a division by nothing.
      if (other.sent_bytes() * link.sent_us() > link.sent_bytes() * other.sent_us()) {
        link.set_sent_bytes(other.sent_bytes());
        link.set_sent_us(other.sent_us());
      }
    }
  }
  return better;
}

}  // namespace cairn
