#include "server/meta/retention.h"

namespace cairn {
namespace {

// Times far apart (a clock that was wrong by centuries) must not overflow into the opposite answer.
bool IsNewerThan(int64_t committed_at_ns, int64_t now_ns, uint64_t seconds) {
  if (committed_at_ns >= now_ns) return true;
  const uint64_t age_ns = static_cast<uint64_t>(now_ns) - static_cast<uint64_t>(committed_at_ns);
  return age_ns / 1'000'000'000 < seconds;
}

}  // namespace

std::vector<size_t> SelectForRemoval(const RetentionRules& rules,
                                     std::span<const RetentionCandidate> oldest_first,
                                     std::optional<int64_t> now_ns) {
  std::vector<size_t> removed;
  if (rules.empty()) return removed;
  for (size_t i = 0; i + 1 < oldest_first.size(); ++i) {
    const RetentionCandidate& candidate = oldest_first[i];
    if (candidate.pinned) continue;
    if (oldest_first.size() - i <= rules.keep_last) continue;
    if (rules.keep_every_steps > 0 && candidate.step.has_value() &&
        *candidate.step % rules.keep_every_steps == 0) {
      continue;
    }
    if (rules.keep_newer_than_seconds > 0 &&
        (!now_ns.has_value() ||
         IsNewerThan(candidate.committed_at_ns, *now_ns, rules.keep_newer_than_seconds))) {
      continue;
    }
    removed.push_back(i);
  }
  return removed;
}

}  // namespace cairn
