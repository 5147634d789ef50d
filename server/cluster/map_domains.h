// Pure: the nodes and targets of a cluster map, indexed: who can be reached, where new data may
// lie, and which failure domains they are in. Of one moment.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "common/placement/redundancy.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// UP or SUSPECT.
bool IsAlive(const wire::NodeInfo& node);

// "node", "target" or "rack".
const char* DomainNoun(wire::DomainLevel level);

class MapDomains {
 public:
  // Refers to the map, whose nodes and targets must stay as they are; of several with one id the
  // first counts. Node `heard` counts as UP, whatever the map says of it; 0: none does.
  explicit MapDomains(const wire::ClusterMap& map, uint32_t heard = 0);

  // Null when there is none.
  const wire::NodeInfo* FindNode(uint32_t id) const;
  const wire::TargetInfo* FindTarget(uint32_t id) const;
  const wire::NodeInfo* NodeOf(uint32_t target) const;

  // It has not failed, and its node is UP or SUSPECT.
  bool IsReachable(uint32_t target) const;
  // Reachable, not joining, and no operator wants it or its node empty: new groups may have it.
  bool IsUsable(uint32_t target) const;
  // An operator has removed it or its node while it could not be read: what only it holds counts as
  // lost.
  bool IsLost(uint32_t target) const;
  // A number that all have in common which share what `level` names. nullopt: not known, as is the
  // rack of a node that has not said it.
  std::optional<uint32_t> DomainOf(uint32_t target, wire::DomainLevel level) const;
  // Those of the usable targets.
  std::set<uint32_t> UsableDomains(wire::DomainLevel level) const;

 private:
  struct Place {
    const wire::TargetInfo* target = nullptr;
    const wire::NodeInfo* node = nullptr;
    std::optional<uint32_t> rack;  // a number for its name
  };
  const Place* Find(uint32_t target) const;

  const uint32_t heard_;
  absl::flat_hash_map<uint32_t, const wire::NodeInfo*> nodes_;
  absl::flat_hash_map<uint32_t, Place> targets_;
};

// "replica:1" for groups from before there was a choice.
std::string RedundancyNameOf(const wire::PlacementGroup& group);
// nullopt: a later release has made the group.
std::optional<Redundancy> ParsedRedundancy(const wire::PlacementGroup& group);

}  // namespace cairn
