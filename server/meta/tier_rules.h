// What a tier policy says of one checkpoint or file: a pure function of the policy, of what there
// is, and of the time. tier_evaluate.cc acts on it; `cairn tier policy test` and `explain` show it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "proto/wire/tier.pb.h"

namespace cairn {

// More would have each commit look at as many.
inline constexpr uint32_t kKeepHotMax = 1000;
inline constexpr uint64_t kPolicySecondsMax = uint64_t{100} * 365 * 86'400;

// So many seconds after a Unix time, which may be any; far off is the end of time.
int64_t TierTimeAfter(int64_t at_ns, uint64_t seconds);

// What the rules ask.
struct TierFacts {
  bool is_checkpoint = false;
  uint64_t size_bytes = 0;
  int64_t written_at_ns = 0;  // Unix time, as are the others
  int64_t read_at_ns = 0;     // when it was opened for reading last
  int64_t hot_until_ns = 0;   // it was fetched, to stay until then
  std::optional<uint64_t> step;
  // Committed checkpoints of its directory that are newer; counted up to the policy's `keep_hot`,
  // and 1 at least where there is one.
  uint32_t newer = 0;
  bool pinned = false;
  uint32_t cold_reads = 0;  // how often it was opened while it was cold
  bool copied = false;
  bool released = false;
  // A file that was changed where it lies, and consists of parts of runs: copies are of whole ones.
  bool in_pieces = false;
};

struct TierDecision {
  wire::TierStep now = wire::TIER_STEP_NONE;
  std::string rule;  // for people: why this, or why nothing
  // What follows when nothing changes, and when; without a time it waits for something else, which
  // `rule` names.
  wire::TierStep next = wire::TIER_STEP_NONE;
  std::optional<int64_t> next_at_ns;
  // Copied, on the targets, and let go of first when space is short: by when it was used last.
  bool spare = false;
};

// Without `now_ns` no age is known (a clock that has jumped), and what depends on one waits.
TierDecision DecideTier(const wire::TierPolicy& policy, const TierFacts& facts,
                        std::optional<int64_t> now_ns);

// INVALID_ARGUMENT: it contradicts itself, says which of its parts do.
absl::Status CheckTierPolicy(const wire::TierPolicy& policy);

}  // namespace cairn
