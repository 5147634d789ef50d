#include "server/meta/tier_rules.h"

#include <algorithm>

#include "absl/time/time.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

std::string Age(uint64_t seconds) {
  return absl::FormatDuration(absl::Seconds(static_cast<int64_t>(seconds)));
}

bool HasCome(int64_t at_ns, std::optional<int64_t> now_ns) {
  return now_ns.has_value() && *now_ns >= at_ns;
}

bool IsAmongNewest(const wire::TierPolicy& policy, const TierFacts& facts) {
  return facts.is_checkpoint && facts.newer < policy.keep_hot();
}

bool IsKeptByStep(const wire::TierPolicy& policy, const TierFacts& facts) {
  return policy.keep_every_steps() > 0 && facts.step.has_value() &&
         *facts.step % policy.keep_every_steps() == 0;
}

// It goes some day. The newest checkpoint of a directory is what a job resumes from.
bool IsDeletedSomeDay(const wire::TierPolicy& policy, const TierFacts& facts) {
  return facts.is_checkpoint && policy.has_delete_after_seconds() && !facts.pinned &&
         !IsKeptByStep(policy, facts);
}

// When a copy lets go of its space by age, and by which rule.
struct Release {
  int64_t at_ns = INT64_MAX;
  std::string rule;
};
Release ReleaseByAge(const wire::TierPolicy& policy, const TierFacts& facts) {
  Release release;
  if (policy.has_release_after_seconds()) {
    release = {TierTimeAfter(facts.written_at_ns, policy.release_after_seconds()),
               StrCat("released once it is ", Age(policy.release_after_seconds()), " old")};
  }
  if (policy.has_release_unread_seconds()) {
    const int64_t used_at = std::max(facts.read_at_ns, facts.written_at_ns);
    const int64_t at = TierTimeAfter(used_at, policy.release_unread_seconds());
    if (at < release.at_ns) {
      release = {at, StrCat("released once nobody has read it for ",
                            Age(policy.release_unread_seconds()))};
    }
  }
  const bool any = policy.has_release_after_seconds() || policy.has_release_unread_seconds();
  if (!any && policy.keep_hot() > 0 && facts.is_checkpoint) {
    release = {facts.written_at_ns,
               StrCat("not among the newest ", policy.keep_hot(), " of its directory")};
  }
  return release;
}

TierDecision Delete(const wire::TierPolicy& policy, const TierFacts& facts,
                    std::optional<int64_t> now_ns) {
  TierDecision decision;
  const int64_t at = TierTimeAfter(facts.written_at_ns, policy.delete_after_seconds());
  decision.rule = StrCat("not among the newest ", std::max(policy.keep_hot(), 1u),
                         " of its directory, and not kept for its step: deleted once it is ",
                         Age(policy.delete_after_seconds()), " old");
  if (HasCome(at, now_ns)) {
    decision.now = wire::TIER_STEP_DELETE;
  } else {
    decision.next = wire::TIER_STEP_DELETE;
    decision.next_at_ns = at;
  }
  return decision;
}

// Of what has no copy yet.
TierDecision Archive(const wire::TierPolicy& policy, const TierFacts& facts,
                     std::optional<int64_t> now_ns) {
  TierDecision decision;
  if (facts.size_bytes < policy.min_bytes()) {
    decision.rule = StrCat("smaller than ", policy.min_bytes(), " bytes: it stays hot alone");
    return decision;
  }
  const int64_t at = TierTimeAfter(facts.written_at_ns, policy.archive_after_seconds());
  decision.rule = policy.archive_after_seconds() == 0
                      ? std::string("copied as soon as it is there")
                      : StrCat("copied once it is ", Age(policy.archive_after_seconds()), " old");
  if (policy.archive_after_seconds() == 0 || HasCome(at, now_ns)) {
    decision.now = wire::TIER_STEP_ARCHIVE;
  } else {
    decision.next = wire::TIER_STEP_ARCHIVE;
    decision.next_at_ns = at;
  }
  return decision;
}

// Of what has a copy, and its space on the targets.
TierDecision LetGo(const wire::TierPolicy& policy, const TierFacts& facts,
                   std::optional<int64_t> now_ns) {
  TierDecision decision;
  if (facts.pinned) {
    decision.rule = "pinned: it stays hot";
    return decision;
  }
  if (IsAmongNewest(policy, facts)) {
    decision.rule =
        StrCat("among the newest ", policy.keep_hot(), " of its directory: it stays hot");
    decision.next = wire::TIER_STEP_RELEASE;
    return decision;
  }
  const bool is_held = facts.hot_until_ns > 0 && !HasCome(facts.hot_until_ns, now_ns);
  decision.spare = policy.high_percent() > 0 && !is_held;
  Release release = ReleaseByAge(policy, facts);
  if (release.rule.empty()) {
    decision.rule = policy.high_percent() > 0
                        ? StrCat("released when targets are ", policy.high_percent(), " % full")
                        : std::string("no rule releases it");
    if (policy.high_percent() > 0) decision.next = wire::TIER_STEP_RELEASE;
    return decision;
  }
  if (is_held && release.at_ns < facts.hot_until_ns)
    release = {facts.hot_until_ns, "it was fetched, and stays hot for a while"};
  decision.rule = std::move(release.rule);
  // "At once" is no age: it holds with a clock in doubt, too.
  const bool at_once = release.at_ns <= facts.written_at_ns;
  if (at_once || HasCome(release.at_ns, now_ns)) {
    decision.now = wire::TIER_STEP_RELEASE;
  } else {
    decision.next = wire::TIER_STEP_RELEASE;
    decision.next_at_ns = release.at_ns;
  }
  return decision;
}

template <class... Args>
absl::Status Bad(const Args&... args) {
  return absl::InvalidArgumentError(StrCat("tier policy: ", args...));
}

}  // namespace

int64_t TierTimeAfter(int64_t at_ns, uint64_t seconds) {
  constexpr int64_t kSecond = 1'000'000'000;
  const auto most = static_cast<uint64_t>((INT64_MAX - std::max<int64_t>(at_ns, 0)) / kSecond);
  return at_ns + static_cast<int64_t>(std::min(seconds, most)) * kSecond;
}

TierDecision DecideTier(const wire::TierPolicy& policy, const TierFacts& facts,
                        std::optional<int64_t> now_ns) {
  const bool is_deleted = IsDeletedSomeDay(policy, facts);
  std::optional<TierDecision> deletion;
  if (is_deleted && facts.newer >= std::max(policy.keep_hot(), 1u)) {
    deletion = Delete(policy, facts, now_ns);
    if (deletion->now != wire::TIER_STEP_NONE) return *deletion;
  }
  TierDecision decision;
  if (facts.released && policy.promote_reads() > 0 && facts.cold_reads >= policy.promote_reads()) {
    decision.now = wire::TIER_STEP_RECALL;
    decision.rule = StrCat("read ", facts.cold_reads, " times while it was cold");
  } else if (facts.released) {
    decision.rule = "in the cold tier alone";
  } else if (!facts.copied && is_deleted && policy.delete_after_seconds() == 0) {
    // It would never be let go of, but goes.
    decision.rule = StrCat("among the newest ", std::max(policy.keep_hot(), 1u),
                           " of its directory, and deleted after that: not copied");
    decision.next = wire::TIER_STEP_DELETE;
  } else if (!facts.copied && facts.in_pieces) {
    decision.rule = "changed where it lies: copied once the mount that did has gathered its pieces";
  } else if (!facts.copied) {
    decision = Archive(policy, facts, now_ns);
  } else {
    decision = LetGo(policy, facts, now_ns);
  }
  if (!deletion.has_value() || decision.now != wire::TIER_STEP_NONE) return decision;
  // Whatever comes first.
  if (decision.next_at_ns.has_value() && *decision.next_at_ns <= *deletion->next_at_ns)
    return decision;
  deletion->spare = decision.spare;
  return *deletion;
}

absl::Status CheckTierPolicy(const wire::TierPolicy& policy) {
  if (policy.tier().empty()) return Bad("it names no tier; say where copies go");
  for (const uint64_t seconds : {policy.archive_after_seconds(), policy.release_after_seconds(),
                                 policy.release_unread_seconds(), policy.delete_after_seconds()}) {
    if (seconds > kPolicySecondsMax) return Bad("a time of over a hundred years");
  }
  if (policy.keep_hot() > kKeepHotMax)
    return Bad("it keeps ", policy.keep_hot(), " checkpoints hot; ", kKeepHotMax, " at most");
  if (policy.high_percent() > 99 || policy.low_percent() > 99)
    return Bad("targets are never filled over 99 %: watermarks are from 1 to 99");
  if (policy.high_percent() > 0 && policy.low_percent() >= policy.high_percent()) {
    return Bad("the low watermark, ", policy.low_percent(), " %, is not below the high one, ",
               policy.high_percent(), " %");
  }
  if (policy.high_percent() == 0 && policy.low_percent() > 0)
    return Bad("a low watermark without a high one");
  if (policy.has_release_after_seconds() &&
      policy.release_after_seconds() < policy.archive_after_seconds()) {
    return Bad("it releases what is ", Age(policy.release_after_seconds()),
               " old, but copies it only once it is ", Age(policy.archive_after_seconds()),
               " old; nothing is released before its copy exists");
  }
  if (policy.keep_every_steps() > 0 && !policy.has_delete_after_seconds())
    return Bad("it keeps checkpoints by their step, but deletes none; say when the others go");
  return absl::OkStatus();
}

}  // namespace cairn
