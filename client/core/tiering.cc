// The public Tiering: what operators ask about data in cold tiers.
#include "cairn/tiering.h"

#include <algorithm>
#include <utility>

#include "client/core/client_impl.h"
#include "client/core/tier_convert.h"
#include "common/base/status_macros.h"
#include "proto/wire/tier.pb.h"

namespace cairn {
namespace {

// A walk over what is below a directory, or a listing of a store.
constexpr absl::Duration kWalkTimeout = absl::Seconds(120);

uint64_t ToSeconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(absl::ToInt64Seconds(duration), 0));
}

wire::TierPolicy ToWire(const TierPolicy& policy) {
  wire::TierPolicy to;
  to.set_tier(policy.tier);
  to.set_archive_after_seconds(ToSeconds(policy.archive_after));
  to.set_min_bytes(policy.min_bytes);
  if (policy.release_after.has_value())
    to.set_release_after_seconds(ToSeconds(*policy.release_after));
  if (policy.release_unread.has_value())
    to.set_release_unread_seconds(ToSeconds(*policy.release_unread));
  to.set_keep_hot(policy.keep_hot);
  to.set_keep_every_steps(policy.keep_every_steps);
  if (policy.delete_after.has_value()) to.set_delete_after_seconds(ToSeconds(*policy.delete_after));
  to.set_high_percent(policy.high_percent);
  to.set_low_percent(policy.low_percent);
  to.set_recall(static_cast<wire::RecallMode>(policy.recall));
  to.set_promote_reads(policy.promote_reads);
  return to;
}

std::optional<absl::Duration> SecondsOf(bool has, uint64_t seconds) {
  if (!has) return std::nullopt;
  return absl::Seconds(static_cast<int64_t>(seconds));
}

TierPolicy FromWire(const wire::TierPolicy& policy) {
  TierPolicy to;
  to.tier = policy.tier();
  to.archive_after = absl::Seconds(static_cast<int64_t>(policy.archive_after_seconds()));
  to.min_bytes = policy.min_bytes();
  to.release_after = SecondsOf(policy.has_release_after_seconds(), policy.release_after_seconds());
  to.release_unread =
      SecondsOf(policy.has_release_unread_seconds(), policy.release_unread_seconds());
  to.keep_hot = policy.keep_hot();
  to.keep_every_steps = policy.keep_every_steps();
  to.delete_after = SecondsOf(policy.has_delete_after_seconds(), policy.delete_after_seconds());
  to.high_percent = policy.high_percent();
  to.low_percent = policy.low_percent();
  to.recall = static_cast<RecallMode>(policy.recall());
  to.promote_reads = policy.promote_reads();
  return to;
}

// A step or place of a later release is told as none.
TierStep StepOf(wire::TierStep step) {
  return step <= wire::TIER_STEP_DELETE ? static_cast<TierStep>(step) : TierStep::kNone;
}

absl::Time TimeOf(int64_t unix_ns) { return absl::FromUnixNanos(unix_ns); }

TierVerdict FromWire(const wire::TierVerdict& verdict) {
  TierVerdict to;
  to.path = verdict.path();
  to.is_checkpoint = verdict.checkpoint();
  to.size_bytes = verdict.size_bytes();
  to.place = static_cast<TierPlace>(verdict.place());
  to.now = StepOf(verdict.now());
  to.rule = verdict.rule();
  to.next = StepOf(verdict.next());
  if (verdict.next_at_ns() != 0) to.next_at = TimeOf(verdict.next_at_ns());
  return to;
}

TierImport FromWire(const wire::ImportStatusReply& reply) {
  TierImport status;
  status.running = reply.running();
  status.tier = reply.tier();
  status.cluster_id = reply.cluster_id();
  status.dry_run = reply.dry_run();
  status.steps = reply.manifests();
  status.steps_done = reply.manifests_done();
  status.subjects = reply.subjects();
  status.files = reply.files();
  status.size_bytes = reply.size_bytes();
  status.skipped = reply.skipped();
  status.failed = reply.failed();
  status.problems.assign(reply.problems().begin(), reply.problems().end());
  status.error = reply.error();
  return status;
}

}  // namespace

Tiering::Tiering(Client& client) : impl_(client.impl_) {}
Tiering::~Tiering() = default;

absl::StatusOr<TierInfo> Tiering::Control(std::string_view tier, const TierControlChange& change) {
  wire::ControlTierRequest request;
  request.set_name(std::string(tier));
  if (change.archive_paused.has_value()) request.set_archive_paused(*change.archive_paused);
  if (change.recall_paused.has_value()) request.set_recall_paused(*change.recall_paused);
  if (change.limits.has_value()) {
    request.set_set_limits(true);
    for (const TierLimit& limit : *change.limits) {
      wire::TierControl::Limit* to = request.add_limits();
      to->set_from_minute(limit.from_minute);
      to->set_to_minute(limit.to_minute);
      to->set_bytes_per_second(limit.bytes_per_second);
    }
  }
  ASSIGN_OR_RETURN(const wire::ControlTierReply reply,
                   impl_->Meta<wire::ControlTierReply>(wire::CONTROL_TIER, request));
  return ToTierInfo(reply.tier());
}

absl::StatusOr<bool> Tiering::SetPolicy(std::string_view path, const TierPolicy& policy) {
  wire::SetTierPolicyRequest request;
  request.set_path(std::string(path));
  *request.mutable_policy() = ToWire(policy);
  ASSIGN_OR_RETURN(const wire::SetTierPolicyReply reply,
                   impl_->Meta<wire::SetTierPolicyReply>(wire::SET_TIER_POLICY, request));
  return reply.existed();
}

absl::StatusOr<bool> Tiering::RemovePolicy(std::string_view path) {
  wire::SetTierPolicyRequest request;
  request.set_path(std::string(path));
  ASSIGN_OR_RETURN(const wire::SetTierPolicyReply reply,
                   impl_->Meta<wire::SetTierPolicyReply>(wire::SET_TIER_POLICY, request));
  return reply.existed();
}

absl::StatusOr<std::vector<PathPolicy>> Tiering::Policies() {
  std::vector<PathPolicy> policies;
  wire::ListTierPoliciesRequest request;
  while (true) {
    ASSIGN_OR_RETURN(const wire::ListTierPoliciesReply page,
                     impl_->Meta<wire::ListTierPoliciesReply>(wire::LIST_TIER_POLICIES, request));
    for (const auto& entry : page.policies())
      policies.push_back({entry.path(), FromWire(entry.policy()), TimeOf(entry.set_at_ns())});
    if (!page.more() || page.policies().empty()) return policies;
    request.set_start_after(policies.back().path);
  }
}

absl::StatusOr<TierVerdicts> Tiering::TestPolicy(std::string_view path,
                                                 const std::optional<TierPolicy>& policy,
                                                 std::string_view start_after) {
  wire::TestTierPolicyRequest request;
  request.set_path(std::string(path));
  if (policy.has_value()) *request.mutable_policy() = ToWire(*policy);
  request.set_start_after(std::string(start_after));
  const absl::Duration timeout = std::max(impl_->options().timeout, kWalkTimeout);
  ASSIGN_OR_RETURN(
      const wire::TestTierPolicyReply reply,
      impl_->Meta<wire::TestTierPolicyReply>(wire::TEST_TIER_POLICY, request, timeout, timeout));
  TierVerdicts page;
  for (const wire::TierVerdict& verdict : reply.verdicts())
    page.verdicts.push_back(FromWire(verdict));
  page.next = reply.next();
  page.more = reply.more();
  return page;
}

absl::StatusOr<TierAsked> Tiering::Ask(int action, std::string_view path, std::string_view tier,
                                       absl::Duration hold) {
  wire::AskTierRequest request;
  request.set_path(std::string(path));
  request.set_action(static_cast<wire::TierAction>(action));
  request.set_tier(std::string(tier));
  request.set_hold_seconds(ToSeconds(hold));
  ASSIGN_OR_RETURN(const wire::AskTierReply reply,
                   impl_->Meta<wire::AskTierReply>(wire::ASK_TIER, request));
  return TierAsked{reply.subjects(), reply.more_follow()};
}

absl::StatusOr<TierAsked> Tiering::Push(std::string_view path, std::string_view tier) {
  return Ask(wire::TIER_PUSH, path, tier, absl::ZeroDuration());
}
absl::StatusOr<TierAsked> Tiering::Release(std::string_view path) {
  return Ask(wire::TIER_RELEASE, path, "", absl::ZeroDuration());
}
absl::StatusOr<TierAsked> Tiering::Fetch(std::string_view path, absl::Duration hold) {
  return Ask(wire::TIER_FETCH, path, "", hold);
}
absl::StatusOr<TierAsked> Tiering::Cancel(std::string_view path) {
  return Ask(wire::TIER_CANCEL, path, "", absl::ZeroDuration());
}

absl::StatusOr<TierQueue> Tiering::Queue(std::string_view start_after) {
  wire::TierQueueRequest request;
  request.set_start_after(std::string(start_after));
  ASSIGN_OR_RETURN(const wire::TierQueueReply reply,
                   impl_->Meta<wire::TierQueueReply>(wire::TIER_QUEUE, request));
  TierQueue queue;
  for (const wire::TierQueueReply::Entry& from : reply.entries()) {
    TierQueueEntry& entry = queue.entries.emplace_back();
    entry.path = from.path();
    entry.step = StepOf(from.step());
    entry.by_operator = from.by_operator();
    entry.running = from.running();
    entry.since = TimeOf(from.since_ns());
    entry.size_bytes = from.size_bytes();
    entry.done_bytes = from.done_bytes();
    entry.tier = from.tier();
    entry.error = from.error();
  }
  queue.next = reply.next();
  queue.more = reply.more();
  queue.waiting = reply.waiting();
  queue.holds_back = reply.holds_back();
  return queue;
}

absl::StatusOr<TierExplanation> Tiering::Explain(std::string_view path) {
  wire::ExplainTierRequest request;
  request.set_path(std::string(path));
  ASSIGN_OR_RETURN(const wire::ExplainTierReply reply,
                   impl_->Meta<wire::ExplainTierReply>(wire::EXPLAIN_TIER, request));
  TierExplanation explanation;
  explanation.verdict = FromWire(reply.verdict());
  explanation.policy_path = reply.policy_path();
  explanation.tier = reply.tier();
  explanation.written_at = TimeOf(reply.written_at_ns());
  explanation.read_at = TimeOf(reply.read_at_ns());
  explanation.step = StepOf(reply.step());
  explanation.running = reply.running();
  explanation.by_operator = reply.by_operator();
  explanation.done_bytes = reply.done_bytes();
  explanation.failures = reply.failures();
  explanation.error = reply.error();
  explanation.error_at = TimeOf(reply.error_at_ns());
  explanation.try_again_at = TimeOf(reply.try_again_at_ns());
  explanation.held = reply.held();
  explanation.hot_until = TimeOf(reply.hot_until_ns());
  explanation.cold_bytes = reply.cold_bytes();
  return explanation;
}

absl::StatusOr<TierProgress> Tiering::Progress(std::string_view path) {
  TierProgress progress;
  wire::TierProgressRequest request;
  request.set_path(std::string(path));
  const absl::Duration timeout = std::max(impl_->options().timeout, kWalkTimeout);
  while (true) {
    ASSIGN_OR_RETURN(
        const wire::TierProgressReply page,
        impl_->Meta<wire::TierProgressReply>(wire::TIER_PROGRESS, request, timeout, timeout));
    progress.subjects += page.subjects();
    progress.size_bytes += page.size_bytes();
    progress.copied_bytes += page.copied_bytes();
    progress.cold_bytes += page.cold_bytes();
    progress.waiting += page.waiting();
    progress.failed += page.failed();
    if (!page.error().empty()) progress.error = page.error();
    if (!page.more() || page.next() == request.start_after()) return progress;
    request.set_start_after(page.next());
  }
}

absl::StatusOr<TierImport> Tiering::Import(std::string_view tier, std::string_view cluster_id,
                                           bool dry_run) {
  wire::ImportTierRequest request;
  request.set_tier(std::string(tier));
  request.set_cluster_id(std::string(cluster_id));
  request.set_dry_run(dry_run);
  const absl::Duration timeout = std::max(impl_->options().timeout, kWalkTimeout);
  ASSIGN_OR_RETURN(
      const wire::ImportTierReply reply,
      impl_->Meta<wire::ImportTierReply>(wire::IMPORT_TIER, request, timeout, timeout));
  TierImport begun;
  begun.running = true;
  begun.tier = std::string(tier);
  begun.cluster_id = reply.cluster_id();
  begun.dry_run = dry_run;
  begun.steps = 2 * reply.manifests();
  return begun;
}

absl::StatusOr<TierImport> Tiering::ImportStatus() {
  ASSIGN_OR_RETURN(
      const wire::ImportStatusReply reply,
      impl_->Meta<wire::ImportStatusReply>(wire::IMPORT_STATUS, wire::ImportStatusRequest()));
  return FromWire(reply);
}

}  // namespace cairn
