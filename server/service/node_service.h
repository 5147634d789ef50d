// What every node answers to the others: the proof that both know the cluster's secret, and what
// its targets hold, are to hold and are to free. Which sessions are nodes' is known here.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "common/rpc/call_table.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/examine.pb.h"
#include "proto/wire/load.pb.h"
#include "proto/wire/tier.pb.h"
#include "server/cluster/cluster_secret.h"
#include "server/meta/reclaim.h"

namespace cairn {

// Lives on core 0's reactor.
class NodeService {
 public:
  // What the node does.
  struct Work {
    // Frees these stripes' fragments on all of its targets, durably, and before that forgets which
    // leases were found live.
    std::function<Task<absl::Status>(std::vector<StripeSpan>)> free;
    // Those of server/repair/fragment_list.h and fragment_maker.h.
    std::function<Task<absl::Status>(const wire::FreeFragmentsRequest&)> free_fragments;
    std::function<Task<absl::StatusOr<wire::ListFragmentsReply>>(const wire::ListFragmentsRequest&)>
        list;
    std::function<Task<absl::StatusOr<wire::RestoreFragmentsReply>>(
        const wire::RestoreFragmentsRequest&, Deadline)>
        restore;
    // That of server/admin/node_examiner.h.
    std::function<Task<absl::StatusOr<wire::ExamineNodeReply>>(wire::ExamineNodeRequest, Deadline)>
        examine;
    // Gives the node one more target; idempotent.
    std::function<Task<absl::StatusOr<wire::AddTargetReply>>(const wire::AddTargetRequest&,
                                                             Deadline)>
        add_target;
    // That of server/tier/tier_worker.h.
    std::function<Task<absl::StatusOr<wire::ProbeTierReply>>(wire::ProbeTierRequest, Deadline)>
        probe_tier;
    // What moves at this moment.
    std::function<Task<absl::StatusOr<wire::NodeLoadReply>>()> load;
    // Those of server/tiering/mover.h.
    std::function<Task<absl::StatusOr<wire::PutColdReply>>(wire::PutColdRequest, Deadline)>
        put_cold;
    std::function<Task<absl::StatusOr<wire::CheckColdReply>>(wire::CheckColdRequest, Deadline)>
        check_cold;
    std::function<Task<absl::StatusOr<wire::DeleteColdReply>>(wire::DeleteColdRequest, Deadline)>
        delete_cold;
    std::function<Task<absl::StatusOr<wire::RecallColdReply>>(wire::RecallColdRequest, Deadline)>
        recall_cold;
  };
  // `cluster_id` answers "" until the node has joined.
  NodeService(ClusterSecret secret, std::function<std::string()> cluster_id, Work work);

  void Register(CallTable& table);
  // For SessionTable, which calls it on the same reactor.
  void OnSessionEnded(SessionId session) { proven_.erase(session); }
  // OK for a call of a node of this cluster. PERMISSION_DENIED: its session has proven nothing.
  absl::Status CheckIsNode(const CallContext& call) const;

  Task<absl::StatusOr<wire::ProveNodeReply>> ProveNode(CallContext& call,
                                                       const wire::ProveNodeRequest& request);
  Task<absl::StatusOr<wire::FreeSpansReply>> FreeSpans(CallContext& call,
                                                       const wire::FreeSpansRequest& request);
  Task<absl::StatusOr<wire::FreeFragmentsReply>> FreeFragments(
      CallContext& call, const wire::FreeFragmentsRequest& request);
  Task<absl::StatusOr<wire::ListFragmentsReply>> ListFragments(
      CallContext& call, const wire::ListFragmentsRequest& request);
  Task<absl::StatusOr<wire::RestoreFragmentsReply>> RestoreFragments(
      CallContext& call, const wire::RestoreFragmentsRequest& request);
  Task<absl::StatusOr<wire::ExamineNodeReply>> ExamineNode(CallContext& call,
                                                           const wire::ExamineNodeRequest& request);
  Task<absl::StatusOr<wire::AddTargetReply>> AddTarget(CallContext& call,
                                                       const wire::AddTargetRequest& request);
  Task<absl::StatusOr<wire::ProbeTierReply>> ProbeTier(CallContext& call,
                                                       const wire::ProbeTierRequest& request);
  Task<absl::StatusOr<wire::NodeLoadReply>> NodeLoad(CallContext& call,
                                                     const wire::NodeLoadRequest& request);
  Task<absl::StatusOr<wire::PutColdReply>> PutCold(CallContext& call,
                                                   const wire::PutColdRequest& request);
  Task<absl::StatusOr<wire::CheckColdReply>> CheckCold(CallContext& call,
                                                       const wire::CheckColdRequest& request);
  Task<absl::StatusOr<wire::DeleteColdReply>> DeleteCold(CallContext& call,
                                                         const wire::DeleteColdRequest& request);
  Task<absl::StatusOr<wire::RecallColdReply>> RecallCold(CallContext& call,
                                                         const wire::RecallColdRequest& request);

 private:
  const ClusterSecret secret_;
  const std::function<std::string()> cluster_id_;
  const Work work_;
  absl::flat_hash_set<SessionId> proven_;
};

}  // namespace cairn
