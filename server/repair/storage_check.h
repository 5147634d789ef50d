// fsck: compares what the metadata refers to with what the targets hold, both ways, a part of the
// stripe ids at a time; and mends it when asked to. Also reads every byte when asked to (scrub).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/task/semaphore.h"
#include "common/task/task.h"
#include "proto/wire/cluster.pb.h"
#include "server/cluster/peers.h"
#include "server/meta/meta_engine.h"
#include "server/repair/map_view.h"

namespace cairn {

// Lives on the executor of `peers`, on the node with the metadata role. Keeps nothing between
// steps. One for all who check: what it frees must not be planned to be moved meanwhile.
class StorageCheck {
 public:
  // Sweeps free what nothing refers to, by themselves (server/repair/rebuild_loop.h).
  struct Sweeps {
    std::function<bool()> is_due;  // one will, or is under way; see Step()
    std::function<void()> want;    // something may have been left over: there is to be one
  };
  // `map` answers the map of the moment.
  StorageCheck(MetaEngine& meta, Peers& peers, std::function<const wire::ClusterMap&()> map,
               Sweeps sweeps);

  // One step, from stripe `request.from()` on. While data is written and removed, what only looks
  // wrong because of that is looked at twice and is no finding. As long as a sweep is due, neither
  // is what nothing refers to, unless it is to be mended: it is counted. Errors are the metadata's;
  // targets that do not answer are named in the reply.
  Task<absl::StatusOr<wire::CheckStorageReply>> Step(wire::CheckStorageRequest request) {
    return Run(request, request.repair() ? Mend::kAll : Mend::kNothing);
  }
  // As Step(), and frees what nothing refers to. Makes nothing.
  Task<absl::StatusOr<wire::CheckStorageReply>> FreeOrphans(wire::CheckStorageRequest request) {
    return Run(request, Mend::kOrphans);
  }

  // Held while something is freed that nothing refers to. Who plans that a target is to hold
  // fragments holds it meanwhile: what the target happens to have already counts as held.
  Semaphore& freeing() { return freeing_; }

 private:
  enum class Mend { kNothing, kOrphans, kAll };
  Task<absl::StatusOr<wire::CheckStorageReply>> Run(wire::CheckStorageRequest request, Mend mend);
  struct Range;
  struct Held;
  struct Evaluation;
  Task<absl::StatusOr<Evaluation>> Evaluate(const MapView& view, Range* range, bool verify);
  Task<Held> ListAll(const MapView& view, Range* range, bool verify);
  Task<absl::Status> ListNode(const wire::NodeInfo* node, Range* range, bool verify, Held* held);
  Task<void> Restore(const MapView& view, Evaluation& found);
  bool OrphansAreExpected() const { return restores_under_way_ > 0 || sweeps_.is_due(); }
  Task<void> Free(const MapView& view, Evaluation& found);

  MetaEngine& meta_;
  Peers& peers_;
  const std::function<const wire::ClusterMap&()> map_;
  const Sweeps sweeps_;
  int restores_under_way_ = 0;
  Semaphore freeing_{1};
};

}  // namespace cairn
