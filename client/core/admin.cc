// The public Admin: what operators ask of the node with the metadata.
#include "cairn/admin.h"

#include <algorithm>
#include <utility>

#include "client/core/client_impl.h"
#include "client/core/convert.h"
#include "client/core/load_convert.h"
#include "client/core/tier_convert.h"
#include "common/base/status_macros.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/examine.pb.h"
#include "proto/wire/load.pb.h"
#include "proto/wire/tier.pb.h"

namespace cairn {
namespace {

// A step with repairs waits for other nodes, which wait for their devices.
constexpr absl::Duration kCheckTimeout = absl::Seconds(120);
// A file of terabytes may be long in the making.
constexpr absl::Duration kAddTimeout = absl::Seconds(120);
// Many nodes try it in turn, in stores that may be slow.
constexpr absl::Duration kTierTimeout = absl::Seconds(120);

wire::NodeAction ActionOf(NodeAction action) {
  switch (action) {
    case NodeAction::kDrain:
      return wire::NODE_DRAIN;
    case NodeAction::kUndrain:
      return wire::NODE_UNDRAIN;
    case NodeAction::kRemove:
      return wire::NODE_REMOVE;
  }
  return wire::NODE_ACTION_UNSPECIFIED;  // which the service refuses
}

wire::TargetAction ActionOf(TargetAction action) {
  switch (action) {
    case TargetAction::kDrain:
      return wire::TARGET_DRAIN;
    case TargetAction::kUndrain:
      return wire::TARGET_UNDRAIN;
    case TargetAction::kRemove:
      return wire::TARGET_REMOVE;
    case TargetAction::kReplace:
      return wire::TARGET_REPLACE;
  }
  return wire::TARGET_ACTION_UNSPECIFIED;  // which the service refuses
}

TierCheck ToTierCheck(const wire::CheckTierReply& reply) {
  TierCheck check;
  check.tier = ToTierInfo(reply.tier());
  check.nodes_asked = reply.nodes_asked();
  check.nodes_ok = reply.nodes_ok();
  check.nodes_away = reply.nodes_away();
  for (const wire::CheckTierReply::Step& step : reply.steps()) {
    check.steps.push_back({step.name(), absl::Microseconds(static_cast<int64_t>(step.slowest_us())),
                           step.slowest_node()});
  }
  for (const wire::CheckTierReply::Failure& failure : reply.failures()) {
    check.failures.push_back(
        {failure.node(), failure.step(),
         absl::Status(static_cast<absl::StatusCode>(failure.code()), failure.error()),
         failure.hint()});
  }
  return check;
}

BalanceInfo::Fill ToFill(const wire::RebalanceReply::Fill& fill) {
  return {fill.target(), fill.node(), fill.used_bytes(), fill.capacity_bytes()};
}

BalanceInfo ToBalanceInfo(const wire::RebalanceReply& reply) {
  BalanceInfo info;
  info.targets = reply.targets();
  info.emptiest = ToFill(reply.emptiest());
  info.median = ToFill(reply.median());
  info.fullest = ToFill(reply.fullest());
  info.threshold_percent = reply.threshold_percent();
  for (const wire::RebalanceReply::Move& move : reply.moves())
    info.moves.push_back({move.group(), move.index(), move.from(), move.to(), move.bytes()});
  info.moves_planned = reply.moves_planned();
  info.bytes_planned = reply.bytes_planned();
  info.moves_under_way = reply.moves_under_way();
  info.waits_for_sweep = reply.waits_for_sweep();
  return info;
}

StorageFault FaultOf(wire::StorageFault fault) {
  switch (fault) {
    case wire::FRAGMENT_MISSING:
      return StorageFault::kFragmentMissing;
    case wire::FRAGMENT_DAMAGED:
      return StorageFault::kFragmentDamaged;
    case wire::FRAGMENT_WRONG_LENGTH:
      return StorageFault::kFragmentWrongLength;
    case wire::FRAGMENT_ORPHAN:
      return StorageFault::kFragmentOrphan;
    case wire::STRIPE_LOST:
      return StorageFault::kStripeLost;
    case wire::GROUP_UNKNOWN:
      return StorageFault::kGroupUnknown;
    default:
      return StorageFault::kUnknown;
  }
}

ScrubInfo ToScrubInfo(const wire::ScrubStatus& status) {
  ScrubInfo info;
  info.running = status.running();
  info.began_at_ns = status.began_at_ns();
  info.ended_at_ns = status.ended_at_ns();
  info.stripes_done = status.stripes_done();
  info.stripes = status.stripes();
  info.verified_bytes = status.verified_bytes();
  info.findings = status.findings();
  info.repaired = status.repaired();
  info.reported = status.reported();
  return info;
}

RebuildInfo ToRebuildInfo(const wire::RebuildStatusReply& reply) {
  RebuildInfo info;
  info.moves_copying = reply.moves_copying();
  info.moves_settling = reply.moves_settling();
  info.members_lost = reply.members_lost();
  info.restored_fragments = reply.restored_fragments();
  info.restored_bytes = reply.restored_bytes();
  info.failed_fragments = reply.failed_fragments();
  info.last_failure = reply.last_failure();
  info.bytes_per_second = reply.bytes_per_second();
  info.pass_stripes_done = reply.pass_stripes_done();
  info.pass_stripes = reply.pass_stripes();
  info.passes = reply.passes();
  for (const wire::RebuildStatusReply::Move& move : reply.moves())
    info.moves.push_back({move.group(), move.index(), move.from(), move.to(), move.settling()});
  info.waiting_nodes.assign(reply.waiting_nodes().begin(), reply.waiting_nodes().end());
  info.sweep_due = reply.sweep_due();
  info.scrub = ToScrubInfo(reply.scrub());
  return info;
}

StorageFinding ToStorageFinding(const wire::StorageFinding& finding) {
  return {FaultOf(finding.fault()), finding.stripe(),   finding.group(), finding.target(),
          finding.index(),          finding.repaired(), finding.detail()};
}

absl::Duration Us(uint64_t us) { return absl::Microseconds(static_cast<int64_t>(us)); }

LatencyInfo ToLatency(const wire::LatencyFacts& facts) {
  return {facts.samples(), Us(facts.p50_us()), Us(facts.p99_us()), Us(facts.max_us())};
}

ExamineFinding ToFinding(const wire::ExamineFinding& from) {
  const wire::HealthItem& item = from.item();
  ExamineFinding finding;
  finding.code = item.code();
  // A severity of a later release is one.
  finding.is_error = item.severity() != wire::HEALTH_WARNING;
  finding.summary = item.summary();
  finding.endangers = item.endangers();
  finding.todo = item.todo();
  finding.since = absl::FromUnixNanos(item.since_ns());
  finding.nodes.assign(item.nodes().begin(), item.nodes().end());
  finding.targets.assign(item.targets().begin(), item.targets().end());
  finding.is_link = from.is_link();
  finding.measured = from.measured();
  finding.usual = from.usual();
  finding.unit = from.unit();
  return finding;
}

ExaminedTarget ToTarget(const wire::TargetFacts& facts) {
  ExaminedTarget target;
  target.target = facts.target().id();
  target.used_bytes = facts.target().used_bytes();
  target.capacity_bytes = facts.target().capacity_bytes();
  target.failure = facts.failure();
  target.write = ToLatency(facts.write());
  target.read = ToLatency(facts.read());
  target.flush = ToLatency(facts.flush());
  target.probe = ToLatency(facts.probe());
  target.probe_pending = Us(facts.probe_pending_us());
  target.probe_error = facts.probe_error();
  return target;
}

ExaminedLink ToLink(const wire::LinkFacts& facts) {
  ExaminedLink link;
  link.to_node = facts.to();
  link.round_trip = Us(facts.rtt_us());
  if (facts.sent_us() > 0) {
    link.bytes_per_second = static_cast<uint64_t>(1e6 * static_cast<double>(facts.sent_bytes()) /
                                                  static_cast<double>(facts.sent_us()));
  }
  if (facts.code() != 0) link.error = facts.error().empty() ? "it failed" : facts.error();
  return link;
}

ExaminedNode ToNode(const wire::NodeFacts& facts) {
  ExaminedNode node;
  node.node = facts.node();
  if (facts.code() != 0) node.error = facts.error().empty() ? "it failed" : facts.error();
  node.software_version = facts.reply().software_version();
  node.uptime = absl::Milliseconds(static_cast<int64_t>(facts.reply().uptime_ms()));
  node.round_trip = Us(facts.rtt_us());
  node.clock_ahead = absl::Microseconds(facts.clock_ahead_us());
  node.clock_error = Us(facts.clock_error_us());
  node.window = absl::Seconds(static_cast<int64_t>(facts.window_s()));
  node.downs = facts.downs();
  node.suspects = facts.suspects();
  node.restarts = facts.restarts();
  for (const wire::TargetFacts& target : facts.reply().targets())
    node.targets.push_back(ToTarget(target));
  for (const wire::LinkFacts& link : facts.reply().links()) node.links.push_back(ToLink(link));
  return node;
}

}  // namespace

Admin::Admin(Client& client) : impl_(client.impl_) {}
Admin::~Admin() = default;

absl::StatusOr<Losses> Admin::SetNode(uint32_t node, NodeAction action,
                                      const SetNodeOptions& options) {
  wire::SetNodeRequest request;
  request.set_node(node);
  request.set_action(ActionOf(action));
  request.set_force(options.force);
  request.set_dry_run(options.dry_run);
  ASSIGN_OR_RETURN(const wire::SetNodeReply reply,
                   impl_->Meta<wire::SetNodeReply>(wire::SET_NODE, request));
  return Losses(reply.losses().begin(), reply.losses().end());
}

absl::StatusOr<Losses> Admin::SetTarget(uint32_t target, TargetAction action,
                                        const SetTargetOptions& options) {
  wire::SetTargetRequest request;
  request.set_target(target);
  request.set_action(ActionOf(action));
  request.set_force(options.force);
  request.set_dry_run(options.dry_run);
  ASSIGN_OR_RETURN(const wire::SetTargetReply reply,
                   impl_->Meta<wire::SetTargetReply>(wire::SET_TARGET, request));
  return Losses(reply.losses().begin(), reply.losses().end());
}

absl::StatusOr<AddedTarget> Admin::AddTarget(uint32_t node, const NewTarget& target) {
  wire::SetTargetRequest request;
  request.set_action(wire::TARGET_ADD);
  request.set_node(node);
  request.mutable_add()->set_path(target.path);
  request.mutable_add()->set_size_bytes(target.size_bytes);
  request.mutable_add()->set_wipe(target.wipe);
  const absl::Duration timeout = std::max(impl_->options().timeout, kAddTimeout);
  ASSIGN_OR_RETURN(const wire::SetTargetReply reply,
                   impl_->Meta<wire::SetTargetReply>(wire::SET_TARGET, request, timeout, timeout));
  const wire::AddTargetReply& added = reply.added();
  return AddedTarget{added.target(), added.path(), added.capacity_bytes(), added.existed()};
}

absl::StatusOr<AddedTier> Admin::AddTier(const TierSpec& spec, const AddTierOptions& options) {
  wire::AddTierRequest request;
  request.mutable_spec()->set_name(spec.name);
  request.mutable_spec()->set_location(spec.location);
  for (const auto& [name, value] : spec.options) {
    wire::TierOption* option = request.mutable_spec()->add_options();
    option->set_name(name);
    option->set_value(value);
  }
  request.set_unchecked(options.unchecked);
  const absl::Duration timeout = std::max(impl_->options().timeout, kTierTimeout);
  ASSIGN_OR_RETURN(const wire::AddTierReply reply,
                   impl_->Meta<wire::AddTierReply>(wire::ADD_TIER, request, timeout, timeout));
  return AddedTier{ToTierInfo(reply.tier()), reply.existed(), reply.nodes_ok()};
}

absl::StatusOr<std::vector<TierInfo>> Admin::Tiers() {
  ASSIGN_OR_RETURN(const wire::ListTiersReply reply,
                   impl_->Meta<wire::ListTiersReply>(wire::LIST_TIERS, wire::ListTiersRequest()));
  std::vector<TierInfo> tiers;
  for (const wire::TierInfo& tier : reply.tiers()) tiers.push_back(ToTierInfo(tier));
  return tiers;
}

absl::StatusOr<UsageInfo> Admin::Usage(std::string_view path) {
  wire::GetUsageRequest request;
  request.set_path(std::string(path));
  ASSIGN_OR_RETURN(const wire::GetUsageReply reply,
                   impl_->Meta<wire::GetUsageReply>(wire::GET_USAGE, request));
  return UsageInfo{reply.path(), client_internal::ToEntryType(reply.type()), reply.size_bytes(),
                   reply.files(), reply.checkpoints()};
}

absl::StatusOr<PlacesStep> Admin::Places(std::string_view path, std::string_view from) {
  wire::GetUsageRequest request;
  request.set_path(std::string(path));
  request.set_with_places(true);
  request.set_start_after(std::string(from));
  ASSIGN_OR_RETURN(const wire::GetUsageReply reply,
                   impl_->Meta<wire::GetUsageReply>(wire::GET_USAGE, request));
  return PlacesStep{reply.page_files(), reply.page_bytes(), reply.page_hot_bytes(),
                    reply.page_cold_bytes(), reply.next()};
}

absl::StatusOr<std::vector<NodeLoad>> Admin::Load() {
  std::vector<NodeLoad> nodes;
  wire::ClusterLoadRequest request;
  while (true) {
    ASSIGN_OR_RETURN(const wire::ClusterLoadReply reply,
                     impl_->Meta<wire::ClusterLoadReply>(wire::CLUSTER_LOAD, request));
    for (const wire::ClusterLoadReply::Node& node : reply.nodes())
      nodes.push_back(client_internal::ToNodeLoad(node));
    // Each page is further on than the last: what else is no answer.
    if (reply.next_node() <= request.from_node()) return nodes;
    request.set_from_node(reply.next_node());
  }
}

absl::StatusOr<TierCheck> Admin::CheckTier(std::string_view name) {
  wire::CheckTierRequest request;
  request.set_name(std::string(name));
  const absl::Duration timeout = std::max(impl_->options().timeout, kTierTimeout);
  ASSIGN_OR_RETURN(const wire::CheckTierReply reply,
                   impl_->Meta<wire::CheckTierReply>(wire::CHECK_TIER, request, timeout, timeout));
  return ToTierCheck(reply);
}

absl::Status Admin::RemoveTier(std::string_view name, bool dry_run) {
  wire::RemoveTierRequest request;
  request.set_name(std::string(name));
  request.set_dry_run(dry_run);
  return impl_->Meta<wire::RemoveTierReply>(wire::REMOVE_TIER, request).status();
}

absl::StatusOr<BalanceInfo> Admin::AskRebalance(int action, uint32_t threshold_percent) {
  wire::RebalanceRequest request;
  request.set_action(static_cast<wire::RebalanceAction>(action));
  request.set_threshold_percent(threshold_percent);
  ASSIGN_OR_RETURN(const wire::RebalanceReply reply,
                   impl_->Meta<wire::RebalanceReply>(wire::REBALANCE, request));
  return ToBalanceInfo(reply);
}

absl::StatusOr<BalanceInfo> Admin::Balance(uint32_t threshold_percent) {
  return AskRebalance(wire::REBALANCE_SHOW, threshold_percent);
}

absl::StatusOr<BalanceInfo> Admin::StartRebalance(uint32_t threshold_percent) {
  return AskRebalance(wire::REBALANCE_START, threshold_percent);
}

absl::StatusOr<BalanceInfo> Admin::StopRebalance() { return AskRebalance(wire::REBALANCE_STOP, 0); }

absl::StatusOr<StopAdvice> Admin::OkToStop(const std::vector<uint32_t>& nodes) {
  wire::OkToStopRequest request;
  request.mutable_nodes()->Assign(nodes.begin(), nodes.end());
  ASSIGN_OR_RETURN(const wire::OkToStopReply reply,
                   impl_->Meta<wire::OkToStopReply>(wire::OK_TO_STOP, request));
  return StopAdvice{reply.ok(), {reply.reasons().begin(), reply.reasons().end()}};
}

absl::StatusOr<RebuildInfo> Admin::RebuildStatus() {
  ASSIGN_OR_RETURN(
      const wire::RebuildStatusReply reply,
      impl_->Meta<wire::RebuildStatusReply>(wire::REBUILD_STATUS, wire::RebuildStatusRequest()));
  return ToRebuildInfo(reply);
}

absl::StatusOr<StorageCheckStep> Admin::CheckStorage(uint64_t from_stripe,
                                                     const CheckStorageOptions& options) {
  wire::CheckStorageRequest request;
  request.set_from(from_stripe);
  request.set_verify(options.verify);
  request.set_repair(options.repair);
  const absl::Duration timeout = std::max(impl_->options().timeout, kCheckTimeout);
  ASSIGN_OR_RETURN(
      const wire::CheckStorageReply reply,
      impl_->Meta<wire::CheckStorageReply>(wire::CHECK_STORAGE, request, timeout, timeout));
  StorageCheckStep step;
  step.next = reply.next();
  step.done = reply.done();
  step.stripes = reply.stripes();
  step.fragments = reply.fragments();
  step.verified_bytes = reply.verified_bytes();
  step.leftovers = reply.leftovers();
  for (const wire::StorageFinding& finding : reply.findings())
    step.findings.push_back(ToStorageFinding(finding));
  step.unreachable_targets.assign(reply.unreachable_targets().begin(),
                                  reply.unreachable_targets().end());
  step.last_stripe = reply.last_stripe();
  return step;
}

absl::StatusOr<ExaminationStep> Admin::Examine(uint64_t examination) {
  ExaminationStep step;
  wire::ExamineClusterRequest request;
  request.set_examination(examination);
  while (true) {
    ASSIGN_OR_RETURN(const wire::ExamineClusterReply reply,
                     impl_->Meta<wire::ExamineClusterReply>(wire::EXAMINE_CLUSTER, request));
    step.examination = reply.examination();
    step.done = reply.done();
    step.nodes = reply.nodes();
    step.nodes_done = reply.nodes_done();
    for (const wire::ExamineFinding& finding : reply.findings())
      step.findings.push_back(ToFinding(finding));
    for (const wire::NodeFacts& facts : reply.facts()) step.examined.push_back(ToNode(facts));
    // Each part is further on than the last: what else is no answer.
    if (reply.next() <= request.offset()) return step;
    request.set_examination(reply.examination());
    request.set_offset(reply.next());
  }
}

}  // namespace cairn
