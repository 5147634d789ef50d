// Trying a device that may be slow: a few reads, and what is known by the deadline. A read that
// does not return keeps its buffer and its coroutine; the next look finds it still under way.
#include <algorithm>
#include <utility>

#include "common/task/semaphore.h"
#include "server/chunk/aligned_block.h"
#include "server/chunk/target.h"
#include "server/chunk/target_state.h"

namespace cairn {
namespace {

// Enough for a median; on a disk that turns a tenth of a second of its time.
constexpr size_t kProbeReads = 9;
constexpr uint64_t kProbeBytes = 64 * kKiB;

}  // namespace

struct Target::ProbeUnderWay {
  AlignedBuffer buffer{kProbeBytes};
  std::vector<absl::Duration> reads;
  absl::Status error;
  MonoTime reading_since = MonoTime::Never();
  // Has a unit once the probe has ended.
  Semaphore ended{0};
};

Task<Target::ProbeResult> Target::Probe(Deadline deadline) {
  ProbeResult result;
  result.error = Refusal();
  if (!result.error.ok()) co_return result;
  const CallGuard guard(this);
  if (probe_ == nullptr) {
    probe_ = std::make_shared<ProbeUnderWay>();
    background_.Spawn(RunProbe(probe_, deadline));
  }
  const std::shared_ptr<ProbeUnderWay> probe = probe_;
  const absl::Status ended = co_await probe->ended.Acquire(1, deadline);
  // For whoever waits, too.
  if (ended.ok()) probe->ended.Release(1);
  result.reads = probe->reads;
  result.error = probe->error;
  if (!ended.ok() && probe->reading_since != MonoTime::Never())
    result.pending = Executor::Current().clock().Now() - probe->reading_since;
  co_return result;
}

// One read after the other, so that a device that serves clients has one more to do at a time.
Task<void> Target::RunProbe(std::shared_ptr<ProbeUnderWay> probe, Deadline deadline) {
  const Clock& clock = Executor::Current().clock();
  while (probe->reads.size() < kProbeReads && probe->error.ok() && !deadline.HasPassed(clock)) {
    const MonoTime began = clock.Now();
    probe->reading_since = began;
    probe->error = co_await disk_.Read(NextProbeOffset(), probe->buffer.bytes());
    probe->reading_since = MonoTime::Never();
    probe->reads.push_back(clock.Now() - began);
  }
  if (probe_ == probe) probe_ = nullptr;
  probe->ended.Release(1);
}

// All over the device, and not where the last ones were: its cache would answer.
uint64_t Target::NextProbeOffset() {
  // 2^64 by the golden ratio: multiples of it are spread evenly.
  constexpr uint64_t kStep = 0x9e3779b97f4a7c15;
  const uint64_t places = (disk_.size_bytes() - kProbeBytes) / kUnitBytes + 1;
  return (++probe_reads_ * kStep) % places * kUnitBytes;
}

}  // namespace cairn
