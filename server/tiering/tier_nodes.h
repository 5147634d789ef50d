// What the node with the metadata has others do with tiers, and itself: the seam between deciding
// and moving bytes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/task/deadline.h"
#include "common/task/task.h"
#include "proto/wire/meta.pb.h"
#include "proto/wire/tier.pb.h"
#include "server/tier/cold_store.h"

namespace cairn {

// Lives on core 0's executor. Errors are those of mover.h, and UNAVAILABLE or DEADLINE_EXCEEDED
// when a node does not answer.
class TierNodes {
 public:
  virtual ~TierNodes() = default;

  // Nodes that can be asked now.
  virtual std::vector<wire::NodeInfo> Alive() = 0;
  // How full the targets are that take data, in all.
  struct Fill {
    uint64_t used_bytes = 0;
    uint64_t capacity_bytes = 0;
  };
  virtual Fill HotFill() = 0;
  // Sees to it that there are placement groups for `redundancy` ("": the default).
  virtual Task<absl::Status> MakeGroups(std::string redundancy) = 0;

  virtual Task<absl::StatusOr<wire::PutColdReply>> Put(wire::NodeInfo node,
                                                       wire::PutColdRequest request,
                                                       Deadline deadline) = 0;
  virtual Task<absl::StatusOr<wire::CheckColdReply>> Check(wire::NodeInfo node,
                                                           wire::CheckColdRequest request,
                                                           Deadline deadline) = 0;
  virtual Task<absl::StatusOr<wire::DeleteColdReply>> Delete(wire::NodeInfo node,
                                                             wire::DeleteColdRequest request,
                                                             Deadline deadline) = 0;
  virtual Task<absl::StatusOr<wire::RecallColdReply>> Recall(wire::NodeInfo node,
                                                             wire::RecallColdRequest request,
                                                             Deadline deadline) = 0;

  // By this node itself, from its own connection to the store: what is a matter of metadata.
  virtual Task<absl::Status> PutText(wire::TierSpec tier, std::string key, std::string text,
                                     Deadline deadline) = 0;
  virtual Task<absl::StatusOr<std::string>> GetText(wire::TierSpec tier, std::string key,
                                                    uint64_t size_bytes, Deadline deadline) = 0;
  virtual Task<absl::StatusOr<ColdListing>> List(wire::TierSpec tier, ColdListOptions options,
                                                 Deadline deadline) = 0;
};

}  // namespace cairn
