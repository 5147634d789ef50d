#include "server/cluster/node_history.h"

namespace cairn {

void NodeHistory::Note(uint32_t node, Event event, MonoTime now) {
  std::deque<Entry>& entries = nodes_[node];
  while (!entries.empty() && now - entries.front().at > kWindow) entries.pop_front();
  if (entries.size() == kEventsMax) entries.pop_front();
  entries.push_back({event, now});
}

NodeHistory::Counts NodeHistory::Count(uint32_t node, MonoTime now) const {
  Counts counts;
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return counts;
  for (const Entry& entry : found->second) {
    const absl::Duration ago = now - entry.at;
    if (ago > kWindow) continue;
    if (counts.since == absl::ZeroDuration()) counts.since = ago;
    switch (entry.event) {
      case Event::kSuspect:
        ++counts.suspects;
        break;
      case Event::kDown:
        ++counts.downs;
        break;
      case Event::kRestart:
        ++counts.restarts;
        break;
    }
  }
  return counts;
}

}  // namespace cairn
