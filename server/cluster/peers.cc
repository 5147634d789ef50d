#include "server/cluster/peers.h"

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/rpc/receiver.h"
#include "proto/wire/cluster.pb.h"

namespace cairn {
namespace {

constexpr absl::Duration kDialTimeout = absl::Seconds(5);

std::string NewChallenge(Random& random) {
  std::string challenge;
  for (int i = 0; i < 2; ++i) {
    const uint64_t word = random.Next();
    challenge.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  return challenge;
}

}  // namespace

Peers::Peers(Net& net, Random& random, Options options)
    : net_(net), random_(random), options_(std::move(options)), rpc_(net, random, options_.name) {
  ConnectReceiver(net_, nullptr, &rpc_);
}

Peers::~Peers() = default;

Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> Peers::Connect(std::string endpoint,
                                                                     Deadline deadline) {
  Slot& slot = slots_[endpoint];
  if (slot.connection != nullptr && !slot.connection->lost()) co_return slot.connection;
  if (slot.dialling == nullptr) slot.dialling = std::make_unique<Semaphore>(1);
  Semaphore& dialling = *slot.dialling;
  CO_RETURN_IF_ERROR(co_await dialling.Acquire(1, deadline));
  absl::Status dialled = co_await Dial(endpoint, deadline);
  dialling.Release(1);
  if (!dialled.ok()) co_return dialled;
  co_return slots_[endpoint].connection;
}

Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> Peers::ConnectNode(uint32_t node,
                                                                         std::string endpoint,
                                                                         Deadline deadline) {
  absl::StatusOr<std::shared_ptr<NodeConnection>> connection = co_await Connect(endpoint, deadline);
  if (!connection.ok() || (*connection)->hello().node_id() == node) co_return connection;
  co_return absl::UnavailableError(StrCat("node ", node, " is not at ", endpoint, ", node ",
                                          (*connection)->hello().node_id(), " is"));
}

// Slots are never erased, but the map may move them at each await.
Task<absl::Status> Peers::Dial(std::string endpoint, Deadline deadline) {
  const auto& ready = slots_[endpoint].connection;
  if (ready != nullptr && !ready->lost()) co_return absl::OkStatus();  // another has dialled
  const Deadline until =
      Earlier(deadline, Deadline::After(Executor::Current().clock(), kDialTimeout));
  absl::StatusOr<std::unique_ptr<NodeConnection>> node =
      co_await rpc_.Connect(endpoint, options_.cluster_id, until);
  if (!node.ok()) co_return node.status();
  absl::Status proven = co_await Prove(**node, until);
  if (!proven.ok()) co_return proven;
  options_.cluster_id = (*node)->hello().cluster_id();
  slots_[endpoint].connection = std::move(*node);
  co_return absl::OkStatus();
}

Task<absl::Status> Peers::Prove(NodeConnection& node, Deadline deadline) {
  const std::string& cluster = node.hello().cluster_id();
  const SessionId session(node.hello().session());
  wire::ProveNodeRequest request;
  request.set_challenge(NewChallenge(random_));
  request.set_proof(
      options_.secret.Prove(ClusterSecret::Side::kCaller, cluster, session, request.challenge()));
  const absl::StatusOr<wire::ProveNodeReply> reply = co_await node.Call<wire::ProveNodeReply>(
      0, wire::PROVE_NODE, request, CallOptions{deadline, {}, {}});
  if (!reply.ok()) co_return reply.status();
  if (!options_.secret.Check(ClusterSecret::Side::kAnswerer, cluster, session, request.challenge(),
                             reply->proof())) {
    co_return absl::PermissionDeniedError(
        StrCat("the node at ", node.host_port(), " does not know this cluster's secret"));
  }
  co_return absl::OkStatus();
}

void Peers::HangUp(const std::string& endpoint) {
  const auto slot = slots_.find(endpoint);
  if (slot == slots_.end() || slot->second.connection == nullptr) return;
  slot->second.connection->HangUp(absl::UnavailableError(StrCat(endpoint, " does not answer")));
}

Task<void> Peers::Stop() {
  for (auto& [endpoint, slot] : slots_) {
    if (slot.dialling != nullptr) slot.dialling->Break();
  }
  co_await rpc_.Stop();
  slots_.clear();
}

}  // namespace cairn
