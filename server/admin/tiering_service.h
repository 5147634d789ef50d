// What operators ask of tiering, on core 0 of the node with the metadata role: policies, queues,
// what becomes of a path and why; and what writers ask who find no space.
#pragma once

#include "absl/status/statusor.h"
#include "common/rpc/call_table.h"
#include "proto/wire/tier.pb.h"
#include "server/meta/meta_engine.h"
#include "server/tiering/tier_loop.h"

namespace cairn {

// Lives on core 0's reactor.
class TieringService {
 public:
  // Both outlive it.
  TieringService(MetaEngine& meta, TierLoop& loop) : meta_(meta), loop_(loop) {}

  void Register(CallTable& table);

  // Errors are those of server/meta/tier_control.h and tier_queries.h.
  Task<absl::StatusOr<wire::ControlTierReply>> Control(CallContext& call,
                                                       const wire::ControlTierRequest& request);
  Task<absl::StatusOr<wire::SetTierPolicyReply>> SetPolicy(
      CallContext& call, const wire::SetTierPolicyRequest& request);
  Task<absl::StatusOr<wire::ListTierPoliciesReply>> ListPolicies(
      CallContext& call, const wire::ListTierPoliciesRequest& request);
  Task<absl::StatusOr<wire::TestTierPolicyReply>> TestPolicy(
      CallContext& call, const wire::TestTierPolicyRequest& request);
  Task<absl::StatusOr<wire::AskTierReply>> Ask(CallContext& call,
                                               const wire::AskTierRequest& request);
  Task<absl::StatusOr<wire::TierQueueReply>> Queue(CallContext& call,
                                                   const wire::TierQueueRequest& request);
  Task<absl::StatusOr<wire::ExplainTierReply>> Explain(CallContext& call,
                                                       const wire::ExplainTierRequest& request);
  Task<absl::StatusOr<wire::TierProgressReply>> Progress(CallContext& call,
                                                         const wire::TierProgressRequest& request);
  // Errors as Importer::Begin().
  Task<absl::StatusOr<wire::ImportTierReply>> Import(CallContext& call,
                                                     const wire::ImportTierRequest& request);
  Task<absl::StatusOr<wire::ImportStatusReply>> ImportStatus(
      CallContext& call, const wire::ImportStatusRequest& request);
  Task<absl::StatusOr<wire::AskForSpaceReply>> AskForSpace(CallContext& call,
                                                           const wire::AskForSpaceRequest& request);

 private:
  // The job that works on what a path names; null: none does.
  Task<const TierProgress*> RunningAt(std::string path);

  MetaEngine& meta_;
  TierLoop& loop_;
};

}  // namespace cairn
