#include "server/cluster/diagnosis_links.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "common/base/strings.h"
#include "server/cluster/health_item.h"
#include "server/cluster/wording.h"

namespace cairn {
namespace {

// A machine that is busy answers some milliseconds late; links between nodes of a cluster differ by
// less than this even across a building.
constexpr double kRttFloorUs = 10'000;
constexpr double kRttFactor = 5;
// With nothing to compare with: no link within a cluster should take so long.
constexpr double kRttAloneUs = 100'000;
// What a link of 1 Gbit/s moves even with other traffic on it.
constexpr double kRateFloor = 40;  // MB/s
constexpr double kRateFactor = 5;
constexpr double kRateAlone = 5;
// Of a node's links in one direction, so that the node is to blame and not each link.
constexpr double kNodeShare = 0.75;
constexpr size_t kNodeLinksMin = 2;

struct Link {
  uint32_t from = 0;
  uint32_t to = 0;
  double rtt_us = 0;
  double rate = 0;  // MB/s; 0: not measured
  bool is_broken = false;
  bool is_slow = false;
  bool is_told = false;

  bool is_bad() const { return is_broken || is_slow; }
};

double RateOf(const wire::LinkFacts& facts) {
  if (facts.sent_us() == 0) return 0;
  return static_cast<double>(facts.sent_bytes()) / static_cast<double>(facts.sent_us());
}

// Whether an error says that the other end is out of reach.
bool IsBroken(const wire::LinkFacts& facts) {
  const auto code = static_cast<absl::StatusCode>(facts.code());
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kDeadlineExceeded;
}

std::vector<Link> TriedLinks(const std::vector<wire::NodeFacts>& facts,
                             const std::set<uint32_t>& silent) {
  std::vector<Link> links;
  for (const wire::NodeFacts& node : facts) {
    for (const wire::LinkFacts& each : node.reply().links()) {
      if (silent.contains(each.from()) || silent.contains(each.to())) continue;
      if (each.code() != 0 && !IsBroken(each)) continue;
      Link link;
      link.from = node.node();
      link.to = each.to();
      link.rtt_us = static_cast<double>(each.rtt_us());
      link.rate = RateOf(each);
      link.is_broken = IsBroken(each);
      links.push_back(link);
    }
  }
  return links;
}

// The median of the better half: with one slow node among three, two links of three are slow.
double Usual(std::vector<double> values, bool less_is_better) {
  if (values.size() < 2) return 0;
  std::sort(values.begin(), values.end());
  if (!less_is_better) std::reverse(values.begin(), values.end());
  return values[(values.size() - 1) / 4];
}

struct UsualLink {
  double rtt_us = 0;  // 0: nothing to compare with
  double rate = 0;
};

UsualLink UsualOf(const std::vector<Link>& links) {
  std::vector<double> rtts, rates;
  for (const Link& link : links) {
    if (link.is_broken) continue;
    rtts.push_back(link.rtt_us);
    if (link.rate > 0) rates.push_back(link.rate);
  }
  return {Usual(std::move(rtts), true), Usual(std::move(rates), false)};
}

bool IsFar(const Link& link, const UsualLink& usual) {
  if (link.rtt_us >= kRttAloneUs) return true;
  return usual.rtt_us > 0 && link.rtt_us >= kRttFloorUs && link.rtt_us >= kRttFactor * usual.rtt_us;
}

bool IsThin(const Link& link, const UsualLink& usual) {
  if (link.rate <= 0) return false;
  return link.rate <= kRateAlone ||
         (link.rate <= kRateFloor && link.rate * kRateFactor <= usual.rate);
}

std::string Number(double value) {
  // As many digits as say something.
  if (value >= 10) return StrCat(static_cast<int64_t>(std::lround(value)));
  const int64_t hundredths = std::lround(value * 100);
  const int64_t rest = hundredths % 100;
  return StrCat(hundredths / 100, ".", rest < 10 ? "0" : "", rest);
}

std::string Others(double usual, const char* unit) {
  return usual > 0 ? StrCat(" (others: ", Number(usual), " ", unit, ")") : "";
}

class LinkJudge {
 public:
  LinkJudge(const absl::flat_hash_map<uint32_t, const wire::NodeInfo*>& nodes,
            std::vector<Link> links)
      : nodes_(nodes), links_(std::move(links)), usual_(UsualOf(links_)) {
    for (Link& link : links_) {
      if (!link.is_broken) link.is_slow = IsFar(link, usual_) || IsThin(link, usual_);
    }
  }

  // The worst node first, as long as there is one whose links explain more than themselves.
  void JudgeNodes(std::vector<wire::ExamineFinding>* findings) {
    while (true) {
      std::map<uint32_t, std::vector<Link*>> blamed;
      for (const auto& [id, node] : nodes_) {
        std::vector<Link*> bad = BadLinksOf(id);
        if (!bad.empty()) blamed.emplace(id, std::move(bad));
      }
      const auto worst = std::max_element(
          blamed.begin(), blamed.end(),
          [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
      if (worst == blamed.end()) return;
      findings->push_back(TellNode(worst->first, worst->second));
      for (Link* link : worst->second) link->is_told = true;
    }
  }

  void JudgePairs(std::vector<wire::ExamineFinding>* findings) {
    std::map<std::pair<uint32_t, uint32_t>, std::vector<const Link*>> pairs;
    for (const Link& link : links_) {
      if (link.is_bad() && !link.is_told)
        pairs[{std::min(link.from, link.to), std::max(link.from, link.to)}].push_back(&link);
    }
    for (const auto& [ends, bad] : pairs) findings->push_back(TellPair(bad));
  }

 private:
  // All bad links of a node that is to blame for them; else none.
  std::vector<Link*> BadLinksOf(uint32_t node) {
    std::vector<Link*> bad;
    bool to_blame = false;
    for (uint32_t Link::*end : {&Link::from, &Link::to}) {
      size_t all = 0;
      std::vector<Link*> bad_here;
      for (Link& link : links_) {
        if (link.*end != node || link.is_told) continue;
        ++all;
        if (link.is_bad()) bad_here.push_back(&link);
      }
      bad.insert(bad.end(), bad_here.begin(), bad_here.end());
      to_blame |= bad_here.size() >= kNodeLinksMin &&
                  static_cast<double>(bad_here.size()) >= kNodeShare * static_cast<double>(all);
    }
    if (!to_blame) bad.clear();
    return bad;
  }

  std::string NameOf(uint32_t node) const {
    const auto found = nodes_.find(node);
    return found == nodes_.end() ? StrCat("node ", node) : Describe(*found->second);
  }

  // What is measured of the worst of `bad`, in words and in the finding.
  std::string Measure(const Link& worst, wire::ExamineFinding* finding) const {
    if (worst.is_broken) return "";
    const bool far = IsFar(worst, usual_);
    if (far) {
      finding->set_measured(worst.rtt_us / 1000);
      finding->set_usual(usual_.rtt_us / 1000);
      finding->set_unit("ms");
    } else {
      finding->set_measured(worst.rate);
      finding->set_usual(usual_.rate);
      finding->set_unit("MB/s");
    }
    std::string text;
    if (far) {
      text = StrCat("a round trip takes ", Number(worst.rtt_us / 1000), " ms",
                    Others(usual_.rtt_us / 1000, "ms"));
    }
    if (IsThin(worst, usual_)) {
      text += StrCat(text.empty() ? "" : ", ", "one connection moves ", Number(worst.rate), " MB/s",
                     Others(usual_.rate, "MB/s"));
    }
    return text;
  }

  static const Link& WorstOf(const std::vector<const Link*>& bad) {
    return **std::min_element(bad.begin(), bad.end(), [](const Link* a, const Link* b) {
      if (a->is_broken != b->is_broken) return a->is_broken;
      if (a->rate != b->rate) return a->rate < b->rate;
      return a->rtt_us > b->rtt_us;
    });
  }

  wire::ExamineFinding TellNode(uint32_t node, const std::vector<Link*>& bad) const {
    const std::vector<const Link*> links(bad.begin(), bad.end());
    const Link& worst = WorstOf(links);
    const auto broken = static_cast<uint64_t>(std::count_if(
        links.begin(), links.end(), [](const Link* link) { return link->is_broken; }));
    wire::ExamineFinding finding;
    wire::HealthItem& item = *finding.mutable_item();
    item =
        MakeHealthItem("NODE_NETWORK_SLOW", broken > 0 ? wire::HEALTH_ERROR : wire::HEALTH_WARNING);
    const std::string measured = Measure(worst, &finding);
    item.set_summary(
        StrCat("the network of ", NameOf(node), " is ",
               broken > 0 ? StrCat("broken: ", Counted(broken, "link"), " of it ",
                                   broken == 1 ? "does" : "do", " not work")
                          : StrCat("slow on ", Counted(links.size(), "link"), ": ", measured)));
    item.set_endangers(
        "every save and restore waits for the slowest node: all are as slow as this one");
    item.set_todo(
        "look at that machine's network: its port's speed and errors (ethtool), its cable, the "
        "switch, other traffic, a busy CPU");
    item.add_nodes(node);
    return finding;
  }

  wire::ExamineFinding TellPair(const std::vector<const Link*>& bad) const {
    const Link& worst = WorstOf(bad);
    wire::ExamineFinding finding;
    finding.set_is_link(true);
    wire::HealthItem& item = *finding.mutable_item();
    item = worst.is_broken ? MakeHealthItem("LINK_BROKEN", wire::HEALTH_ERROR)
                           : MakeHealthItem("LINK_SLOW", wire::HEALTH_WARNING);
    const std::string measured = Measure(worst, &finding);
    const bool both = bad.size() > 1;
    item.set_summary(StrCat("the link ", both ? "between " : "from ", NameOf(worst.from),
                            both ? " and " : " to ", NameOf(worst.to),
                            worst.is_broken ? " does not work" : StrCat(" is slow: ", measured)));
    item.set_endangers(worst.is_broken
                           ? "rebuild and repair between these two nodes; clients there may be cut "
                             "off in the same way"
                           : "rebuild and repair between these two nodes, and clients that share "
                             "the way");
    item.set_todo(
        "the rest of both nodes' links is sound: look at what only these two share, a route, an "
        "uplink, a firewall's rule");
    item.add_nodes(worst.from);
    item.add_nodes(worst.to);
    return finding;
  }

  const absl::flat_hash_map<uint32_t, const wire::NodeInfo*>& nodes_;
  std::vector<Link> links_;
  const UsualLink usual_;
};

}  // namespace

void DiagnoseLinks(const absl::flat_hash_map<uint32_t, const wire::NodeInfo*>& nodes,
                   const std::vector<wire::NodeFacts>& facts, const std::set<uint32_t>& silent,
                   std::vector<wire::ExamineFinding>* findings) {
  LinkJudge judge(nodes, TriedLinks(facts, silent));
  judge.JudgeNodes(findings);
  judge.JudgePairs(findings);
}

}  // namespace cairn
