#include "server/service/member_service.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "server/cluster/group_members.h"
#include "server/cluster/membership.h"

namespace cairn {
namespace {

constexpr int kLeasesMax = 4096;

// Of how many groups each target is a member, and what moves from it and to it.
void FillMembership(wire::ClusterMap* map) {
  absl::flat_hash_map<uint32_t, wire::TargetInfo*> targets;
  for (wire::TargetInfo& target : *map->mutable_targets()) targets.emplace(target.id(), &target);
  for (const wire::PlacementGroup& group : map->groups()) {
    for (uint32_t member : group.targets()) {
      if (const auto found = targets.find(member); found != targets.end())
        found->second->set_groups(found->second->groups() + 1);
    }
    for (const wire::GroupMove& move : group.moves()) {
      for (uint32_t holder : HoldersBefore(move)) {
        if (const auto from = targets.find(holder); from != targets.end())
          from->second->set_moving_away(from->second->moving_away() + 1);
      }
      if (const auto to = targets.find(move.to()); to != targets.end())
        to->second->set_moving_here(to->second->moving_here() + 1);
    }
  }
}

}  // namespace

MemberService::MemberService(NodeService& nodes, MapKeeper& keeper, MetaEngine& engine,
                             FailureDetector::Options detection)
    : nodes_(nodes), keeper_(keeper), engine_(engine), detector_(detection) {}

void MemberService::Register(CallTable& table) {
  table.Add(wire::JOIN, this, &MemberService::Join);
  table.Add(wire::HEARTBEAT, this, &MemberService::Heartbeat);
  table.Add(wire::CHECK_LEASES, this, &MemberService::CheckLeases);
}

Task<absl::StatusOr<wire::JoinReply>> MemberService::Join(CallContext& call,
                                                          const wire::JoinRequest& request) {
  CO_RETURN_IF_ERROR(nodes_.CheckIsNode(call));
  absl::StatusOr<wire::JoinReply> reply = co_await keeper_.Join(request);
  if (reply.ok()) {
    CAIRN_LOG_INFO("node {} ({}) joins with {} targets", reply->node(), request.name(),
                   request.target_count());
    // One that joins for the first time does not come back from anything.
    if (request.node() != 0) {
      history_.Note(reply->node(), NodeHistory::Event::kRestart, Executor::Current().clock().Now());
    }
  }
  co_return reply;
}

Task<absl::StatusOr<wire::HeartbeatReply>> MemberService::Heartbeat(
    CallContext& call, const wire::HeartbeatRequest& request) {
  CO_RETURN_IF_ERROR(nodes_.CheckIsNode(call));
  absl::Status heard = co_await Hear(request);
  if (!heard.ok()) co_return heard;
  sessions_[request.node()] = call.session();
  wire::HeartbeatReply reply;
  for (uint32_t target : RemovedTargets(keeper_.map(), request)) reply.add_removed_targets(target);
  co_return reply;
}

void MemberService::OnSessionEnded(SessionId session) {
  for (const auto& [node, last] : sessions_) {
    if (last == session) detector_.Lost(node, Executor::Current().clock().Now());
  }
  absl::erase_if(sessions_, [session](const auto& entry) { return entry.second == session; });
}

Task<absl::Status> MemberService::Hear(const wire::HeartbeatRequest& heartbeat) {
  // Before the map, whose change may wait for the disk: the node lives in any case.
  detector_.Heard(heartbeat.node(), Executor::Current().clock().Now());
  absl::Status reported = co_await keeper_.Report(heartbeat);
  if (!reported.ok()) co_return reported;
  for (const wire::TargetInfo& target : heartbeat.targets())
    usage_[target.id()] = {target.used_bytes(), target.capacity_bytes(), target.fragments()};
  // What has left the cluster is no room any more.
  for (uint32_t target : RemovedTargets(keeper_.map(), heartbeat)) usage_.erase(target);
  co_return absl::OkStatus();
}

Task<absl::StatusOr<wire::CheckLeasesReply>> MemberService::CheckLeases(
    CallContext& call, const wire::CheckLeasesRequest& request) {
  CO_RETURN_IF_ERROR(nodes_.CheckIsNode(call));
  if (request.leases_size() > kLeasesMax) {
    co_return absl::InvalidArgumentError(
        StrCat(request.leases_size(), " leases in a call; at most ", kLeasesMax));
  }
  wire::CheckLeasesReply reply;
  for (uint64_t lease : request.leases()) {
    if (engine_.LeaseIsLive(LeaseId(lease))) reply.add_live(lease);
  }
  co_return reply;
}

Task<void> MemberService::Run(OwnHeartbeat own, OnRemovedTargets on_removed_targets) {
  bool storing = true;
  while (!stop_.stop_requested()) {
    const wire::HeartbeatRequest heartbeat = co_await own();
    absl::Status done = co_await Hear(heartbeat);
    std::vector<uint32_t> removed = RemovedTargets(keeper_.map(), heartbeat);
    if (!removed.empty()) co_await on_removed_targets(std::move(removed));
    // In any case: others die also while this node's own word cannot be stored.
    absl::Status judged = co_await Judge();
    done.Update(judged);
    if (!done.ok() && storing && !stop_.stop_requested())
      CAIRN_LOG_WARN("the cluster map could not be changed, will be tried again: {}", done);
    storing = done.ok();
    absl::Status slept = co_await SleepFor(kJudgeInterval, stop_);
    if (!slept.ok()) break;
  }
}

Task<absl::Status> MemberService::Judge() {
  const std::vector<FailureDetector::Change> changes =
      detector_.Judge(Executor::Current().clock().Now(), keeper_.map());
  if (changes.empty()) co_return absl::OkStatus();
  absl::Status stored = co_await keeper_.SetNodeStates(changes);
  if (!stored.ok()) co_return stored;
  for (const FailureDetector::Change& change : changes) {
    CAIRN_LOG_INFO("node {} is {} now", change.node, wire::NodeState_Name(change.state));
    const MonoTime now = Executor::Current().clock().Now();
    if (change.state == wire::NODE_SUSPECT)
      history_.Note(change.node, NodeHistory::Event::kSuspect, now);
    if (change.state == wire::NODE_DOWN) history_.Note(change.node, NodeHistory::Event::kDown, now);
  }
  co_return absl::OkStatus();
}

void MemberService::FillUsage(wire::ClusterMap* map) const {
  for (wire::TargetInfo& target : *map->mutable_targets()) {
    const auto usage = usage_.find(target.id());
    if (usage == usage_.end()) continue;
    target.set_capacity_bytes(usage->second.capacity_bytes);
    target.set_used_bytes(usage->second.used_bytes);
    target.set_fragments(usage->second.fragments);
  }
  FillMembership(map);
}

Task<void> MemberService::Stop() {
  stop_.RequestStop();
  co_await scope_.Join();
}

}  // namespace cairn
