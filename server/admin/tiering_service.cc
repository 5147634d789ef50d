#include "server/admin/tiering_service.h"

#include <string>
#include <utility>

#include "common/telemetry/log.h"

namespace cairn {

void TieringService::Register(CallTable& table) {
  table.Add(wire::CONTROL_TIER, this, &TieringService::Control);
  table.Add(wire::SET_TIER_POLICY, this, &TieringService::SetPolicy);
  table.Add(wire::LIST_TIER_POLICIES, this, &TieringService::ListPolicies);
  table.Add(wire::TEST_TIER_POLICY, this, &TieringService::TestPolicy);
  table.Add(wire::ASK_TIER, this, &TieringService::Ask);
  table.Add(wire::TIER_QUEUE, this, &TieringService::Queue);
  table.Add(wire::EXPLAIN_TIER, this, &TieringService::Explain);
  table.Add(wire::TIER_PROGRESS, this, &TieringService::Progress);
  table.Add(wire::IMPORT_TIER, this, &TieringService::Import);
  table.Add(wire::IMPORT_STATUS, this, &TieringService::ImportStatus);
  table.Add(wire::ASK_FOR_SPACE, this, &TieringService::AskForSpace);
}

Task<absl::StatusOr<wire::ControlTierReply>> TieringService::Control(
    CallContext& call, const wire::ControlTierRequest& request) {
  absl::StatusOr<wire::ControlTierReply> reply =
      co_await meta_.Mutate(wire::ControlTierRequest(request));
  if (reply.ok()) loop_.Wake();
  co_return reply;
}

Task<absl::StatusOr<wire::SetTierPolicyReply>> TieringService::SetPolicy(
    CallContext& call, const wire::SetTierPolicyRequest& request) {
  absl::StatusOr<wire::SetTierPolicyReply> reply =
      co_await meta_.Mutate(wire::SetTierPolicyRequest(request));
  if (!reply.ok()) co_return reply;
  CAIRN_LOG_INFO("an operator has {} the tier policy of {}",
                 request.has_policy() ? "set" : "removed", request.path());
  loop_.Wake();
  co_return reply;
}

Task<absl::StatusOr<wire::ListTierPoliciesReply>> TieringService::ListPolicies(
    CallContext& call, const wire::ListTierPoliciesRequest& request) {
  co_return co_await meta_.Query(wire::ListTierPoliciesRequest(request));
}

Task<absl::StatusOr<wire::TestTierPolicyReply>> TieringService::TestPolicy(
    CallContext& call, const wire::TestTierPolicyRequest& request) {
  wire::TestTierPolicyRequest judged = request;
  judged.set_now_ns(meta_.UnixNow());
  co_return co_await meta_.Query(std::move(judged));
}

Task<absl::StatusOr<wire::AskTierReply>> TieringService::Ask(CallContext& call,
                                                             const wire::AskTierRequest& request) {
  absl::StatusOr<wire::AskTierReply> reply = co_await meta_.Mutate(wire::AskTierRequest(request));
  if (!reply.ok()) co_return reply;
  loop_.Wake();
  // What another action wants, or none, is not gone on with.
  co_await loop_.CancelUnwanted();
  co_return reply;
}

Task<const TierProgress*> TieringService::RunningAt(std::string path) {
  const absl::StatusOr<InodeId> subject = co_await meta_.TierSubjectAt(std::move(path));
  if (!subject.ok()) co_return nullptr;
  const auto running = loop_.running().find(subject->value());
  co_return running == loop_.running().end() ? nullptr : running->second;
}

Task<absl::StatusOr<wire::TierQueueReply>> TieringService::Queue(
    CallContext& call, const wire::TierQueueRequest& request) {
  absl::StatusOr<wire::TierQueueReply> reply =
      co_await meta_.Query(wire::TierQueueRequest(request));
  if (!reply.ok()) co_return reply;
  for (wire::TierQueueReply::Entry& entry : *reply->mutable_entries()) {
    const TierProgress* running = co_await RunningAt(entry.path());
    entry.set_running(running != nullptr);
    if (running != nullptr) entry.set_done_bytes(running->done_bytes);
  }
  reply->set_holds_back(loop_.HoldsBack());
  co_return reply;
}

Task<absl::StatusOr<wire::ExplainTierReply>> TieringService::Explain(
    CallContext& call, const wire::ExplainTierRequest& request) {
  wire::ExplainTierRequest judged = request;
  judged.set_now_ns(meta_.UnixNow());
  absl::StatusOr<wire::ExplainTierReply> reply = co_await meta_.Query(std::move(judged));
  if (!reply.ok()) co_return reply;
  const TierProgress* running = co_await RunningAt(reply->verdict().path());
  reply->set_running(running != nullptr);
  if (running != nullptr) reply->set_done_bytes(running->done_bytes);
  co_return reply;
}

Task<absl::StatusOr<wire::TierProgressReply>> TieringService::Progress(
    CallContext& call, const wire::TierProgressRequest& request) {
  // Before: what is put off now may be known by then.
  const absl::StatusOr<MetaCounters> counters = co_await meta_.Counters();
  absl::StatusOr<wire::TierProgressReply> reply =
      co_await meta_.Query(wire::TierProgressRequest(request));
  // All below a directory that was asked for is found by put-off work.
  if (reply.ok() && counters.ok() && counters->cleanup_backlog > 0)
    reply->set_waiting(reply->waiting() + 1);
  co_return reply;
}

Task<absl::StatusOr<wire::ImportTierReply>> TieringService::Import(
    CallContext& call, const wire::ImportTierRequest& request) {
  co_return co_await loop_.importer().Begin(request);
}

Task<absl::StatusOr<wire::ImportStatusReply>> TieringService::ImportStatus(
    CallContext& call, const wire::ImportStatusRequest& request) {
  co_return loop_.importer().Status();
}

Task<absl::StatusOr<wire::AskForSpaceReply>> TieringService::AskForSpace(
    CallContext& call, const wire::AskForSpaceRequest& request) {
  co_return co_await loop_.AskForSpace();
}

}  // namespace cairn
