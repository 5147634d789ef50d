#include "server/cluster/failure_detector.h"

#include <algorithm>

#include "common/base/check.h"

namespace cairn {

// States are compared below.
static_assert(wire::NODE_UP < wire::NODE_SUSPECT && wire::NODE_SUSPECT < wire::NODE_DOWN &&
              wire::NODE_DOWN < wire::NODE_OUT);
static_assert(kJudgeInterval < FailureDetector::kPauseAfter);

FailureDetector::FailureDetector(Options options) : options_(options) {
  CAIRN_CHECK(options.down_after < absl::InfiniteDuration());
}

void FailureDetector::Heard(uint32_t node, MonoTime now) {
  const auto known = nodes_.find(node);
  if (known == nodes_.end()) return;
  known->second.silent_since = now;
  known->second.found = wire::NODE_UP;
}

void FailureDetector::Lost(uint32_t node, MonoTime now) {
  const auto known = nodes_.find(node);
  if (known == nodes_.end()) return;
  const absl::Duration left = std::min(kLostForGood, options_.down_after);
  MonoTime& since = known->second.silent_since;
  since = std::min(since, now + (left - options_.down_after));
}

std::vector<FailureDetector::Change> FailureDetector::Judge(MonoTime now,
                                                            const wire::ClusterMap& map) {
  ForgiveOwnPause(now);
  std::map<uint32_t, wire::NodeState> stored;
  for (const wire::NodeInfo& node : map.nodes()) stored[node.id()] = node.state();
  std::erase_if(nodes_, [&stored](const auto& entry) { return !stored.contains(entry.first); });
  std::vector<Change> changes;
  for (const auto& [id, state] : stored) {
    Node& node = nodes_.try_emplace(id, FirstSeen(state, now)).first->second;
    const bool given_up = state == wire::NODE_OUT && node.stored != state;
    node.stored = state;
    if (given_up && StateOf(node, now) == wire::NODE_DOWN) node.found = state;
    const wire::NodeState judged = StateOf(node, now);
    if (judged != state) changes.push_back({id, judged});
  }
  return changes;
}

void FailureDetector::ForgiveOwnPause(MonoTime now) {
  const bool first = last_judged_ == MonoTime::Never();
  const absl::Duration gap = first ? absl::ZeroDuration() : now - last_judged_;
  last_judged_ = now;
  if (gap <= kPauseAfter) return;
  const absl::Duration excess = gap - kJudgeInterval;
  // Who was heard in the gap has been silent for a part of it only.
  for (auto& [id, node] : nodes_) node.silent_since = std::min(node.silent_since + excess, now);
}

FailureDetector::Node FailureDetector::FirstSeen(wire::NodeState state, MonoTime now) const {
  // A DOWN node has used up its time until DOWN, and its time until OUT begins.
  return {state == wire::NODE_DOWN ? now + -options_.down_after : now, state, state};
}

wire::NodeState FailureDetector::StateOf(const Node& node, MonoTime now) const {
  const absl::Duration silence = now - node.silent_since;
  wire::NodeState state = wire::NODE_UP;
  if (silence >= options_.down_after + options_.out_after) {
    state = wire::NODE_OUT;
  } else if (silence >= options_.down_after) {
    state = wire::NODE_DOWN;
  } else if (silence >= options_.suspect_after) {
    state = wire::NODE_SUSPECT;
  }
  return std::max(state, node.found);
}

}  // namespace cairn
