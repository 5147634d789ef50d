// Makes fragments on this node's targets again, from other fragments of their stripes: what
// rebuild, draining, rebalancing and repair have in common. Pulls k fragments from their nodes,
// computes the one that is wanted, writes it and seals it. Next: rebuild_loop.h, who asks for it.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/fabric/net.h"
#include "common/task/semaphore.h"
#include "common/task/stop.h"
#include "common/task/task.h"
#include "proto/wire/cluster.pb.h"
#include "server/chunk/target.h"
#include "server/cluster/peers.h"

namespace cairn {

// Work on a target of this node, run on the executor that the target lives on.
using TargetWork = std::function<Task<absl::Status>(Target&)>;
// Finds the target and runs the work; `work` outlives the call. UNAVAILABLE: the node has no such
// target. FAILED_PRECONDITION: it has failed.
using OnTarget = std::function<Task<absl::Status>(uint32_t target, const TargetWork& work)>;

// Lives on the executor of `peers`.
class FragmentMaker {
 public:
  struct Options {
    // Fragments made at once, and so memory: about a stripe and a fragment each.
    int64_t at_once = 4;
    // Bytes written a second, at most; 0: as fast as it goes.
    uint64_t bytes_per_second = 0;
  };
  // `peers`, on `net`, are for bulk calls, and so not those that heartbeats use: a call that gets
  // lost costs all of them their connections. `busy` says whether clients are being served, which
  // comes first.
  FragmentMaker(Net& net, Peers& peers, OnTarget on_target, std::function<bool()> busy,
                Options options);

  // What could not be made is told in the reply. INVALID_ARGUMENT: a request that makes no sense.
  // Other errors are the target's own: none of the fragments counts.
  Task<absl::StatusOr<wire::RestoreFragmentsReply>> Restore(
      const wire::RestoreFragmentsRequest& request, Deadline deadline);
  // Ends waiting with CANCELLED. The peers end what is under way.
  void Stop();

 private:
  struct Job;
  struct Sources;
  Task<absl::StatusOr<wire::RestoreFragmentsReply>> RestoreNow(
      const wire::RestoreFragmentsRequest& request, Deadline deadline);
  Task<absl::Status> FindPresent(Job& job);
  Task<void> MakeInTurn(Job* job, size_t item);
  Task<absl::Status> Make(Job& job, size_t item);
  Task<absl::Status> Fetch(Job& job, size_t item, MutableBytes into);
  Task<absl::Status> Copy(Job& job, size_t item, MutableBytes into);
  Task<absl::Status> Reconstruct(Job& job, size_t item, MutableBytes into);
  Task<absl::StatusOr<Sources>> ReadSources(Job& job, size_t item, uint64_t length_bytes);
  Task<absl::Status> Read(Job* job, size_t item,
                          const wire::RestoreFragmentsRequest::Source* source, MutableBytes into);
  Task<absl::Status> SealMade(Job& job);
  Task<void> Pace(uint64_t bytes, MonoTime began);

  Net& net_;
  Peers& peers_;
  const OnTarget on_target_;
  const std::function<bool()> busy_;
  const Options options_;
  Semaphore turns_;
  Semaphore replacing_;  // one request at a time
  StopSource stop_;
  MonoTime paced_until_;
};

}  // namespace cairn
