// Pure: which nodes are alive, decided from their heartbeats. Owned by the node with the metadata
// role, which stores what Judge() reports in the cluster map.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// How often to call Judge().
inline constexpr absl::Duration kJudgeInterval = absl::Milliseconds(500);

// Lives on one core, the one that reads the heartbeats: only then is a pause of the one a pause of
// the other.
//
// A process that was stopped, swapped out or starved finds the heartbeats of that time unread in
// its queue and may judge before it reads them. So nobody is blamed for a pause of the judge's own:
// when Judge() is called over kPauseAfter after the last time, every node's silence is shortened by
// what went beyond kJudgeInterval. A node that died meanwhile is found that much later.
class FailureDetector {
 public:
  // For heartbeats every second.
  struct Options {
    // Silent for this long: SUSPECT. A heartbeat may be late by almost a second.
    absl::Duration suspect_after = absl::Seconds(2);
    // Silent for this long: DOWN. Must not be infinite.
    absl::Duration down_after = absl::Seconds(5);
    // DOWN for this long: OUT.
    absl::Duration out_after = absl::Minutes(10);
  };
  struct Change {
    uint32_t node = 0;
    wire::NodeState state = wire::NODE_UP;
  };
  // Timers are late by a little all the time, which must not slow judgement down. Small enough that
  // with what it does not forgive a heartbeat of every second still comes before `suspect_after`.
  static constexpr absl::Duration kPauseAfter = absl::Milliseconds(750);

  // One that only connects anew says its next heartbeat before.
  static constexpr absl::Duration kLostForGood = absl::Seconds(2);

  explicit FailureDetector(Options options);

  // A heartbeat: the node is UP from now on, whatever it was. One of a node that no map has shown
  // yet is ignored; the next comes soon. The judge's own node is to be reported too.
  void Heard(uint32_t node, MonoTime now);

  // Its connection has ended, as it does at once when the process dies: it is DOWN in
  // kLostForGood, or as soon as it would have been, unless it is heard.
  void Lost(uint32_t node, MonoTime now);

  // The nodes of `map`, the one that is stored, whose state is another by now, in the order of
  // their ids. A change that could not be stored is so reported again, until `map` has it.
  //
  // Nodes new in `map` are silent from `now` only, so that after a restart of the judge each has
  // its full time; but only a heartbeat makes a state better: one first seen as SUSPECT, DOWN or
  // OUT stays so until it is heard, and a DOWN one is OUT after `out_after` from `now`. So does one
  // that is DOWN and has become OUT in `map` otherwise: an operator has given it up. Nodes that
  // `map` lacks are forgotten.
  std::vector<Change> Judge(MonoTime now, const wire::ClusterMap& map);

 private:
  struct Node {
    MonoTime silent_since;
    // At least as bad as this until it is heard.
    wire::NodeState found = wire::NODE_UP;
    wire::NodeState stored = wire::NODE_UP;  // in the map, when it was last judged
  };

  void ForgiveOwnPause(MonoTime now);
  Node FirstSeen(wire::NodeState state, MonoTime now) const;
  wire::NodeState StateOf(const Node& node, MonoTime now) const;

  const Options options_;
  MonoTime last_judged_ = MonoTime::Never();
  std::map<uint32_t, Node> nodes_;
};

}  // namespace cairn
