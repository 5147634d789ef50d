#include "server/cluster/member.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace cairn {
namespace {

constexpr absl::Duration kHeartbeatInterval = absl::Seconds(1);
// Two lost heartbeats are no alarm yet; waiting longer for one would delay the next.
constexpr absl::Duration kHeartbeatTimeout = absl::Seconds(2);
constexpr absl::Duration kLeaseTimeout = absl::Seconds(10);
constexpr absl::Duration kSweepInterval = absl::Seconds(2);
constexpr size_t kLeasesPerCall = 4096;
// Nodes that are asked where the metadata is: answers that lead in circles end here.
constexpr size_t kAskedMax = 16;

}  // namespace

Member::Member(Peers& peers, std::vector<std::string> join)
    : peers_(peers),
      join_(std::move(join)),
      leases_([this](std::vector<LeaseId> leases) { return AskLeases(std::move(leases)); }) {}

// The last known first, then those it was told of at its start. A node without the role names one
// that has it.
Task<absl::Status> Member::FindMetadata(Deadline deadline) {
  std::vector<std::string> candidates;
  if (!metadata_.empty()) candidates.push_back(metadata_);
  for (const std::string& endpoint : join_) {
    if (endpoint != metadata_) candidates.push_back(endpoint);
  }
  std::vector<std::string> failures;
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  for (size_t i = 0; i < std::min(candidates.size(), kAskedMax); ++i) {
    const std::string endpoint = candidates[i];
    // A silent one must leave time for the others.
    const Clock& clock = Executor::Current().clock();
    const auto left = static_cast<int64_t>(candidates.size() - i);
    const Deadline share = Deadline::After(clock, deadline.Remaining(clock) / left);
    const absl::StatusOr<std::shared_ptr<NodeConnection>> node =
        co_await peers_.Connect(endpoint, Earlier(deadline, share));
    if (!node.ok()) {
      if (absl::IsCancelled(node.status())) co_return node.status();
      // A refusal in words is final; silence is not.
      const bool silent =
          absl::IsUnavailable(node.status()) || absl::IsDeadlineExceeded(node.status());
      if (!silent) code = node.status().code();
      failures.push_back(StrCat(endpoint, ": ", ToStd(node.status().message())));
      continue;
    }
    if ((*node)->hello().meta_endpoints().empty()) {
      metadata_ = endpoint;
      co_return absl::OkStatus();
    }
    for (const std::string& named : (*node)->hello().meta_endpoints()) {
      if (std::find(candidates.begin(), candidates.end(), named) == candidates.end())
        candidates.push_back(named);
    }
  }
  co_return absl::Status(
      code, StrCat("no node of the cluster answers (", absl::StrJoin(failures, "; "), ")"));
}

template <class Reply, class Request>
Task<absl::StatusOr<Reply>> Member::CallMetadata(wire::Method method, Request request,
                                                 Deadline deadline) {
  absl::Status found = co_await FindMetadata(deadline);
  if (!found.ok()) co_return found;
  co_return co_await peers_.Call<Reply>(metadata_, method, std::move(request), deadline);
}

Task<absl::StatusOr<wire::JoinReply>> Member::Join(wire::JoinRequest request, Deadline deadline) {
  co_return co_await CallMetadata<wire::JoinReply>(wire::JOIN, std::move(request), deadline);
}

void Member::Start(Node node) {
  node_ = std::move(node);
  scope_.Spawn(SendHeartbeats());
  scope_.Spawn(SweepLeases());
}

Task<void> Member::SendHeartbeats() {
  bool heard = true;
  int missed = 0;
  while (!stop_.stop_requested()) {
    const Clock& clock = Executor::Current().clock();
    const MonoTime next = clock.Now() + kHeartbeatInterval;
    wire::HeartbeatRequest heartbeat = co_await node_.heartbeat();
    const absl::StatusOr<wire::HeartbeatReply> reply = co_await CallMetadata<wire::HeartbeatReply>(
        wire::HEARTBEAT, std::move(heartbeat), Deadline::After(clock, kHeartbeatTimeout));
    if (stop_.stop_requested()) break;
    if (reply.ok()) {
      if (!heard) CAIRN_LOG_INFO("the cluster at {} hears this node again", metadata_);
      if (!reply->removed_targets().empty()) {
        std::vector<uint32_t> removed(reply->removed_targets().begin(),
                                      reply->removed_targets().end());
        co_await node_.on_removed_targets(std::move(removed));
      }
      const absl::StatusOr<std::shared_ptr<NodeConnection>> node =
          co_await peers_.Connect(metadata_, Deadline::After(clock, kHeartbeatTimeout));
      if (node.ok()) node_.on_map_version((*node)->map_version());
    } else if (heard) {
      CAIRN_LOG_WARN("the cluster does not hear this node, goes on trying: {}",
                     reply.status().ToString());
    }
    // After a break of the network a new connection gets through sooner than one whose packets
    // wait for ever longer.
    missed = reply.ok() ? 0 : missed + 1;
    if (missed % 2 == 0 && missed > 0) peers_.HangUp(metadata_);
    heard = reply.ok();
    absl::Status slept = co_await SleepUntil(Deadline(next), stop_);
    if (!slept.ok()) break;
  }
}

Task<absl::StatusOr<std::vector<LeaseId>>> Member::AskLeases(std::vector<LeaseId> leases) {
  wire::CheckLeasesRequest request;
  for (LeaseId lease : leases) request.add_leases(lease.value());
  const Deadline deadline = Deadline::After(Executor::Current().clock(), kLeaseTimeout);
  const absl::StatusOr<wire::CheckLeasesReply> reply =
      co_await CallMetadata<wire::CheckLeasesReply>(wire::CHECK_LEASES, std::move(request),
                                                    deadline);
  if (!reply.ok()) {
    // The caller, a client's seal, is to try again: whatever it is, it is not the lease's fault.
    co_return absl::UnavailableError(
        StrCat("whether the lease of this write lives cannot be known: ",
               ToStd(reply.status().message())));
  }
  std::vector<LeaseId> live;
  for (uint64_t lease : reply->live()) live.push_back(LeaseId(lease));
  co_return live;
}

Task<void> Member::SweepLeases() {
  while (!stop_.stop_requested()) {
    // What cannot be known now is asked again next time; the heartbeats' log says why.
    absl::Status dropped = co_await DropEndedLeases();
    if (!dropped.ok() && !absl::IsUnavailable(dropped) && !stop_.stop_requested())
      CAIRN_LOG_WARN("unsealed fragments could not be dropped, will be tried again: {}",
                     dropped.ToString());
    absl::Status slept = co_await SleepFor(kSweepInterval, stop_);
    if (!slept.ok()) break;
  }
}

Task<absl::Status> Member::DropEndedLeases() {
  std::vector<LeaseId> pending = co_await node_.pending_leases();
  std::sort(pending.begin(), pending.end());
  pending.erase(std::unique(pending.begin(), pending.end()), pending.end());
  for (size_t at = 0; at < pending.size(); at += kLeasesPerCall) {
    const auto begin = pending.begin() + static_cast<ptrdiff_t>(at);
    const auto end =
        pending.begin() + static_cast<ptrdiff_t>(std::min(pending.size(), at + kLeasesPerCall));
    const absl::StatusOr<std::vector<LeaseId>> live =
        co_await AskLeases(std::vector<LeaseId>(begin, end));
    if (!live.ok()) co_return live.status();
    for (auto lease = begin; lease != end; ++lease) {
      if (std::find(live->begin(), live->end(), *lease) != live->end()) continue;
      absl::Status dropped = co_await node_.drop_lease(*lease);
      if (!dropped.ok()) co_return dropped;
    }
  }
  co_return absl::OkStatus();
}

Task<void> Member::Stop() {
  stop_.RequestStop();
  co_await peers_.Stop();
  co_await scope_.Join();
  co_await leases_.Stop();
}

}  // namespace cairn
