// Pure: members of placement groups that are to be other targets, and nodes that are to leave. The
// map holds what is planned, so a restart goes on where it was; server/repair moves the bytes. All
// changes are made in place and leave the version alone.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// What the map does not say.
struct MoveFacts {
  // Targets that have failed for so long that nobody waits for them any more.
  std::set<uint32_t> given_up;
  struct Usage {
    uint64_t used_bytes = 0;
    uint64_t capacity_bytes = 0;
    uint64_t fragments = 0;
  };
  // By target, of those that have been heard. Others count as not full, and are not evened out. To
  // be left empty while former members still hold what they gave away: it would count as theirs.
  std::map<uint32_t, Usage> usage;
  // Whether `usage` tells what the members of groups hold, and nothing else.
  bool may_balance = true;
  // Crowded groups that stay so: writers need them who cannot reach the targets left out.
  std::set<uint32_t> keep_crowded;
  // At most so many moves even out at a time.
  int balance_moves_max = 4;
};

// Whether what the target holds is to be elsewhere: its node is OUT, draining or removed, it is
// draining or removed itself, has been given up, or is not in the map.
bool IsLeaving(const wire::ClusterMap& map, uint32_t target, const MoveFacts& facts);

// Brings the moves of `map` up to date; returns whether anything changed.
//
// Every member that is leaving gets a move to a usable target: one that is up, not leaving, under
// 95 % full, that no other move is from (but it may get back what it gave), on a node that is UP,
// in a failure domain of the group's level that no other member is in, and among those the one with
// the fewest groups, rendezvous hashing breaking ties. Where there is no such domain, one that
// other members are in, as long as its loss would not be more than may be lost; the group is
// crowded then. But a group with fewer live members than its data fragments has no move planned
// unless the leaving member itself can still be read, or it counts as lost: nothing could be made
// of the others, and only an operator may say that what is lost counts as lost. Groups of a later
// release are left alone.
//
// Members of crowded groups that share a domain get a move where a fresh domain is; a group whose
// members are all apart is not crowded any more. A copying move whose `to` cannot take it any more
// gets another, or goes when there is none; one whose reason has gone (the node is back) goes, too.
// SUSPECT is no reason to begin anew, nor is `to` being nearly full, with what it was given.
// Settling moves stay; but when what took over is leaving in turn and cannot be reached, settling
// would never end, and it becomes a copying one from there. Whoever was to be taken over from is
// then `former` in the map: what it holds is a source as well and is kept until the move ends, and
// when that is called off, the settling is resumed.
//
// When nobody is leaving and nothing is on the move, and a target is over a tenth of its capacity
// fuller than another that can take what it has: up to four moves from full to empty ones,
// `balance` in the map, which stay as long as `to` can take them. What a member holds is guessed:
// an equal share of what its target does. There are none where moving one would not clearly narrow
// the gap. Where an operator wants targets more even, `rebalance_percent` of the map, that is the
// gap instead of a tenth, and four times as many moves are made at once; the wish ends when there
// is nothing more to move for it. Seeing to it: balance.h.
bool PlanMoves(wire::ClusterMap* map, const MoveFacts& facts);

// Members of groups that are leaving and have no move: there is nowhere to go, or nothing to make
// them of.
uint32_t CountStuck(const wire::ClusterMap& map, const MoveFacts& facts);

// What the move (copying, to `to`) was for has been done: `to` becomes the member, and the move
// settling. False, with nothing changed, when there is no such move any more.
bool SwitchMember(wire::ClusterMap* map, uint32_t group, uint32_t index, uint32_t to);
// The settling move to `to` is over. False when there is none.
bool FinishMove(wire::ClusterMap* map, uint32_t group, uint32_t index, uint32_t to);

// What an operator wants of a node. NODE_REMOVE of a node that is DOWN makes it OUT at once.
// `lost_groups`: those of GroupsLostWithNode() (losses.h) that hold data. NOT_FOUND: no such node.
// INVALID_ARGUMENT: no action. FAILED_PRECONDITION: the founding node (id 1 keeps the metadata)
// cannot be removed; or, without `force`, what the node holds would have nowhere to go, saying
// which redundancy needs how many domains, or would be lost with it.
absl::Status SetNodeIntent(wire::ClusterMap* map, const wire::SetNodeRequest& request,
                           int64_t now_ns, const std::set<uint32_t>& lost_groups);

// Takes nodes that are being removed, and that no group and no move names any more, out of the map
// with their targets. Returns their ids.
std::vector<uint32_t> RemoveEmptyNodes(wire::ClusterMap* map);

// Why `nodes` should not be stopped, all at once; empty: they may. Counts those that are down
// already. `unreadable`: those of GroupsUnreadableWithout() (losses.h) that hold data. Each reason
// is for people and names what it is about.
std::vector<std::string> WhyNotStop(const wire::ClusterMap& map, const std::vector<uint32_t>& nodes,
                                    const std::set<uint32_t>& unreadable);

}  // namespace cairn
