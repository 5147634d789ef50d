#include "server/meta/save_log.h"

#include <algorithm>

namespace cairn {

void SaveLog::Recover(const std::vector<OpenAttempt>& attempts) {
  for (const OpenAttempt& attempt : attempts) begun_[attempt.lease] = attempt.begun_at_ns;
}

void SaveLog::Note(const SaveEvent& event) {
  if (event.kind == SaveEvent::Kind::kBegun) {
    begun_[event.lease] = event.at_ns;
    return;
  }
  const auto begun = begun_.find(event.lease);
  if (event.kind == SaveEvent::Kind::kAborted) {
    ++totals_.aborted;
  } else {
    ++totals_.committed;
    totals_.committed_bytes += event.size_bytes;
    totals_.last_commit_ns = event.at_ns;
    // A clock that was set back meanwhile is no time at all.
    const int64_t took = begun == begun_.end() ? 0 : event.at_ns - begun->second;
    totals_.durations_ns.Record(static_cast<uint64_t>(std::max<int64_t>(took, 0)));
  }
  if (begun != begun_.end()) begun_.erase(begun);
}

int64_t SaveLog::oldest_begun_ns() const {
  int64_t oldest = 0;
  for (const auto& [lease, at_ns] : begun_) {
    if (oldest == 0 || at_ns < oldest) oldest = at_ns;
  }
  return oldest;
}

}  // namespace cairn
