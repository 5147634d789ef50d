// What moves in the cluster at this moment, for `cairn top`: asks the nodes, some at a time. On
// core 0 of the node with the metadata role.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "common/rpc/call_table.h"
#include "common/task/deadline.h"
#include "common/task/task.h"
#include "proto/wire/load.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/reply_size.h"

namespace cairn {

// Lives on core 0's reactor.
class LoadService {
 public:
  struct Cluster {
    std::function<const wire::ClusterMap&()> map;
    // Asks a node, this one or another.
    std::function<Task<absl::StatusOr<wire::NodeLoadReply>>(wire::NodeInfo node, Deadline deadline)>
        ask;
    size_t page_bytes_max = kMaxReplyBytes - 256;
  };
  explicit LoadService(Cluster cluster) : cluster_(std::move(cluster)) {}

  void Register(CallTable& table) {
    table.Add(wire::CLUSTER_LOAD, this, &LoadService::ClusterLoad);
  }

  // A page: asked of so many nodes side by side. A node that does not answer in time is told as
  // such, and no error.
  Task<absl::StatusOr<wire::ClusterLoadReply>> ClusterLoad(CallContext& call,
                                                           const wire::ClusterLoadRequest& request);

 private:
  Task<wire::ClusterLoadReply::Node> Ask(wire::NodeInfo node, Deadline deadline);

  const Cluster cluster_;
};

}  // namespace cairn
