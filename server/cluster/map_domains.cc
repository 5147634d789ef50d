#include "server/cluster/map_domains.h"

namespace cairn {

bool IsAlive(const wire::NodeInfo& node) {
  return node.state() == wire::NODE_UP || node.state() == wire::NODE_SUSPECT;
}

const char* DomainNoun(wire::DomainLevel level) {
  switch (level) {
    case wire::DOMAIN_TARGET:
      return "target";
    case wire::DOMAIN_RACK:
      return "rack";
    default:
      return "node";
  }
}

MapDomains::MapDomains(const wire::ClusterMap& map, uint32_t heard) : heard_(heard) {
  for (const wire::NodeInfo& node : map.nodes()) nodes_.try_emplace(node.id(), &node);
  absl::flat_hash_map<std::string, uint32_t> racks;
  for (const wire::TargetInfo& target : map.targets()) {
    Place place;
    place.target = &target;
    place.node = FindNode(target.node());
    if (place.node != nullptr && !place.node->rack().empty()) {
      const auto next = static_cast<uint32_t>(racks.size());
      place.rack = racks.try_emplace(place.node->rack(), next).first->second;
    }
    targets_.try_emplace(target.id(), place);
  }
}

const MapDomains::Place* MapDomains::Find(uint32_t target) const {
  const auto found = targets_.find(target);
  return found == targets_.end() ? nullptr : &found->second;
}

const wire::NodeInfo* MapDomains::FindNode(uint32_t id) const {
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : found->second;
}

const wire::TargetInfo* MapDomains::FindTarget(uint32_t id) const {
  const Place* place = Find(id);
  return place == nullptr ? nullptr : place->target;
}

const wire::NodeInfo* MapDomains::NodeOf(uint32_t target) const {
  const Place* place = Find(target);
  return place == nullptr ? nullptr : place->node;
}

bool MapDomains::IsReachable(uint32_t target) const {
  const Place* place = Find(target);
  if (place == nullptr || place->node == nullptr) return false;
  const wire::NodeInfo& node = *place->node;
  const bool heard = heard_ != 0 && node.id() == heard_;
  return (heard || IsAlive(node)) && place->target->state() != wire::TARGET_FAILED;
}

bool MapDomains::IsUsable(uint32_t target) const {
  if (!IsReachable(target)) return false;
  const Place& place = *Find(target);
  return !place.target->joining() && !place.target->draining() && !place.target->removing() &&
         !place.node->draining() && !place.node->removing();
}

bool MapDomains::IsLost(uint32_t target) const {
  const Place* place = Find(target);
  if (place == nullptr || place->node == nullptr) return false;
  return place->node->lost() || place->target->lost();
}

std::optional<uint32_t> MapDomains::DomainOf(uint32_t target, wire::DomainLevel level) const {
  const Place* place = Find(target);
  if (place == nullptr) return std::nullopt;
  switch (level) {
    case wire::DOMAIN_TARGET:
      return target;
    case wire::DOMAIN_RACK:
      return place->rack;
    default:
      return place->target->node();
  }
}

std::set<uint32_t> MapDomains::UsableDomains(wire::DomainLevel level) const {
  std::set<uint32_t> domains;
  for (const auto& [target, place] : targets_) {
    if (!IsUsable(target)) continue;
    if (const auto domain = DomainOf(target, level)) domains.insert(*domain);
  }
  return domains;
}

std::string RedundancyNameOf(const wire::PlacementGroup& group) {
  return group.redundancy().empty() ? "replica:1" : group.redundancy();
}

std::optional<Redundancy> ParsedRedundancy(const wire::PlacementGroup& group) {
  const absl::StatusOr<Redundancy> redundancy = ParseRedundancy(RedundancyNameOf(group));
  if (!redundancy.ok()) return std::nullopt;
  return *redundancy;
}

}  // namespace cairn
