// The operator's calls about cold tiers, on core 0 of the node with the metadata role: which there
// are, and whether all nodes can use them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/rpc/call_table.h"
#include "common/task/semaphore.h"
#include "proto/wire/meta.pb.h"
#include "proto/wire/tier.pb.h"
#include "server/meta/meta_engine.h"

namespace cairn {

// Lives on core 0's reactor.
class TierService {
 public:
  struct Cluster {
    std::function<const wire::ClusterMap&()> map;
    // Has a node, this one or another, try a tier: TierWorker::Probe().
    std::function<Task<absl::StatusOr<wire::ProbeTierReply>>(
        wire::NodeInfo node, wire::ProbeTierRequest request, Deadline deadline)>
        probe;
  };
  // `meta` outlives it.
  TierService(MetaEngine& meta, Cluster cluster) : meta_(meta), cluster_(std::move(cluster)) {}

  void Register(CallTable& table);

  // One node makes an empty directory a store; then all nodes that are alive try the tier, and only
  // then is it noted, durably. FAILED_PRECONDITION: some cannot use it, saying which and why; not
  // with `unchecked`. INVALID_ARGUMENT: the name, the location or an option. ALREADY_EXISTS and
  // RESOURCE_EXHAUSTED as AddTier() (server/meta/tiers.h).
  Task<absl::StatusOr<wire::AddTierReply>> AddTier(CallContext& call,
                                                   const wire::AddTierRequest& request);
  Task<absl::StatusOr<wire::ListTiersReply>> ListTiers(CallContext& call,
                                                       const wire::ListTiersRequest& request);
  // NOT_FOUND. What fails is in the reply.
  Task<absl::StatusOr<wire::CheckTierReply>> CheckTier(CallContext& call,
                                                       const wire::CheckTierRequest& request);
  // The tier is forgotten; what is in its store stays there. Errors as RemoveTier()
  // (server/meta/tiers.h), also of a dry run.
  Task<absl::StatusOr<wire::RemoveTierReply>> RemoveTier(CallContext& call,
                                                         const wire::RemoveTierRequest& request);

 private:
  struct Asked {
    uint32_t node = 0;
    absl::StatusOr<wire::ProbeTierReply> reply;
  };
  Task<absl::StatusOr<wire::TierInfo>> Find(std::string name);
  // False: it is there, the same. ALREADY_EXISTS as above.
  Task<absl::StatusOr<bool>> IsNew(const wire::TierSpec& spec);
  Task<absl::Status> Prepare(const wire::TierSpec& spec, Deadline deadline);
  Task<wire::CheckTierReply> CheckOnAll(wire::TierSpec spec, Deadline deadline);
  Task<Asked> AskInTurn(wire::NodeInfo node, wire::TierSpec spec, Semaphore* turns,
                        Deadline deadline);

  MetaEngine& meta_;
  const Cluster cluster_;
};

}  // namespace cairn
