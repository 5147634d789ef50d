// What a mount counts of its own work, as it tells with each renewal: made into what it has done
// from one report to the next, for `cairn top`. Pure; MountTable keeps one of each mount.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "proto/wire/fs.pb.h"
#include "proto/wire/load.pb.h"

namespace cairn {

class MountReports {
 public:
  // Mounts say what they like, and there may be ten thousand: what is more than this, or is called
  // otherwise than fs.proto says, is left out. libfuse has some 40 calls, which client/fuse counts
  // as 24 operations; a std::string holds a name of 15 bytes without memory of its own.
  static constexpr size_t kOperationsMax = 32;
  static constexpr size_t kNameBytesMax = 15;
  // No count comes to this, not even one of nanoseconds; the sum of two is in range.
  static constexpr uint64_t kCountMax = uint64_t{1} << 62;
  // What is told sooner after the last report is left for the next: a mount that says its locks
  // again, or tries again, does so within moments.
  static constexpr absl::Duration kIntervalMin = absl::Seconds(1);
  // Mounts report each quarter of MountTable::kTtl, so this one has left out one and is late with
  // the next.
  static constexpr absl::Duration kCurrentFor = absl::Seconds(17);

  // `counts` are those since the mount began; smaller ones than before begin anew. Times are of
  // this service's clock: a report that comes late makes one rate too low, and the next too high.
  void Add(const wire::MountCounts& counts, MonoTime now);

  // False: nothing is known of what it does now.
  bool IsCurrent(MonoTime now) const;
  // How much it does, to compare: calls a second, and as many of the largest that the kernel makes
  // as its bytes need. 0 unless IsCurrent().
  double Work(MonoTime now) const;
  // Sets the interval and the counts of it, if IsCurrent().
  void Tell(MonoTime now, wire::MountLoad* load) const;

 private:
  struct Amount {
    uint64_t total = 0;  // since the mount began
    uint64_t grown = 0;  // from report to report
    // False: it is less than it was.
    bool Set(uint64_t to);
  };
  struct Operation {
    std::string name;
    Amount calls, errors, time_ns;
  };
  // Takes what is new; false: something has begun anew.
  bool Take(const wire::MountCounts& counts);
  bool TakeOperation(const wire::OperationCount& count);

  std::vector<Operation> operations_;
  Amount read_bytes_, written_bytes_;
  MonoTime told_at_;
  bool told_ = false;
  absl::Duration interval_;  // zero: there was no report before the last
};

}  // namespace cairn
