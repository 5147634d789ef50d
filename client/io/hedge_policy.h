// Pure: when a read has taken so long that its bytes are asked for in another way as well, and
// which targets are slow enough not to be asked first. What was slow is known per target: a slow
// device is one target, a node that stands still is all of its targets.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/ids.h"

namespace cairn {

// Not thread-safe.
class HedgePolicy {
 public:
  // Four times what three quarters of the last reads took, within these bounds; before enough are
  // known, kDefault.
  static constexpr absl::Duration kMin = absl::Milliseconds(20);
  static constexpr absl::Duration kMax = absl::Seconds(2);
  static constexpr absl::Duration kDefault = absl::Milliseconds(500);
  absl::Duration HedgeAfter() const { return hedge_after_; }

  // One hedge is allowed for so many reads that end well, and a few at once: where everything is
  // slow, asking for more would make it slower.
  static constexpr int kReadsPerHedge = 16;
  static constexpr int kHedgesAtOnce = 8;
  // False: not now.
  bool TakeHedge();

  // Whether `target` was beaten lately, so that others are to be asked first. Now and then says
  // false for one read, which finds out how it is by now.
  bool Avoid(TargetId target, MonoTime now);
  // As Avoid(), for who only chooses an order.
  bool IsSlow(TargetId target) const { return slow_.contains(target); }

  // `target` has answered with the bytes wanted, `took` after they were asked for.
  void Answered(TargetId target, absl::Duration took, MonoTime now);
  // Another way was faster although it began later.
  void Beaten(TargetId target, MonoTime now);
  // When it answered last; the beginning of time if never, or too long ago to be remembered.
  MonoTime LastAnswer(TargetId target) const;

 private:
  static constexpr size_t kRemembered = 64;
  static constexpr size_t kEnough = 16;
  static constexpr absl::Duration kAvoidMin = absl::Seconds(2);
  static constexpr absl::Duration kAvoidMax = absl::Minutes(1);
  // Beyond it, in a cluster that is larger, all answers are forgotten at once.
  static constexpr size_t kTargetsMax = 4096;
  struct Slow {
    MonoTime since;  // it was beaten last
    MonoTime until;  // it is not asked first
    absl::Duration pause;
  };
  void NoteDuration(absl::Duration took);

  std::vector<absl::Duration> took_;  // a ring
  size_t next_ = 0;
  absl::Duration hedge_after_ = kDefault;
  int allowance_ = kReadsPerHedge * kHedgesAtOnce;
  absl::flat_hash_map<TargetId, Slow> slow_;
  absl::flat_hash_map<TargetId, MonoTime> answers_;
};

}  // namespace cairn
