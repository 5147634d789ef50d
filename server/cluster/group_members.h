// Pure: the members of one placement group: which are to be elsewhere, whether that can be done,
// and where it may be. What plans moves and what tells of them agree here.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "proto/wire/meta.pb.h"
#include "server/cluster/map_domains.h"
#include "server/cluster/moves.h"

namespace cairn {

// Of the member `index`; null when there is none.
const wire::GroupMove* FindMove(const wire::PlacementGroup& group, int index);
wire::GroupMove* FindMove(wire::PlacementGroup* group, int index);
// What the move takes from, newest first: `from` and those before it.
std::vector<uint32_t> HoldersBefore(const wire::GroupMove& move);
// Whether what `target` holds of the member that moves is needed: it gives, takes, or has given.
bool IsNamed(const wire::GroupMove& move, uint32_t target);

// As in moves.h.
bool IsLeaving(const MapDomains& domains, uint32_t target, const MoveFacts& facts);

// Whether what member `index` holds can be given to another target, or need not be: see PlanMoves()
// (moves.h).
bool CanBeMoved(const MapDomains& domains, const wire::PlacementGroup& group, int index);

// Where the other members are, and where they are about to be: how many in each domain. Those whose
// domain is not known are not counted.
std::map<uint32_t, uint32_t> DomainsOfOthers(const MapDomains& domains,
                                             const wire::PlacementGroup& group, int index);

// Whether member `index` is in the domain of another one that stays there.
bool SharesDomain(const MapDomains& domains, const wire::PlacementGroup& group, int index);

// Whether all members are in domains of their own.
bool IsApart(const MapDomains& domains, const wire::PlacementGroup& group);

// Looks for members that have to leave and have no failure domain of their own to go to.
class BlockedMembers {
 public:
  // `domains` outlives it.
  explicit BlockedMembers(const MapDomains& domains) : domains_(domains) {}

  // Their targets. Members that nothing could be made of are none: more domains would not help.
  std::vector<uint32_t> Of(const wire::PlacementGroup& group);
  // Whether they may go where others of the group are, so that it is crowded, and are not blocked
  // after all.
  bool MayBeCrowded(const wire::PlacementGroup& group);
  // So many domains take data.
  size_t Usable(wire::DomainLevel level) { return UsableDomains(level).size(); }

 private:
  const std::set<uint32_t>& UsableDomains(wire::DomainLevel level);

  const MapDomains& domains_;
  std::map<wire::DomainLevel, std::set<uint32_t>> usable_;
};

}  // namespace cairn
