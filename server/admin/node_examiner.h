// Examines this node for `cairn doctor`: tries its devices and its links to a few others, and tells
// its clock. Next: cluster_examiner.h, who asks for it.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/task/deadline.h"
#include "common/task/semaphore.h"
#include "common/task/task.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/examine.pb.h"
#include "server/cluster/peers.h"
#include "server/repair/fragment_maker.h"

namespace cairn {

// Lives on the executor of `peers`.
class NodeExaminer {
 public:
  struct Options {
    std::string software_version;
    MonoTime started_at;
    // The node's wall clock.
    std::function<absl::Time()> wall_now;
    // What the node says of itself and its targets; costs no I/O.
    std::function<Task<wire::HeartbeatRequest>()> state;
    OnTarget on_target;
  };
  // `peers` are for calls whose connections may get lost and become busy: not those that heartbeats
  // use. They outlive the examiner.
  NodeExaminer(Peers& peers, Options options);

  // Answers before `deadline`, with what is known by then. What was asked for and hangs is told as
  // such; devices and links that fail are facts and no errors. INVALID_ARGUMENT: too many peers.
  // DEADLINE_EXCEEDED: others are examining this node all the time.
  Task<absl::StatusOr<wire::ExamineNodeReply>> Examine(wire::ExamineNodeRequest request,
                                                       Deadline deadline);

 private:
  Task<absl::Status> TryAll(const wire::ExamineNodeRequest& request, Deadline deadline,
                            wire::ExamineNodeReply* reply);
  Task<absl::Status> TryTargets(Deadline deadline, wire::ExamineNodeReply* reply);
  Task<absl::Status> TryTarget(wire::TargetFacts* facts, Deadline deadline);
  Task<absl::Status> TryLink(wire::ExamineNodeRequest::Peer peer, uint32_t from, Deadline deadline,
                             wire::LinkFacts* facts);
  Task<absl::Status> MeasureLink(const wire::ExamineNodeRequest::Peer& peer, Deadline deadline,
                                 wire::LinkFacts* facts);

  Peers& peers_;
  const Options options_;
  // One examination at a time: two would measure each other.
  Semaphore turn_{1};
};

}  // namespace cairn
