// Reads everything that is stored now and then, compares it with its checksums and mends what is
// damaged, long before somebody needs it. Sees at once to what clients have stumbled over.
#pragma once

#include <cstdint>
#include <functional>
#include <set>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/task/event.h"
#include "common/task/scope.h"
#include "common/task/stop.h"
#include "proto/wire/cluster.pb.h"
#include "server/repair/storage_check.h"

namespace cairn {

// Lives on the executor of `check`, on the node with the metadata role.
class ScrubLoop {
 public:
  struct Options {
    absl::Duration interval = absl::Hours(168);  // infinite: only what is reported
    // Until the first pass, so that a node which is restarted often scrubs all the same.
    absl::Duration first_after = absl::Hours(1);
    // Bytes a second of all targets together.
    std::function<uint64_t()> bandwidth;
  };
  ScrubLoop(StorageCheck& check, Options options);

  void Start() { scope_.Spawn(Run()); }
  // A stripe that has been read around something. Forgotten when too many wait: the next pass finds
  // it, too.
  void Report(uint64_t stripe);
  wire::ScrubStatus Status() const { return status_; }
  absl::Duration interval() const { return options_.interval; }

  void RequestStop();
  // The calls of `check` have been ended.
  Task<void> Stop();

 private:
  Task<void> Run();
  Task<absl::Status> RunPass();
  Task<absl::Status> MendReported();
  Task<absl::Status> Mend(wire::CheckStorageRequest request, wire::CheckStorageReply* reply);
  // Waits for `duration`, and sees to reports meanwhile.
  Task<absl::Status> Wait(absl::Duration duration);

  StorageCheck& check_;
  const Options options_;
  std::set<uint64_t> reported_;
  wire::ScrubStatus status_;
  StopSource stop_;
  Scope scope_;
};

}  // namespace cairn
