// What stands behind LibfabricNet: operations, peers, memory and the endpoint of one core. Opening,
// memory and the calls of the interface are in libfabric_net.cc, posting, retries and completions
// in libfabric_operations.cc.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/node_hash_map.h"
#include "absl/status/statusor.h"
#include "common/fabric/control_plane.h"
#include "common/fabric/fork_guard.h"
#include "common/fabric/libfabric_endpoint.h"
#include "common/fabric/libfabric_net.h"
#include "common/fabric/message_pool.h"
#include "common/fabric/operation.h"
#include "common/task/semaphore.h"

namespace cairn {

// Slots: RMA of all slabs of a core several times over, and messages under way. Above, callers
// wait.
inline constexpr int64_t kOperationsMax = 4096;
// All messages not yet in their sockets; see kPeerSendBytes.
inline constexpr int64_t kSendBytesMax = 64 * kMiB;

struct LibfabricNet::Impl final : Poller {
  using Kind = Operation::Kind;

  Impl(Reactor& reactor_in, Options options_in);
  ~Impl() override;
  absl::Status Start();

  bool Poll() override;
  int wait_fd() const override { return endpoint->wait_fd(); }
  // A receive buffer that the provider was too busy to take is tried again at once: nothing would
  // wake us for it.
  bool PrepareToSleep() override { return receives_to_post.empty() && endpoint->TryWait(); }

  // Peers.
  Peer* Find(PeerId id) const;
  void Release(Peer* peer);

  // Operations.
  Operation* NewOperation(Kind kind, Peer* peer, Deadline deadline);
  void Free(Operation* operation);
  void Begin(Operation* operation);
  ssize_t TryPost(Operation& operation);
  ssize_t PostRma(Operation& operation);
  void Accepted(Operation* operation);
  void End(Operation* operation, absl::Status result);
  void FailQueued(Peer& peer, const absl::Status& status);

  // Retries.
  void RetryPeer(Peer* peer, MonoTime now);
  void RetryAll();
  void ArmRetryTimer();

  // Transfers that a stopped peer keeps from ending.
  void ArmOverdueTimer();
  void EndOverdue();

  // Completions.
  void Completed(Operation* operation, uint64_t length_bytes);
  void ReadError();
  void Received(Operation* operation, uint64_t length_bytes);
  void PostReceive(Operation* operation);
  void PostReceiveLater(Operation* operation);

  // Memory.
  absl::StatusOr<FabricMemory*> AddMemory(MutableBytes bytes, MemoryAccess access);
  void RemoveMemory(FabricMemory* memory);
  FabricMemory* FindLocal(ConstBytes bytes) const;

  absl::Status OpenEndpoint();
  void CloseEndpoint();
  Task<absl::Status> Rma(Kind kind, PeerId id, BulkDescriptor remote, uint64_t offset_bytes,
                         MutableBytes local, Deadline deadline);
  Task<absl::Status> RmaPiece(Kind kind, Peer* peer, BulkDescriptor remote, uint64_t offset_bytes,
                              MutableBytes local, Deadline deadline);
  Task<absl::Status> SendHeld(Peer* peer, ConstBytes message, Deadline deadline);

  Reactor& reactor;
  const Options options;
  ControlPlane control;
  std::unique_ptr<LibfabricEndpoint> endpoint;
  std::optional<AddressClosedInChild> own_in_child;
  Counters counters;
  Receiver receiver;
  PeerLost peer_lost;
  // Counts endpoints: what began on an older one must not touch the newer.
  uint64_t generation = 0;
  bool polled = false;

  uint64_t next_peer = 1;
  absl::flat_hash_map<PeerId, std::unique_ptr<Peer>> peers;
  absl::flat_hash_map<Peer*, std::unique_ptr<Peer>> removed_peers;
  absl::node_hash_map<std::string, AddressEntry> addresses;
  // Peers on this machine, the connections to which are still to be tuned.
  std::vector<std::string> untuned;
  absl::flat_hash_set<Peer*> waiting;
  TimerId overdue_timer = 0;
  TimerId retry_timer = 0;
  MonoTime retry_timer_at = MonoTime::Never();

  // Declared before what refers to it: memory is closed last.
  absl::flat_hash_map<FabricMemory*, std::unique_ptr<FabricMemory>> memory;
  std::multimap<const std::byte*, FabricMemory*> local_memory;

  std::deque<Operation> slots;
  std::vector<Operation*> free_slots;
  Semaphore slots_left{kOperationsMax};
  Semaphore send_bytes{kSendBytesMax};
  MessagePool messages;
  std::unique_ptr<std::byte[]> receive_memory;
  std::vector<Operation> receives;
  std::vector<Operation*> receives_to_post;
  // After an error, which may be there to stay.
  std::vector<Operation*> receives_to_post_later;
  TimerId receive_timer = 0;
  size_t regions_given_out = 0;
};

}  // namespace cairn
