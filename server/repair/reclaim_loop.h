// Gives space back: asks the metadata which stripes nothing references any more, tells the targets
// to free them, and reports them done. Also drops what writers left unsealed when their lease
// ended. Restartable at any point: what is not reported done comes again, and freeing twice is
// harmless.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "common/base/ids.h"
#include "common/task/event.h"
#include "common/task/scope.h"
#include "common/task/stop.h"
#include "server/meta/meta_engine.h"

namespace cairn {

// Lives on core 0's executor. Reaches targets through functions, since they live on other cores
// and, in a cluster, on other nodes.
class ReclaimLoop {
 public:
  struct Targets {
    // Frees these stripes' fragments on every target, side by side; an error of one holds up no
    // other. Durable on all when it returns OK.
    std::function<Task<absl::Status>(std::vector<StripeSpan>)> free;
    // Leases with unsealed fragments on any target.
    std::function<Task<std::vector<LeaseId>>()> pending_leases;
    // Drops the unsealed fragments of a lease.
    std::function<Task<absl::Status>(LeaseId)> drop_lease;
  };
  ReclaimLoop(MetaEngine& meta, Targets targets);

  void Start() { scope_.Spawn(Run()); }
  // From now on it says nothing of what fails.
  void RequestStop() { stop_.RequestStop(); }
  Task<void> Stop();

 private:
  Task<void> Run();
  // True when there may be more to do at once.
  Task<absl::StatusOr<bool>> FreeSome();
  void PassBy(const std::vector<ReclaimItem>& items, const absl::Status& why);
  Task<absl::Status> DropEndedLeases();

  MetaEngine& meta_;
  Targets targets_;
  // What a target refused to free stays queued and is passed by, so that it holds up nothing behind
  // it: the others have freed it, and after `try_again_` all that was passed by has its next turn.
  ReclaimPosition from_;
  bool passed_by_ = false;
  MonoTime try_again_;
  absl::Duration patience_;
  StopSource stop_;
  Scope scope_;
};

}  // namespace cairn
