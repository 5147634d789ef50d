#include "server/admin/tier_service.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/when_all.h"
#include "common/telemetry/log.h"
#include "server/cluster/map_domains.h"
#include "server/cluster/wording.h"
#include "server/meta/paths.h"
#include "server/meta/tiers.h"
#include "server/tier/tier_spec.h"

namespace cairn {
namespace {

// Of one node.
constexpr absl::Duration kProbeTimeout = absl::Seconds(60);
// Whoever asks is told of the nodes that could be asked in time, instead of nothing.
constexpr absl::Duration kAnswerTime = absl::Seconds(2);
// Nodes that try it side by side, each with some 20 MiB up and down.
constexpr int64_t kAtOnce = 16;
constexpr int kFailuresTold = 32;

// Null: all went well.
const wire::ProbeTierReply::Step* FirstFailure(const wire::ProbeTierReply& reply) {
  const auto failed = std::find_if(reply.steps().begin(), reply.steps().end(),
                                   [](const auto& step) { return step.code() != 0; });
  return failed == reply.steps().end() ? nullptr : &*failed;
}

void AddSteps(uint32_t node, const wire::ProbeTierReply& from, wire::CheckTierReply* reply) {
  for (int i = 0; i < from.steps_size(); ++i) {
    if (i == reply->steps_size()) reply->add_steps()->set_name(from.steps(i).name());
    wire::CheckTierReply::Step* step = reply->mutable_steps(i);
    step->set_nodes(step->nodes() + 1);
    if (step->nodes() > 1 && from.steps(i).took_us() <= step->slowest_us()) continue;
    step->set_slowest_us(from.steps(i).took_us());
    step->set_slowest_node(node);
  }
}

void AddFailure(uint32_t node, const wire::ProbeTierReply::Step& step,
                wire::CheckTierReply* reply) {
  if (reply->failures_size() == kFailuresTold) return;
  auto* failure = reply->add_failures();
  failure->set_node(node);
  failure->set_step(step.name());
  failure->set_code(step.code());
  failure->set_error(step.error());
  failure->set_hint(step.hint());
}

// "node 3, put an object: no such bucket; check its name".
std::string Describe(const wire::CheckTierReply::Failure& failure) {
  return StrCat("node ", failure.node(), failure.step().empty() ? "" : ", ", failure.step(), ": ",
                failure.error(), failure.hint().empty() ? "" : "; ", failure.hint());
}

}  // namespace

void TierService::Register(CallTable& table) {
  table.Add(wire::ADD_TIER, this, &TierService::AddTier);
  table.Add(wire::LIST_TIERS, this, &TierService::ListTiers);
  table.Add(wire::CHECK_TIER, this, &TierService::CheckTier);
  table.Add(wire::REMOVE_TIER, this, &TierService::RemoveTier);
}

Task<absl::StatusOr<wire::AddTierReply>> TierService::AddTier(CallContext& call,
                                                              const wire::AddTierRequest& request) {
  CO_RETURN_IF_ERROR(CheckTierName(request.spec().name()));
  CO_ASSIGN_OR_RETURN(const wire::TierSpec spec, CompleteTierSpec(request.spec()));
  const Deadline deadline = call.deadline();
  // Before anything is made in a place that is another tier's.
  CO_ASSIGN_OR_RETURN(const bool is_new, co_await IsNew(spec));
  // Of one that is there, an empty directory is a disk that is not mounted.
  if (is_new) CO_RETURN_IF_ERROR(co_await Prepare(spec, deadline));
  wire::AddTierReply reply;
  if (!request.unchecked()) {
    const wire::CheckTierReply check = co_await CheckOnAll(spec, deadline);
    reply.set_nodes_ok(check.nodes_ok());
    if (check.nodes_ok() < check.nodes_asked()) {
      co_return absl::FailedPreconditionError(StrCat(
          check.nodes_asked() - check.nodes_ok(), " of ", Counted(check.nodes_asked(), "node"),
          " cannot use it: ", Describe(check.failures(0))));
    }
  }
  disk::AddTier add;
  *add.mutable_spec() = spec;
  absl::StatusOr<disk::AddTierReply> added = co_await meta_.Mutate(std::move(add));
  if (!added.ok()) co_return added.status();
  *reply.mutable_tier() = std::move(*added->mutable_tier());
  reply.set_existed(added->existed());
  if (!reply.existed())
    CAIRN_LOG_INFO("an operator has added tier {} at {}", spec.name(), spec.location());
  co_return reply;
}

// What AddTier() in the metadata would refuse is refused before stores are touched.
Task<absl::StatusOr<bool>> TierService::IsNew(const wire::TierSpec& spec) {
  const absl::StatusOr<wire::ListTiersReply> tiers = co_await meta_.Query(wire::ListTiersRequest());
  if (!tiers.ok()) co_return tiers.status();
  bool is_new = true;
  for (const wire::TierInfo& tier : tiers->tiers()) {
    if (absl::Status conflict = CheckTiersDiffer(tier.spec(), spec); !conflict.ok())
      co_return conflict;
    is_new = is_new && tier.spec().name() != spec.name();
  }
  co_return is_new;
}

Task<absl::Status> TierService::Prepare(const wire::TierSpec& spec, Deadline deadline) {
  const auto& nodes = cluster_.map().nodes();
  const auto node = std::find_if(nodes.begin(), nodes.end(), IsAlive);
  if (node == nodes.end()) co_return absl::UnavailableError("no node is alive");
  wire::ProbeTierRequest request;
  *request.mutable_spec() = spec;
  request.set_prepare(true);
  const wire::NodeInfo first = *node;
  const absl::StatusOr<wire::ProbeTierReply> reply = co_await cluster_.probe(
      first, std::move(request),
      Earlier(deadline, Deadline::After(Executor::Current().clock(), kProbeTimeout)));
  if (!reply.ok()) co_return reply.status();
  const wire::ProbeTierReply::Step* failed = FirstFailure(*reply);
  if (failed == nullptr) co_return absl::OkStatus();
  wire::CheckTierReply check;
  AddFailure(first.id(), *failed, &check);
  co_return absl::FailedPreconditionError(Describe(check.failures(0)));
}

Task<wire::CheckTierReply> TierService::CheckOnAll(wire::TierSpec spec, Deadline deadline) {
  deadline = Deadline(deadline.at() + -kAnswerTime);
  Semaphore turns(kAtOnce);
  std::vector<Task<Asked>> asked;
  wire::CheckTierReply reply;
  for (const wire::NodeInfo& node : cluster_.map().nodes()) {
    if (IsAlive(node)) {
      asked.push_back(AskInTurn(node, spec, &turns, deadline));
    } else {
      reply.set_nodes_away(reply.nodes_away() + 1);
    }
  }
  reply.set_nodes_asked(static_cast<uint32_t>(asked.size()));
  for (const Asked& each : co_await WhenAll(std::move(asked))) {
    wire::ProbeTierReply::Step failure;
    const wire::ProbeTierReply::Step* failed = &failure;
    if (each.reply.ok()) {
      failed = FirstFailure(*each.reply);
    } else {
      failure.set_code(static_cast<uint32_t>(each.reply.status().code()));
      failure.set_error(std::string(each.reply.status().message()));
    }
    if (failed != nullptr) {
      AddFailure(each.node, *failed, &reply);
      continue;
    }
    reply.set_nodes_ok(reply.nodes_ok() + 1);
    AddSteps(each.node, *each.reply, &reply);
  }
  co_return reply;
}

Task<TierService::Asked> TierService::AskInTurn(wire::NodeInfo node, wire::TierSpec spec,
                                                Semaphore* turns, Deadline deadline) {
  Asked asked{node.id(), absl::InternalError("not asked")};
  absl::Status admitted = co_await turns->Acquire(1, deadline);
  if (!admitted.ok()) {
    asked.reply = std::move(admitted);
    co_return asked;
  }
  wire::ProbeTierRequest request;
  *request.mutable_spec() = std::move(spec);
  const Deadline until =
      Earlier(deadline, Deadline::After(Executor::Current().clock(), kProbeTimeout));
  asked.reply = co_await cluster_.probe(std::move(node), std::move(request), until);
  turns->Release(1);
  co_return asked;
}

Task<absl::StatusOr<wire::ListTiersReply>> TierService::ListTiers(
    CallContext& call, const wire::ListTiersRequest& request) {
  co_return co_await meta_.Query(wire::ListTiersRequest(request));
}

Task<absl::StatusOr<wire::TierInfo>> TierService::Find(std::string name) {
  const absl::StatusOr<wire::ListTiersReply> tiers = co_await meta_.Query(wire::ListTiersRequest());
  if (!tiers.ok()) co_return tiers.status();
  for (const wire::TierInfo& tier : tiers->tiers())
    if (tier.spec().name() == name) co_return tier;
  co_return absl::NotFoundError(StrCat("there is no tier ", Quoted(name)));
}

Task<absl::StatusOr<wire::CheckTierReply>> TierService::CheckTier(
    CallContext& call, const wire::CheckTierRequest& request) {
  absl::StatusOr<wire::TierInfo> tier = co_await Find(request.name());
  if (!tier.ok()) co_return tier.status();
  wire::CheckTierReply reply = co_await CheckOnAll(tier->spec(), call.deadline());
  *reply.mutable_tier() = *std::move(tier);
  co_return reply;
}

Task<absl::StatusOr<wire::RemoveTierReply>> TierService::RemoveTier(
    CallContext& call, const wire::RemoveTierRequest& request) {
  disk::RemoveTier remove;
  remove.set_name(request.name());
  remove.set_dry_run(request.dry_run());
  absl::StatusOr<disk::RemoveTierReply> removed = co_await meta_.Mutate(std::move(remove));
  if (!removed.ok()) co_return removed.status();
  if (!request.dry_run()) CAIRN_LOG_INFO("an operator has removed tier {}", request.name());
  co_return wire::RemoveTierReply();
}

}  // namespace cairn
