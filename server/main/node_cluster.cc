// What a node has to do with the others of its cluster: the secret, joining, heartbeats, leases,
// and freeing what nobody refers to on all of them.

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/fabric/host_port.h"
#include "common/task/call_on.h"
#include "common/task/when_all.h"
#include "common/telemetry/log.h"
#include "server/main/host_name.h"
#include "server/main/node.h"
#include "server/repair/free_everywhere.h"
#include "server/repair/free_spans.h"

namespace cairn {
namespace {

constexpr char kSecretVariable[] = "CAIRN_CLUSTER_SECRET";
// Nodes talk little to each other, in small messages.
constexpr size_t kPeerReceiveBuffers = 8;
constexpr absl::Duration kJoinTry = absl::Seconds(5);
constexpr absl::Duration kJoinPause = absl::Seconds(1);
// Somebody who starts a new node with a wrong address is there to be told.
constexpr absl::Duration kFirstJoinPatience = absl::Seconds(30);
constexpr absl::Duration kSayAgain = absl::Seconds(30);

bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

Task<absl::Status> Sleep(absl::Duration duration) {
  StopSource never;
  co_return co_await SleepFor(duration, never);
}

}  // namespace

absl::StatusOr<ClusterSecret> Node::LoadSecret() {
  if (!config_.secret_file().empty()) return ClusterSecret::ReadFile(config_.secret_file());
  if (const char* text = std::getenv(kSecretVariable); text != nullptr && *text != '\0') {
    absl::StatusOr<ClusterSecret> secret = ClusterSecret::FromText(text);
    if (secret.ok()) return secret;
    return absl::Status(secret.status().code(),
                        StrCat(kSecretVariable, ": ", ToStd(secret.status().message())));
  }
  const std::string path = config_.data() + "/cluster.secret";
  if (std::filesystem::exists(path)) return ClusterSecret::ReadFile(path);
  if (!directory_->joined()) return ClusterSecret::MakeFile(path, random_);
  return absl::FailedPreconditionError(
      StrCat("a node that joins needs the cluster's secret: copy the file cluster.secret of the "
             "founding node's data directory to ",
             path, ", or name it with --secret-file"));
}

absl::Status Node::OpenPeers() {
  ASSIGN_OR_RETURN(ClusterSecret secret, LoadSecret());
  return cores_[0]->thread().RunBlocking<absl::Status>(
      [this, &secret] { return StartPeers(std::move(secret)); });
}

absl::StatusOr<std::unique_ptr<LibfabricNet>> Node::OpenPeerNet() {
  LibfabricNet::Options net;
  net.provider = cores_[0]->net().provider();
  net.receive_buffers = kPeerReceiveBuffers;
  ASSIGN_OR_RETURN(const HostPort listen, ParseHostPort(config_.listen()));
  net.bind_host = listen.host;
  return LibfabricNet::Create(cores_[0]->thread().reactor(), std::move(net));
}

std::unique_ptr<Peers> Node::MakePeers(LibfabricNet& net, const ClusterSecret& secret) {
  return std::make_unique<Peers>(net, random_,
                                 Peers::Options{StrCat(HostName(), ":", getpid()),
                                                directory_->identity().cluster_id(), secret});
}

Task<absl::Status> Node::StartPeers(ClusterSecret secret) {
  CO_ASSIGN_OR_RETURN(peer_net_, OpenPeerNet());
  peers_ = MakePeers(*peer_net_, secret);
  CO_ASSIGN_OR_RETURN(repair_net_, OpenPeerNet());
  repair_peers_ = MakePeers(*repair_net_, secret);
  CO_RETURN_IF_ERROR(OpenRepair());
  node_service_ = std::make_unique<NodeService>(
      std::move(secret), [this] { return directory_->identity().cluster_id(); }, RepairWork());
  if (directory_->joined()) {
    std::vector<std::string> join(config_.join().begin(), config_.join().end());
    if (join.empty())
      join.assign(directory_->identity().join().begin(), directory_->identity().join().end());
    member_ = std::make_unique<Member>(*peers_, std::move(join));
  }
  co_return absl::OkStatus();
}

absl::Status Node::JoinCluster(const std::function<bool()>& stop_wanted) {
  const bool first_time = directory_->identity().node_id() == 0;
  const MonoTime began = clock_.Now();
  MonoTime say_at = began;
  ReactorThread& thread = cores_[0]->thread();
  while (true) {
    const absl::StatusOr<wire::JoinReply> reply =
        thread.RunBlocking<absl::StatusOr<wire::JoinReply>>([this] { return TryToJoin(); });
    if (reply.ok()) return TakeIds(*reply);
    const bool patient = !first_time || clock_.Now() - began < kFirstJoinPatience;
    if (!MayPass(reply.status()) || !patient) {
      return absl::Status(reply.status().code(),
                          StrCat("cannot join the cluster: ", ToStd(reply.status().message())));
    }
    if (clock_.Now() >= say_at) {
      CAIRN_LOG_WARN("waits for the cluster: {}", reply.status().ToString());
      say_at = clock_.Now() + kSayAgain;
    }
    (void)thread.RunBlocking<absl::Status>([] { return Sleep(kJoinPause); });
    if (stop_wanted && stop_wanted())
      return absl::CancelledError("told to stop while it waited for its cluster");
  }
}

absl::Status Node::TakeIds(const wire::JoinReply& reply) {
  disk::NodeIdentity identity = directory_->identity();
  const bool first_time = identity.node_id() == 0;
  bool same = (first_time || identity.node_id() == reply.node()) &&
              reply.targets_size() >= static_cast<int>(slots_.size());
  for (size_t number = 0; same && number < slots_.size(); ++number) {
    TargetSlot& slot = slots_[number];
    const uint32_t id = reply.targets(static_cast<int>(number));
    // One that has left without this node having heard of it; or has been given up here, and the
    // cluster is still to be told.
    slot.removed = slot.removed || id == 0;
    if (slot.removed) continue;
    same = slot.id == 0 || slot.id == id;
    slot.id = id;
  }
  if (!same) {
    return absl::FailedPreconditionError(
        StrCat("the cluster answers as if this were node ", reply.node(), " with ",
               reply.targets_size(), " targets; it is node ", identity.node_id(), " with ",
               slots_.size(), ": is its metadata the one this node has joined?"));
  }
  identity.set_node_id(reply.node());
  StoreSlots(slots_, &identity);
  return directory_->SetIdentity(std::move(identity));
}

wire::JoinRequest Node::OwnJoinRequest(size_t targets) const {
  wire::JoinRequest request;
  request.set_identity(directory_->identity().identity());
  request.set_name(HostName());
  request.set_rack(config_.rack());
  request.set_target_count(static_cast<uint32_t>(targets));
  request.set_node(directory_->identity().node_id());
  return request;
}

Task<absl::StatusOr<wire::JoinReply>> Node::TryToJoin() {
  const Deadline deadline = Deadline::After(clock_, kJoinTry);
  absl::Status found = co_await member_->FindMetadata(deadline);
  if (!found.ok()) co_return found;
  // Who this node is must outlive a crash before the cluster is told: it would join twice.
  disk::NodeIdentity identity = directory_->identity();
  identity.set_cluster_id(peers_->cluster_id());
  if (!config_.join().empty()) *identity.mutable_join() = config_.join();
  absl::Status kept = directory_->SetIdentity(std::move(identity));
  if (!kept.ok()) co_return kept;
  co_return co_await member_->Join(OwnJoinRequest(slots_.size()), deadline);
}

// Once the endpoint is known.
void Node::StartMembership() {
  if (member_ == nullptr) {
    member_service_->Start(
        [this] { return OwnHeartbeat(); },
        [this](std::vector<uint32_t> targets) { return OnRemovedTargets(std::move(targets)); });
    return;
  }
  Member::Node node;
  node.heartbeat = [this] { return OwnHeartbeat(); };
  node.on_removed_targets = [this](std::vector<uint32_t> targets) {
    return OnRemovedTargets(std::move(targets));
  };
  node.on_map_version = [this](uint64_t version) { OnMapVersion(version); };
  node.pending_leases = [this] { return PendingLeases(); };
  node.drop_lease = [this](LeaseId lease) { return DropLease(lease); };
  member_->Start(std::move(node));
}

void Node::OnMapVersion(uint64_t version) {
  if (version > sessions_->map_version()) sessions_->SetMapVersion(version);
}

Task<wire::HeartbeatRequest> Node::OwnHeartbeat() {
  wire::HeartbeatRequest heartbeat;
  heartbeat.set_node(directory_->identity().node_id());
  heartbeat.set_endpoint(endpoint_);
  std::map<uint32_t, TargetStatus> statuses;
  for (const auto& core : cores_) {
    Core* asked = core.get();
    const CoreStatus status = co_await CallOn<CoreStatus>(
        core->executor(), core->scope(), [asked] { return asked->CollectStatus(); });
    for (const TargetStatus& target : status.targets)
      statuses.emplace(static_cast<uint32_t>(target.id.value()), target);
  }
  for (const OwnTarget& own : own_targets_) {
    wire::TargetInfo& target = *heartbeat.add_targets();
    target = own.info;
    const auto status = statuses.find(own.info.id());
    if (status == statuses.end()) continue;
    target.set_capacity_bytes(status->second.usage.capacity);
    target.set_used_bytes(status->second.usage.capacity - status->second.usage.free);
    target.set_fragments(status->second.usage.fragments);
    if (!status->second.failure.ok()) target.set_state(wire::TARGET_FAILED);
  }
  co_return heartbeat;
}

// From any core; the metadata is on core 0, which outlives the calls of all cores.
Task<absl::StatusOr<bool>> Node::LeaseIsLive(LeaseId lease) {
  const absl::StatusOr<bool> live = co_await CallOn<absl::StatusOr<bool>>(
      cores_[0]->executor(), cores_[0]->scope(), [this, lease] { return AskLease(lease); });
  co_return live;
}

Task<absl::StatusOr<bool>> Node::AskLease(LeaseId lease) {
  if (member_ == nullptr) co_return meta_->LeaseIsLive(lease);
  co_return co_await member_->leases().IsLive(lease);
}

ReclaimLoop::Targets Node::ReclaimTargets() {
  ReclaimLoop::Targets targets;
  free_here_ = [this](std::vector<StripeSpan> spans) { return FreeOnTargets(std::move(spans)); };
  targets.free = [this](std::vector<StripeSpan> spans) {
    return FreeEverywhere(*peers_, map_, directory_->identity().node_id(), std::move(spans),
                          free_here_);
  };
  targets.pending_leases = [this] { return PendingLeases(); };
  targets.drop_lease = [this](LeaseId lease) { return DropLease(lease); };
  return targets;
}

Task<absl::Status> Node::FreeOnTargets(std::vector<StripeSpan> spans) {
  if (member_ != nullptr) member_->leases().Forget();
  absl::Status result;
  std::vector<Task<absl::Status>> frees;
  for (const OwnTarget& own : own_targets_) {
    result.Update(own.failure);
    if (own.target == nullptr) continue;
    Target* owned = own.target;
    frees.push_back(CallOn<absl::Status>(own.core->executor(), own.core->scope(),
                                         [owned, &spans] { return FreeSpans(*owned, spans); }));
  }
  // One that has failed holds up no other, but the spans are not done: after a restart it may be
  // back with all that it held, and nothing would look for these again.
  absl::Status freed = co_await WhenAllOk(std::move(frees));
  result.Update(freed);
  co_return result;
}

Task<std::vector<LeaseId>> Node::PendingLeases() {
  std::vector<LeaseId> leases;
  for (const auto& core : cores_) {
    Core* asked = core.get();
    std::vector<LeaseId> of_core = co_await CallOn<std::vector<LeaseId>>(
        core->executor(), core->scope(), [asked] { return asked->PendingLeases(); });
    leases.insert(leases.end(), of_core.begin(), of_core.end());
  }
  co_return leases;
}

Task<absl::Status> Node::DropLease(LeaseId lease) {
  for (const auto& core : cores_) {
    Core* told = core.get();
    absl::Status dropped = co_await CallOn<absl::Status>(
        core->executor(), core->scope(), [told, lease] { return told->DropLease(lease); });
    if (!dropped.ok()) co_return dropped;
  }
  co_return absl::OkStatus();
}

}  // namespace cairn
