// Which checkpoints of a directory retention removes: a pure function of the policy and what there
// is. prune.cc acts on it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace cairn {

struct RetentionRules {
  uint32_t keep_last = 0;                // 0: not a rule
  uint64_t keep_every_steps = 0;         // 0: not a rule
  uint64_t keep_newer_than_seconds = 0;  // 0: not a rule
  bool empty() const {
    return keep_last == 0 && keep_every_steps == 0 && keep_newer_than_seconds == 0;
  }
};

struct RetentionCandidate {
  std::optional<uint64_t> step;
  int64_t committed_at_ns = 0;
  bool pinned = false;
};

// Indices into `oldest_first` of those to remove, ascending. One stays when it is the newest, is
// pinned, or any rule keeps it; with no rule all stay. A checkpoint without a step is not kept by
// the rule about steps. Without a `now_ns` no age is known, and a rule about age keeps all.
std::vector<size_t> SelectForRemoval(const RetentionRules& rules,
                                     std::span<const RetentionCandidate> oldest_first,
                                     std::optional<int64_t> now_ns);

}  // namespace cairn
