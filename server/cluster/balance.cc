// See balance.h.
#include "server/cluster/balance.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

#include "common/base/strings.h"
#include "server/cluster/map_domains.h"
#include "server/cluster/move_planner.h"

namespace cairn {
namespace {

constexpr int kMovesTold = 256;
constexpr uint32_t kThresholdMax = 99;

double ShareOf(const wire::RebalanceReply::Fill& fill) {
  return static_cast<double>(fill.used_bytes()) / static_cast<double>(fill.capacity_bytes());
}

void DescribeFills(const wire::ClusterMap& map, const MoveFacts& facts,
                   wire::RebalanceReply* reply) {
  const MapDomains domains(map);
  std::vector<wire::RebalanceReply::Fill> fills;
  for (const auto& [target, usage] : facts.usage) {
    if (usage.capacity_bytes == 0 || !domains.IsUsable(target)) continue;
    wire::RebalanceReply::Fill& fill = fills.emplace_back();
    fill.set_target(target);
    fill.set_node(domains.NodeOf(target)->id());
    fill.set_used_bytes(usage.used_bytes);
    fill.set_capacity_bytes(usage.capacity_bytes);
  }
  reply->set_targets(static_cast<uint32_t>(fills.size()));
  if (fills.empty()) return;
  std::sort(fills.begin(), fills.end(), [](const auto& a, const auto& b) {
    return std::tuple(ShareOf(a), a.target()) < std::tuple(ShareOf(b), b.target());
  });
  *reply->mutable_emptiest() = fills.front();
  *reply->mutable_median() = fills[fills.size() / 2];
  *reply->mutable_fullest() = fills.back();
}

}  // namespace

absl::Status StartRebalance(wire::ClusterMap* map, uint32_t threshold_percent) {
  if (threshold_percent == 0 || threshold_percent > kThresholdMax) {
    return absl::InvalidArgumentError(
        StrCat("a threshold of ", threshold_percent, " percent; 1 to ", kThresholdMax, " are"));
  }
  map->set_rebalance_percent(threshold_percent);
  return absl::OkStatus();
}

bool StopRebalance(wire::ClusterMap* map) {
  bool changed = map->rebalance_percent() != 0;
  map->clear_rebalance_percent();
  for (wire::PlacementGroup& group : *map->mutable_groups()) {
    for (int i = group.moves_size() - 1; i >= 0; --i) {
      if (!group.moves(i).balance() || group.moves(i).settling()) continue;
      group.mutable_moves()->DeleteSubrange(i, 1);
      changed = true;
    }
  }
  return changed;
}

wire::RebalanceReply DescribeBalance(const wire::ClusterMap& map, MoveFacts facts,
                                     uint32_t threshold_percent) {
  wire::RebalanceReply reply;
  DescribeFills(map, facts, &reply);
  reply.set_threshold_percent(map.rebalance_percent());
  reply.set_waits_for_sweep(!facts.may_balance);
  uint32_t under_way = 0;
  for (const wire::PlacementGroup& group : map.groups())
    under_way += static_cast<uint32_t>(group.moves_size());
  reply.set_moves_under_way(under_way);
  if (threshold_percent == 0) return reply;
  wire::ClusterMap planned = map;
  planned.set_rebalance_percent(threshold_percent);
  facts.may_balance = true;
  // So that the factor for an operator's wish does not overflow.
  facts.balance_moves_max = std::numeric_limits<int>::max() / 16;
  MovePlanner planner(&planned, facts);
  planner.Plan();
  uint64_t bytes = 0;
  for (const MovePlanner::Balanced& each : planner.balanced()) {
    bytes += each.bytes;
    if (reply.moves_size() == kMovesTold) continue;
    wire::RebalanceReply::Move* move = reply.add_moves();
    move->set_group(each.group->id());
    move->set_index(each.move.index());
    move->set_from(each.move.from());
    move->set_to(each.move.to());
    move->set_bytes(each.bytes);
  }
  reply.set_moves_planned(static_cast<uint32_t>(planner.balanced().size()));
  reply.set_bytes_planned(bytes);
  return reply;
}

}  // namespace cairn
