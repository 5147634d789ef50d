// See health.h.
#include "server/cluster/health.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/base/strings.h"
#include "common/placement/redundancy.h"
#include "server/cluster/health_item.h"
#include "server/cluster/health_moves.h"
#include "server/cluster/map_domains.h"
#include "server/cluster/wording.h"

namespace cairn {
namespace {

constexpr char kStartAgain[] =
    "start cairnd there again with its data: it comes back with all it held; if that is lost, say "
    "so with cairn node rm, and it is made again elsewhere at once";
constexpr char kMakeRoom[] =
    "remove checkpoints (cairn ckpt prune, cairn ckpt retention) or add a node";

wire::HealthItem Error(const char* code) { return MakeHealthItem(code, wire::HEALTH_ERROR); }

wire::HealthItem Warning(const char* code) { return MakeHealthItem(code, wire::HEALTH_WARNING); }

using NodesById = absl::flat_hash_map<uint32_t, const wire::NodeInfo*>;

// ---- nodes and targets ----

std::optional<wire::HealthItem> JudgeNode(const wire::NodeInfo& node, uint64_t targets) {
  wire::HealthItem item;
  switch (node.state()) {
    case wire::NODE_SUSPECT:
      item = Warning("NODE_SUSPECT");
      item.set_summary(StrCat(Describe(node), " has missed heartbeats"));
      item.set_endangers(
          "it takes no new data where others can, and is down soon if it stays silent");
      item.set_todo("see whether its machine is overloaded or its network is cut");
      break;
    case wire::NODE_DOWN:
      item = Error("NODE_DOWN");
      item.set_summary(StrCat(Describe(node), " is down"));
      break;
    case wire::NODE_OUT:
      item = Error("NODE_OUT");
      item.set_summary(StrCat(Describe(node), " is out: it has been down for long"));
      break;
    default:
      return std::nullopt;
  }
  if (item.severity() == wire::HEALTH_ERROR) {
    item.set_endangers(StrCat("what is on its ", Counted(targets, "target"), " is out of reach"));
    item.set_todo(kStartAgain);
  }
  item.set_since_ns(node.state_since_ns());
  item.add_nodes(node.id());
  return item;
}

std::optional<wire::HealthItem> JudgeTarget(const wire::TargetInfo& target,
                                            const wire::NodeInfo* node) {
  wire::HealthItem item;
  const std::string name = StrCat(
      Describe(target), " of ", node != nullptr ? Describe(*node) : StrCat("node ", target.node()));
  if (target.state() == wire::TARGET_FAILED) {
    item = Error("TARGET_FAILED");
    item.set_summary(StrCat(name, " has failed"));
    item.set_endangers("what is on it is out of reach, and it takes nothing");
    item.set_todo(
        "restart cairnd there once the device is sound (its log says what failed), or give the "
        "target up with cairn target replace");
  } else if (target.joining() && node != nullptr && node->state() == wire::NODE_UP) {
    item = Warning("TARGET_JOINING");
    item.set_summary(StrCat(name, " is joining"));
    item.set_endangers("nothing that is stored; its space is not used yet");
    item.set_todo("wait some seconds; if it stays so, see the log of cairnd there");
    item.set_since_ns(node->state_since_ns());
  } else {
    return std::nullopt;
  }
  item.add_nodes(target.node());
  item.add_targets(target.id());
  return item;
}

// Whether so many twentieths of it are free, or less.
bool IsFreeAtMost(const wire::TargetInfo& target, uint64_t twentieths) {
  const uint64_t capacity = target.capacity_bytes();
  const uint64_t free = capacity - std::min(capacity, target.used_bytes());
  return capacity > 0 && free <= capacity / 20 * twentieths + capacity % 20 * twentieths / 20;
}

void JudgeSpace(const wire::ClusterMap& map, const NodesById& nodes,
                std::vector<wire::HealthItem>* items) {
  wire::HealthItem full = Error("TARGET_FULL");
  wire::HealthItem nearly = Warning("TARGET_NEARFULL");
  std::vector<std::string> full_names, nearly_names;
  for (const wire::TargetInfo& target : map.targets()) {
    const auto node = nodes.find(target.node());
    // What takes nothing anyway has an item of its own.
    if (node == nodes.end() || !IsAlive(*node->second)) continue;
    if (target.state() == wire::TARGET_FAILED || !IsFreeAtMost(target, 3)) continue;
    const bool is_full = IsFreeAtMost(target, 1);
    (is_full ? full : nearly).add_targets(target.id());
    const double percent = 100.0 * static_cast<double>(target.used_bytes()) /
                           static_cast<double>(target.capacity_bytes());
    (is_full ? full_names : nearly_names)
        .push_back(StrCat(target.id(), " (", static_cast<int>(std::min(percent, 100.0)), " %)"));
  }
  if (!full_names.empty()) {
    full.set_summary(StrCat(Counted(full_names.size(), "target"),
                            " at least 95 % full: ", Listed("target", full_names)));
    full.set_endangers("writes go to fewer targets, and are refused once none has room");
    full.set_todo(kMakeRoom);
    items->push_back(std::move(full));
  }
  if (!nearly_names.empty()) {
    nearly.set_summary(StrCat(Counted(nearly_names.size(), "target"),
                              " at least 85 % full: ", Listed("target", nearly_names)));
    nearly.set_endangers("nothing yet; writes avoid targets that are full, and end when all are");
    nearly.set_todo(kMakeRoom);
    items->push_back(std::move(nearly));
  }
}

// ---- groups ----

// Where a fragment is.
struct Place {
  uint32_t node = 0;
  uint32_t rack = 0;  // a number for its name
  bool is_node_alive = false;
  bool is_missing = true;
  int64_t missing_since_ns = 0;  // 0: not known
};

// The members that some groups lack.
struct Missing {
  std::set<uint32_t> nodes;
  std::set<uint32_t> targets;
  std::set<uint32_t> failed;  // those of the targets whose nodes are there

  void Add(uint32_t target, const Place& place) {
    targets.insert(target);
    if (place.node != 0 && !place.is_node_alive) {
      nodes.insert(place.node);
    } else {
      failed.insert(target);
    }
  }
  std::string Describe() const {
    std::string text;
    if (!nodes.empty()) text = Listed("node", nodes);
    if (!failed.empty()) text += StrCat(text.empty() ? "" : " and ", Listed("target", failed));
    return text;
  }
  std::string Todo() const {
    std::string text;
    if (!nodes.empty())
      text = StrCat("start cairnd again with its data on ", Listed("node", nodes));
    if (!failed.empty()) {
      text += StrCat(text.empty() ? "" : "; ", "see to the devices of ", Listed("target", failed),
                     " and restart cairnd there");
    }
    return text;
  }
  void Fill(wire::HealthItem* item) const {
    item->mutable_nodes()->Add(nodes.begin(), nodes.end());
    item->mutable_targets()->Add(targets.begin(), targets.end());
  }
};

// All groups of a redundancy.
struct Kind {
  std::optional<Redundancy> redundancy;  // absent: not one of this release
  uint64_t groups = 0;
  uint64_t unavailable = 0;
  uint64_t degraded = 0;
  bool is_any_full_whole = false;
  bool is_any_crowded_whole = false;
  // Whole groups that survive fewer losses, because a domain has several of their fragments.
  uint64_t sharing = 0;
  uint32_t sharing_survive = 0;  // domains, the worst of them
  wire::DomainLevel sharing_level = wire::DOMAIN_NODE;
  // When the last full one, and the last one of all, stopped being whole; 0: not known.
  int64_t full_since_ns = 0;
  int64_t any_since_ns = 0;
  Missing missing;
};

int64_t EarlierKnown(int64_t a, int64_t b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

class GroupJudge {
 public:
  GroupJudge(const wire::ClusterMap& map, const NodesById& nodes);
  void Judge(const wire::PlacementGroup& group);
  void Report(std::vector<wire::HealthItem>* items) const;

 private:
  const Place& PlaceOf(uint32_t target) const {
    const auto found = places_.find(target);
    return found == places_.end() ? unknown_ : found->second;
  }
  void JudgeSharing(const wire::PlacementGroup& group, Kind* kind) const;
  // Further domains that `group` may lose, whichever they are.
  uint32_t Survives(const wire::PlacementGroup& group, uint32_t spare) const;
  // "16 of 48 of replica:1, 4 of 40 of ec:4+2".
  std::string CountGroups(uint64_t Kind::*count) const;
  void ReportData(std::vector<wire::HealthItem>* items) const;
  static void ReportCrowded(const std::string& name, const Kind& kind,
                            std::vector<wire::HealthItem>* items);

  const Place unknown_;
  absl::flat_hash_map<uint32_t, Place> places_;
  std::map<std::string, Kind> kinds_;
  Missing unavailable_;
  int64_t unavailable_since_ns_ = 0;
  Missing degraded_;
  int64_t degraded_since_ns_ = 0;
  // Of the worst of the degraded ones.
  std::optional<uint32_t> survives_;
  wire::DomainLevel survives_level_ = wire::DOMAIN_NODE;
};

GroupJudge::GroupJudge(const wire::ClusterMap& map, const NodesById& nodes) {
  std::map<std::string, uint32_t> racks;
  for (const wire::TargetInfo& target : map.targets()) {
    Place place;
    place.node = target.node();
    if (const auto node = nodes.find(target.node()); node != nodes.end()) {
      const std::string& rack = node->second->rack();
      place.rack = racks.try_emplace(rack, static_cast<uint32_t>(racks.size())).first->second;
      place.is_node_alive = IsAlive(*node->second);
      place.is_missing = !place.is_node_alive || target.state() == wire::TARGET_FAILED;
      if (!place.is_node_alive) place.missing_since_ns = node->second->state_since_ns();
    }
    places_.try_emplace(target.id(), place);
  }
}

void GroupJudge::Judge(const wire::PlacementGroup& group) {
  if (group.targets().empty()) return;
  const std::string name = RedundancyNameOf(group);
  const auto [at, is_new] = kinds_.try_emplace(name);
  Kind& kind = at->second;
  if (is_new) {
    if (const auto parsed = ParseRedundancy(name); parsed.ok()) kind.redundancy = *parsed;
  }
  ++kind.groups;
  std::vector<int64_t> losses;
  int64_t since_ns = 0;
  for (uint32_t target : group.targets()) {
    const Place& place = PlaceOf(target);
    if (!place.is_missing) continue;
    kind.missing.Add(target, place);
    losses.push_back(place.missing_since_ns);
    since_ns = EarlierKnown(since_ns, place.missing_since_ns);
  }
  if (losses.empty()) {
    // Also one that was not made so: what was lost has gone to domains that it had members in.
    JudgeSharing(group, &kind);
    (group.crowded() ? kind.is_any_crowded_whole : kind.is_any_full_whole) = true;
    return;
  }
  kind.any_since_ns = std::max(kind.any_since_ns, since_ns);
  if (!group.crowded()) kind.full_since_ns = std::max(kind.full_since_ns, since_ns);
  if (!kind.redundancy.has_value()) return;

  const uint32_t tolerance = kind.redundancy->tolerance();
  const bool is_unavailable = losses.size() > tolerance;
  ++(is_unavailable ? kind.unavailable : kind.degraded);
  Missing& missing = is_unavailable ? unavailable_ : degraded_;
  for (uint32_t target : group.targets()) {
    if (const Place& place = PlaceOf(target); place.is_missing) missing.Add(target, place);
  }
  if (is_unavailable) {
    // Since the loss that was one too many, if it is known which that was.
    std::sort(losses.begin(), losses.end());
    if (losses[0] != 0)
      unavailable_since_ns_ = EarlierKnown(unavailable_since_ns_, losses[tolerance]);
    return;
  }
  degraded_since_ns_ = EarlierKnown(degraded_since_ns_, since_ns);
  const uint32_t survives = Survives(group, tolerance - static_cast<uint32_t>(losses.size()));
  if (survives >= survives_.value_or(survives + 1)) return;
  survives_ = survives;
  survives_level_ = group.level();
}

void GroupJudge::JudgeSharing(const wire::PlacementGroup& group, Kind* kind) const {
  if (!kind->redundancy.has_value()) return;
  const uint32_t survives = Survives(group, kind->redundancy->tolerance());
  if (survives >= kind->redundancy->tolerance()) return;  // apart by now
  if (kind->sharing++ > 0 && survives >= kind->sharing_survive) return;
  kind->sharing_survive = survives;
  kind->sharing_level = group.level();
}

uint32_t GroupJudge::Survives(const wire::PlacementGroup& group, uint32_t spare) const {
  std::map<uint32_t, uint32_t> held;  // fragments that are left, by domain
  for (uint32_t target : group.targets()) {
    const Place& place = PlaceOf(target);
    if (place.is_missing) continue;
    const uint32_t domain = group.level() == wire::DOMAIN_TARGET ? target
                            : group.level() == wire::DOMAIN_RACK ? place.rack
                                                                 : place.node;
    ++held[domain];
  }
  std::vector<uint32_t> most_first;
  for (const auto& [domain, fragments] : held) most_first.push_back(fragments);
  std::sort(most_first.rbegin(), most_first.rend());
  uint32_t survived = 0;
  for (uint32_t fragments : most_first) {
    if (fragments > spare) break;
    spare -= fragments;
    ++survived;
  }
  return survived;
}

std::string GroupJudge::CountGroups(uint64_t Kind::*count) const {
  std::string text;
  for (const auto& [name, kind] : kinds_) {
    if (kind.*count == 0) continue;
    text += StrCat(text.empty() ? "" : ", ", kind.*count, " of ", kind.groups, " of ", name);
  }
  return text;
}

void GroupJudge::ReportData(std::vector<wire::HealthItem>* items) const {
  if (const std::string groups = CountGroups(&Kind::unavailable); !groups.empty()) {
    wire::HealthItem item = Error("DATA_UNAVAILABLE");
    item.set_summary(StrCat("placement groups lack more than they may lose: ", groups,
                            "; missing: ", unavailable_.Describe()));
    item.set_endangers("files in them cannot be read until what is missing comes back");
    item.set_todo(unavailable_.Todo());
    item.set_since_ns(unavailable_since_ns_);
    unavailable_.Fill(&item);
    items->push_back(std::move(item));
  }
  if (const std::string groups = CountGroups(&Kind::degraded); !groups.empty()) {
    const uint32_t survives = survives_.value_or(0);
    wire::HealthItem item = survives == 0 ? Error("DATA_DEGRADED") : Warning("DATA_DEGRADED");
    item.set_summary(StrCat("placement groups are read around what is missing: ", groups,
                            "; missing: ", degraded_.Describe()));
    const char* domain = DomainNoun(survives_level_);
    item.set_endangers(survives == 0 ? StrCat("the loss of one more ", domain,
                                              " can make files in them unreadable")
                                     : StrCat("the worst of them survive the loss of ", survives,
                                              " more ", domain, survives == 1 ? "" : "s"));
    item.set_todo(degraded_.Todo());
    item.set_since_ns(degraded_since_ns_);
    degraded_.Fill(&item);
    items->push_back(std::move(item));
  }
}

// Where nothing else is written to, WRITES_CROWDED says as much.
void GroupJudge::ReportCrowded(const std::string& name, const Kind& kind,
                               std::vector<wire::HealthItem>* items) {
  if (kind.sharing == 0) return;
  const char* domain = DomainNoun(kind.sharing_level);
  wire::HealthItem item = Warning("DATA_CROWDED");
  item.set_summary(StrCat(kind.sharing, " of ", kind.groups, " placement groups of ", name,
                          " have several fragments in a ", domain));
  item.set_endangers(StrCat("what is in them survives the loss of ", kind.sharing_survive, " ",
                            domain, kind.sharing_survive == 1 ? "" : "s", ", not of ",
                            kind.redundancy->tolerance()));
  item.set_todo(
      "wait: they are spread as soon as enough is up (cairn rebuild status), a minute after the "
      "last client that cannot reach some of it has written");
  items->push_back(std::move(item));
}

void GroupJudge::Report(std::vector<wire::HealthItem>* items) const {
  ReportData(items);
  for (const auto& [name, kind] : kinds_) {
    // Also where all are marked crowded and nothing is missing any more: the marks stay until the
    // next moves are planned.
    if (kind.is_any_full_whole || kind.missing.targets.empty()) {
      ReportCrowded(name, kind, items);
      continue;
    }
    wire::HealthItem item;
    if (kind.is_any_crowded_whole) {
      item = Warning("WRITES_CROWDED");
      item.set_summary(
          StrCat("too little is up to spread ", name, "; missing: ", kind.missing.Describe()));
      item.set_endangers(
          StrCat("what is written with ", name, " now survives fewer losses, but any one"));
      item.set_since_ns(kind.full_since_ns);
    } else {
      item = Error("WRITES_REFUSED");
      item.set_summary(
          StrCat("no placement group of ", name, " is whole; missing: ", kind.missing.Describe()));
      item.set_endangers(StrCat("nothing can be written with ", name));
      item.set_since_ns(kind.any_since_ns);
    }
    item.set_todo(StrCat(kind.missing.Todo(), "; or choose what fits with cairn bucket set"));
    kind.missing.Fill(&item);
    items->push_back(std::move(item));
  }
}

auto SortKey(const wire::HealthItem& item) {
  return std::make_tuple(-static_cast<int>(item.severity()), item.code(),
                         item.nodes().empty() ? 0 : item.nodes(0),
                         item.targets().empty() ? 0 : item.targets(0));
}

}  // namespace

std::vector<wire::HealthItem> JudgeHealth(const wire::ClusterMap& map,
                                          const std::vector<std::string>& metadata_warnings) {
  std::vector<wire::HealthItem> items;
  NodesById nodes;
  for (const wire::NodeInfo& node : map.nodes()) nodes.try_emplace(node.id(), &node);
  absl::flat_hash_map<uint32_t, uint64_t> targets;
  for (const wire::TargetInfo& target : map.targets()) ++targets[target.node()];
  for (const wire::NodeInfo& node : map.nodes()) {
    if (auto item = JudgeNode(node, targets[node.id()])) items.push_back(*std::move(item));
  }
  for (const wire::TargetInfo& target : map.targets()) {
    const auto node = nodes.find(target.node());
    auto item = JudgeTarget(target, node == nodes.end() ? nullptr : node->second);
    if (item.has_value()) items.push_back(*std::move(item));
  }
  JudgeSpace(map, nodes, &items);
  JudgeMoves(map, &items);
  GroupJudge groups(map, nodes);
  for (const wire::PlacementGroup& group : map.groups()) groups.Judge(group);
  groups.Report(&items);
  for (const std::string& warning : metadata_warnings) {
    wire::HealthItem item = Warning("METADATA_WARNING");
    item.set_summary(warning);
    item.set_endangers("nothing that is stored");
    item.set_todo("see the log of the node that keeps the metadata");
    items.push_back(std::move(item));
  }
  std::stable_sort(items.begin(), items.end(),
                   [](const auto& a, const auto& b) { return SortKey(a) < SortKey(b); });
  return items;
}

}  // namespace cairn
