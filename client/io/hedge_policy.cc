#include "client/io/hedge_policy.h"

#include <algorithm>
#include <limits>

namespace cairn {

bool HedgePolicy::TakeHedge() {
  if (allowance_ < kReadsPerHedge) return false;
  allowance_ -= kReadsPerHedge;
  return true;
}

bool HedgePolicy::Avoid(TargetId target, MonoTime now) {
  const auto slow = slow_.find(target);
  if (slow == slow_.end()) return false;
  if (now < slow->second.until) return true;
  slow->second.until = now + slow->second.pause;  // one read at a time finds out
  return false;
}

void HedgePolicy::Answered(TargetId target, absl::Duration took, MonoTime now) {
  if (answers_.size() >= kTargetsMax && !answers_.contains(target)) answers_.clear();
  answers_[target] = now;
  allowance_ = std::min(allowance_ + 1, kReadsPerHedge * kHedgesAtOnce);
  // What a slow target takes must not become the measure of the others.
  if (took > hedge_after_ && IsSlow(target)) return;
  slow_.erase(target);
  NoteDuration(took);
}

void HedgePolicy::NoteDuration(absl::Duration took) {
  if (took_.size() < kRemembered) {
    took_.push_back(took);
  } else {
    took_[next_] = took;
  }
  next_ = (next_ + 1) % kRemembered;
  if (took_.size() < kEnough || next_ % (kEnough / 2) != 0) return;
  std::vector<absl::Duration> sorted = took_;
  const auto at = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() * 3 / 4);
  std::nth_element(sorted.begin(), at, sorted.end());
  hedge_after_ = std::clamp(*at * 4, kMin, kMax);
}

void HedgePolicy::Beaten(TargetId target, MonoTime now) {
  const auto [found, is_new] = slow_.try_emplace(target, Slow{now, now, kAvoidMin / 2});
  Slow& slow = found->second;
  // Reads that were under way together count once.
  if (!is_new && now < slow.since + slow.pause) return;
  slow.pause = std::min(slow.pause * 2, kAvoidMax);
  slow.since = now;
  slow.until = now + slow.pause;
}

MonoTime HedgePolicy::LastAnswer(TargetId target) const {
  const auto found = answers_.find(target);
  return found == answers_.end() ? MonoTime(std::numeric_limits<int64_t>::min()) : found->second;
}

}  // namespace cairn
