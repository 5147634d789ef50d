// Operations, completions and peers of one endpoint. A post that the provider answers with EAGAIN
// waits in its peer's queue and is tried again when the completion queue moves and at growing
// intervals, until its own deadline: to a dead peer, providers say EAGAIN for ever. Any error of an
// RMA means that the connection is lost.
#include "common/fabric/libfabric_net.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/node_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/fabric/control_plane.h"
#include "common/fabric/host_port.h"
#include "common/fabric/libfabric_endpoint.h"
#include "common/fabric/message_pool.h"
#include "common/fabric/operation.h"
#include "common/fabric/socket.h"
#include "common/task/semaphore.h"
#include "common/task/when_all.h"

namespace cairn {
namespace {

// Slots: RMA of all slabs of a core several times over, and messages under way. Above, callers
// wait.
constexpr int64_t kOperationsMax = 4096;
// Room for the completion of every slot and every receive buffer, so that the queue cannot overrun.
constexpr size_t kCompletionsMax = 2 * kOperationsMax;
// All messages not yet in their sockets; see kPeerSendBytes.
constexpr int64_t kSendBytesMax = 64 * kMiB;
// Completions taken at once: enough to make a read cheap, few enough to let coroutines run in
// between.
constexpr size_t kCompletionsPerPoll = 32;
// Larger transfers are cut: one operation of this size saturates a connection, and what is in
// flight stays bounded.
constexpr uint64_t kRmaBytesMax = 4 * kMiB;
static_assert(kRmaBytesMax <= kPeerWriteBytes, "a write must be able to get its share");

// A connection takes a few looks at the queue to come up: so many retries are free. Then the
// provider is left alone for a while, because every retry to a dead peer is a connection attempt.
constexpr int kFreeRounds = 8;
constexpr absl::Duration kFirstBackoff = absl::Microseconds(250);
constexpr absl::Duration kLastBackoff = absl::Milliseconds(16);

using Kind = Operation::Kind;
using OpState = Operation::State;

absl::Status PeerUnknown() { return absl::UnavailableError("the peer was removed"); }
absl::Status EndpointReset() { return absl::UnavailableError("the endpoint was reset"); }

const char* Doing(Kind kind) {
  switch (kind) {
    case Kind::kReceive:
      return "receiving a message";
    case Kind::kSend:
      return "sending a message";
    case Kind::kRead:
      return "reading a peer's memory";
    case Kind::kWrite:
      return "writing a peer's memory";
  }
  return "";
}

// Suspends until the operation is over; a send, until it is accepted.
struct OperationAwaiter {
  Operation& operation;
  bool await_ready() const { return operation.state == OpState::kDone; }
  void await_suspend(std::coroutine_handle<> waiter) { operation.waiter = waiter; }
  void await_resume() const {}
};

}  // namespace

struct LibfabricNet::Impl final : Poller {
  Impl(Reactor& reactor_in, Options options_in);
  ~Impl() override;
  absl::Status Start();

  bool Poll() override;
  int wait_fd() const override { return endpoint->wait_fd(); }
  // A receive buffer that could not be posted is tried again at once: nothing would wake us for it.
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

  // Completions.
  void Completed(Operation* operation, uint64_t length_bytes);
  void ReadError();
  void Received(Operation* operation, uint64_t length_bytes);
  void PostReceive(Operation* operation);

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
  Counters counters;
  Receiver receiver;
  // Counts endpoints: what began on an older one must not touch the newer.
  uint64_t generation = 0;
  bool polled = false;

  uint64_t next_peer = 1;
  absl::flat_hash_map<PeerId, std::unique_ptr<Peer>> peers;
  absl::flat_hash_map<Peer*, std::unique_ptr<Peer>> removed_peers;
  absl::node_hash_map<std::string, AddressEntry> addresses;
  absl::flat_hash_set<Peer*> waiting;
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
  size_t regions_given_out = 0;
};

namespace {

// A region given to a caller.
class Region final : public MemoryRegion {
 public:
  Region(FabricMemory* memory, absl::AnyInvocable<void()> release)
      : memory_(memory), release_(std::move(release)) {}
  ~Region() override { release_(); }
  BulkDescriptor descriptor() const override {
    CAIRN_CHECK(memory_->access != MemoryAccess::kLocal);
    return memory_->descriptor;
  }

 private:
  FabricMemory* memory_;
  absl::AnyInvocable<void()> release_;
};

}  // namespace

LibfabricNet::Impl::Impl(Reactor& reactor_in, Options options_in)
    : reactor(reactor_in),
      options(std::move(options_in)),
      control(reactor_in),
      messages([this](MutableBytes chunk) { return AddMemory(chunk, MemoryAccess::kLocal); }) {}

LibfabricNet::Impl::~Impl() {
  if (endpoint == nullptr) return;
  if (retry_timer != 0) reactor.CancelTimer(retry_timer);
  CloseEndpoint();
  CAIRN_CHECK(regions_given_out == 0);
  // Someone still waits for an operation: its frame refers to this object.
  CAIRN_CHECK(slots.size() == free_slots.size());
}

absl::Status LibfabricNet::Impl::Start() {
  ASSIGN_OR_RETURN(endpoint, LibfabricEndpoint::Create(options.provider, options.bind_host,
                                                       kCompletionsMax + options.receive_buffers));
  const size_t receive_bytes = options.receive_buffers * kMaxMessageBytes;
  receive_memory = std::make_unique<std::byte[]>(receive_bytes);
  receives = std::vector<Operation>(options.receive_buffers);
  for (size_t i = 0; i < receives.size(); ++i) {
    receives[i].data = receive_memory.get() + i * kMaxMessageBytes;
    receives[i].length_bytes = kMaxMessageBytes;
  }
  RETURN_IF_ERROR(OpenEndpoint());
  ASSIGN_OR_RETURN(FabricMemory* const registered,
                   AddMemory({receive_memory.get(), receive_bytes}, MemoryAccess::kLocal));
  for (Operation& receive : receives) {
    receive.memory = registered;
    PostReceive(&receive);
  }
  return absl::OkStatus();
}

// --- Peers ---

Peer* LibfabricNet::Impl::Find(PeerId id) const {
  const auto found = peers.find(id);
  return found == peers.end() ? nullptr : found->second.get();
}

void LibfabricNet::Impl::Release(Peer* peer) {
  if (--peer->holds > 0) return;
  // Only now: providers may still refer to the address while operations to it are under way.
  if (--peer->entry->users == 0) {
    if (endpoint->ep() != nullptr) endpoint->RemoveAddress(peer->entry->address);
    addresses.erase(peer->address);
  }
  waiting.erase(peer);
  removed_peers.erase(peer);
}

// --- Operations ---

Operation* LibfabricNet::Impl::NewOperation(Kind kind, Peer* peer, Deadline deadline) {
  if (free_slots.empty()) free_slots.push_back(&slots.emplace_back());
  Operation* const operation = free_slots.back();
  free_slots.pop_back();
  operation->kind = kind;
  operation->state = OpState::kNew;
  operation->peer = peer;
  operation->deadline = deadline;
  operation->result = absl::OkStatus();
  operation->waiter = nullptr;
  operation->accepted = nullptr;
  operation->detached = false;
  ++peer->holds;
  ++counters.operations_in_flight;
  return operation;
}

void LibfabricNet::Impl::Free(Operation* operation) {
  Peer* const peer = operation->peer;
  if (operation->kind == Kind::kSend) {
    const auto footprint = static_cast<int64_t>(MessagePool::Footprint(operation->length_bytes));
    messages.Give(operation->message);
    send_bytes.Release(footprint);
    peer->send_bytes.Release(footprint);
  }
  operation->state = OpState::kNew;
  --counters.operations_in_flight;
  free_slots.push_back(operation);
  slots_left.Release(1);
  Release(peer);
}

void LibfabricNet::Impl::Begin(Operation* operation) {
  Peer& peer = *operation->peer;
  if (endpoint->ep() == nullptr) {
    End(operation, absl::UnavailableError("the endpoint could not be opened again"));
    return;
  }
  if (peer.queue.empty()) {
    const ssize_t posted = TryPost(*operation);
    if (posted == 0) {
      Accepted(operation);
      return;
    }
    if (posted != -FI_EAGAIN) {
      End(operation, FabricError(absl::StatusCode::kUnavailable, Doing(operation->kind), posted));
      return;
    }
    ++counters.busy_retries;
    peer.retry_at = reactor.clock().Now() + kFirstBackoff;
  } else if (peer.queue.size() >= kPeerQueueMax) {
    End(operation, absl::ResourceExhaustedError("too many operations wait for one peer"));
    return;
  }
  operation->state = OpState::kQueued;
  peer.queue.push_back(operation);
  waiting.insert(&peer);
  ArmRetryTimer();
}

ssize_t LibfabricNet::Impl::TryPost(Operation& operation) {
  if (operation.kind != Kind::kSend) return PostRma(operation);
  return fi_send(endpoint->ep(), operation.data, operation.length_bytes,
                 operation.memory->local_descriptor(), operation.peer->entry->address, &operation);
}

ssize_t LibfabricNet::Impl::PostRma(Operation& operation) {
  iovec local = {operation.data, operation.length_bytes};
  void* descriptor = operation.memory->local_descriptor();
  fi_rma_iov remote = {operation.remote_address, operation.length_bytes, operation.remote_key};
  fi_msg_rma message = {};
  message.msg_iov = &local;
  message.desc = &descriptor;
  message.iov_count = 1;
  message.addr = operation.peer->entry->address;
  message.rma_iov = &remote;
  message.rma_iov_count = 1;
  message.context = &operation;
  if (operation.kind == Kind::kRead) return fi_readmsg(endpoint->ep(), &message, FI_COMPLETION);
  // Without delivery completion a write "succeeds" when the kernel has the bytes, also to a dead
  // peer.
  return fi_writemsg(endpoint->ep(), &message, FI_COMPLETION | FI_DELIVERY_COMPLETE);
}

void LibfabricNet::Impl::Accepted(Operation* operation) {
  operation->state = OpState::kPosted;
  operation->peer->rounds = 0;
  if (operation->kind != Kind::kSend) return;
  ++counters.messages_sent;
  operation->detached = true;
  *std::exchange(operation->accepted, nullptr) = true;
  if (operation->waiter) reactor.Post(std::exchange(operation->waiter, nullptr));
}

void LibfabricNet::Impl::End(Operation* operation, absl::Status result) {
  if (operation->detached) {
    Free(operation);
    return;
  }
  operation->state = OpState::kDone;
  operation->result = std::move(result);
  if (operation->waiter) reactor.Post(std::exchange(operation->waiter, nullptr));
}

void LibfabricNet::Impl::FailQueued(Peer& peer, const absl::Status& status) {
  for (Operation* operation : std::exchange(peer.queue, {})) End(operation, status);
  waiting.erase(&peer);
}

// --- Retries ---

void LibfabricNet::Impl::RetryPeer(Peer* peer, MonoTime now) {
  std::deque<Operation*>& queue = peer->queue;
  std::erase_if(queue, [this, now](Operation* operation) {
    if (operation->deadline.at() > now) return false;
    End(operation, absl::DeadlineExceededError("the peer took no connection in time"));
    return true;
  });
  while (!queue.empty()) {
    Operation* const operation = queue.front();
    const ssize_t posted = TryPost(*operation);
    if (posted == -FI_EAGAIN) {
      ++counters.busy_retries;
      ++peer->rounds;
      const int doublings = std::clamp(peer->rounds - kFreeRounds, 0, 16);
      peer->retry_at = now + std::min(kLastBackoff, kFirstBackoff * (1 << doublings));
      return;
    }
    queue.pop_front();
    if (posted == 0) {
      Accepted(operation);
    } else {
      End(operation, FabricError(absl::StatusCode::kUnavailable, Doing(operation->kind), posted));
    }
  }
  waiting.erase(peer);
}

void LibfabricNet::Impl::RetryAll() {
  const MonoTime now = reactor.clock().Now();
  // A copy: the set shrinks while it is walked.
  const std::vector<Peer*> due(waiting.begin(), waiting.end());
  for (Peer* peer : due) {
    if (peer->rounds < kFreeRounds || peer->retry_at <= now) RetryPeer(peer, now);
  }
  ArmRetryTimer();
}

void LibfabricNet::Impl::ArmRetryTimer() {
  MonoTime next = MonoTime::Never();
  for (const Peer* peer : waiting) next = std::min(next, peer->retry_at);
  if (next == retry_timer_at) return;
  if (retry_timer != 0) reactor.CancelTimer(std::exchange(retry_timer, 0));
  retry_timer_at = next;
  if (next == MonoTime::Never()) return;
  retry_timer = reactor.AddTimer(next, [this] {
    retry_timer = 0;
    retry_timer_at = MonoTime::Never();
    RetryAll();
  });
}

// --- Completions ---

bool LibfabricNet::Impl::Poll() {
  fi_cq_msg_entry entries[kCompletionsPerPoll];
  ++counters.polls;
  const ssize_t count = fi_cq_read(endpoint->cq(), entries, kCompletionsPerPoll);
  bool progress = false;
  if (count > 0) {
    progress = true;
    const uint64_t began_with = generation;
    // The receiver may reset the endpoint: the rest was then ended there.
    for (ssize_t i = 0; i < count && generation == began_with; ++i) {
      Completed(static_cast<Operation*>(entries[i].op_context), entries[i].len);
    }
  } else if (count == -FI_EAVAIL) {
    progress = true;
    ReadError();
  }
  for (Operation* receive : std::exchange(receives_to_post, {})) PostReceive(receive);
  if (!waiting.empty()) RetryAll();
  return progress;
}

void LibfabricNet::Impl::Completed(Operation* operation, uint64_t length_bytes) {
  ++counters.completions;
  switch (operation->kind) {
    case Kind::kReceive:
      Received(operation, length_bytes);
      return;
    case Kind::kSend:
      break;
    case Kind::kRead:
      counters.bytes_read += operation->length_bytes;
      break;
    case Kind::kWrite:
      counters.bytes_written += operation->length_bytes;
      break;
  }
  // The connection lives: what waits for room in it may try again.
  operation->peer->rounds = 0;
  End(operation, absl::OkStatus());
}

void LibfabricNet::Impl::ReadError() {
  fi_cq_err_entry error = {};
  if (fi_cq_readerr(endpoint->cq(), &error, 0) != 1) return;
  ++counters.errors;
  auto* const operation = static_cast<Operation*>(error.op_context);
  if (operation == nullptr) return;
  if (operation->kind == Kind::kReceive) {
    operation->state = OpState::kNew;
    receives_to_post.push_back(operation);
    return;
  }
  End(operation,
      FabricError(absl::StatusCode::kUnavailable,
                  absl::StrCat("connection lost while ", Doing(operation->kind)), error.err));
}

void LibfabricNet::Impl::Received(Operation* operation, uint64_t length_bytes) {
  ++counters.messages_received;
  operation->state = OpState::kNew;
  const uint64_t began_with = generation;
  if (receiver && length_bytes <= kMaxMessageBytes) {
    receiver(ConstBytes(static_cast<const std::byte*>(operation->data), length_bytes));
  }
  if (generation == began_with) PostReceive(operation);
}

void LibfabricNet::Impl::PostReceive(Operation* operation) {
  if (endpoint->ep() == nullptr || operation->state == OpState::kPosted) return;
  const ssize_t posted = fi_recv(endpoint->ep(), operation->data, operation->length_bytes,
                                 operation->memory->local_descriptor(), FI_ADDR_UNSPEC, operation);
  if (posted == 0) {
    operation->state = OpState::kPosted;
  } else {
    receives_to_post.push_back(operation);
  }
}

// --- Memory ---

absl::StatusOr<FabricMemory*> LibfabricNet::Impl::AddMemory(MutableBytes bytes,
                                                            MemoryAccess access) {
  if (bytes.empty()) return absl::InvalidArgumentError("no memory to register");
  if (endpoint->ep() == nullptr) return absl::UnavailableError("the endpoint is closed");
  auto added = std::make_unique<FabricMemory>();
  added->bytes = bytes;
  added->access = access;
  RETURN_IF_ERROR(endpoint->Register(*added));
  FabricMemory* const raw = added.get();
  memory.emplace(raw, std::move(added));
  if (access == MemoryAccess::kLocal) local_memory.emplace(bytes.data(), raw);
  return raw;
}

void LibfabricNet::Impl::RemoveMemory(FabricMemory* removed) {
  if (removed->access == MemoryAccess::kLocal) {
    const auto [begin, end] = local_memory.equal_range(removed->bytes.data());
    local_memory.erase(
        std::find_if(begin, end, [removed](const auto& each) { return each.second == removed; }));
  }
  memory.erase(removed);
}

FabricMemory* LibfabricNet::Impl::FindLocal(ConstBytes bytes) const {
  // Regions may nest, so the nearest beginning need not be the right one. There are few.
  auto after = local_memory.upper_bound(bytes.data());
  while (after != local_memory.begin()) {
    --after;
    const MutableBytes region = after->second->bytes;
    if (bytes.data() + bytes.size() <= region.data() + region.size()) return after->second;
  }
  return nullptr;
}

// --- Opening and closing ---

absl::Status LibfabricNet::Impl::OpenEndpoint() {
  RETURN_IF_ERROR(endpoint->Open());
  reactor.AddPoller(this);
  polled = true;
  for (const auto& [raw, each] : memory) RETURN_IF_ERROR(endpoint->Register(*each));
  for (auto& [address, entry] : addresses) {
    ASSIGN_OR_RETURN(entry.address, endpoint->InsertAddress(address));
  }
  return absl::OkStatus();
}

void LibfabricNet::Impl::CloseEndpoint() {
  ++generation;
  if (std::exchange(polled, false)) reactor.RemovePoller(this);
  // Most providers close the endpoint before its memory; those that bind memory to it, the other
  // way round.
  const bool memory_first = !endpoint->CloseEndpoint().ok();
  for (const auto& [raw, each] : memory) each->mr.reset();
  // What cannot be closed may go on writing to the callers' memory.
  if (memory_first) CAIRN_CHECK(endpoint->CloseEndpoint().ok());
  endpoint->CloseDomain();
  for (const auto& [id, peer] : peers) FailQueued(*peer, EndpointReset());
  for (const auto& [raw, peer] : removed_peers) FailQueued(*peer, EndpointReset());
  for (Operation& operation : slots) {
    if (operation.state == OpState::kPosted) End(&operation, EndpointReset());
  }
  receives_to_post.clear();
  for (Operation& receive : receives) receive.state = OpState::kNew;
  ArmRetryTimer();
}

// --- RMA and messages ---

Task<absl::Status> LibfabricNet::Impl::RmaPiece(Kind kind, Peer* peer, BulkDescriptor remote,
                                                uint64_t offset_bytes, MutableBytes local,
                                                Deadline deadline) {
  const uint64_t began_with = generation;
  const auto bytes = static_cast<int64_t>(local.size());
  if (kind == Kind::kWrite) {
    const absl::Status share = co_await peer->write_bytes.Acquire(bytes, deadline);
    CO_RETURN_IF_ERROR(share);
  }
  absl::Status result = co_await slots_left.Acquire(1, deadline);
  if (result.ok()) {
    Operation* const operation = NewOperation(kind, peer, deadline);
    operation->data = local.data();
    operation->length_bytes = local.size();
    operation->memory = FindLocal(local);
    operation->remote_address = remote.address + offset_bytes;
    operation->remote_key = remote.key;
    if (operation->memory == nullptr) {
      End(operation, absl::InvalidArgumentError("the local memory is not registered"));
    } else if (generation != began_with) {
      End(operation, EndpointReset());
    } else {
      Begin(operation);
    }
    // Also after the deadline: until then the NIC may work on `local`.
    co_await OperationAwaiter{*operation};
    result = operation->result;
    Free(operation);
  }
  if (kind == Kind::kWrite) peer->write_bytes.Release(bytes);
  if (result.ok() && deadline.HasPassed(reactor.clock())) {
    co_return absl::DeadlineExceededError("the peer was too slow");
  }
  co_return result;
}

Task<absl::Status> LibfabricNet::Impl::Rma(Kind kind, PeerId id, BulkDescriptor remote,
                                           uint64_t offset_bytes, MutableBytes local,
                                           Deadline deadline) {
  if (local.size() > remote.length_bytes || offset_bytes > remote.length_bytes - local.size()) {
    co_return absl::InvalidArgumentError("an RMA call beyond the end of the remote memory");
  }
  if (local.empty()) co_return absl::OkStatus();
  Peer* const peer = Find(id);
  if (peer == nullptr) co_return PeerUnknown();
  if (deadline.HasPassed(reactor.clock())) {
    co_return absl::DeadlineExceededError("the deadline passed before an RMA call");
  }
  ++peer->holds;
  const uint64_t piece_max = std::min<uint64_t>(kRmaBytesMax, endpoint->message_bytes_max());
  absl::Status result;
  if (local.size() <= piece_max) {
    result = co_await RmaPiece(kind, peer, remote, offset_bytes, local, deadline);
  } else {
    // As many as the caller's memory is long; a slab has a handful.
    std::vector<Task<absl::Status>> pieces;
    for (uint64_t at = 0; at < local.size(); at += piece_max) {
      const MutableBytes piece = local.subspan(at, std::min(piece_max, local.size() - at));
      pieces.push_back(RmaPiece(kind, peer, remote, offset_bytes + at, piece, deadline));
    }
    result = co_await WhenAllOk(std::move(pieces));
  }
  Release(peer);
  co_return result;
}

Task<absl::Status> LibfabricNet::Impl::SendHeld(Peer* peer, ConstBytes message, Deadline deadline) {
  const uint64_t began_with = generation;
  if (message.size() <= endpoint->inject_bytes() && peer->queue.empty() &&
      endpoint->ep() != nullptr) {
    const ssize_t injected =
        fi_inject(endpoint->ep(), message.data(), message.size(), peer->entry->address);
    if (injected == 0) {
      ++counters.messages_sent;
      co_return absl::OkStatus();
    }
    if (injected != -FI_EAGAIN) {
      co_return FabricError(absl::StatusCode::kUnavailable, Doing(Kind::kSend), injected);
    }
  }
  const auto footprint = static_cast<int64_t>(MessagePool::Footprint(message.size()));
  absl::Status room = co_await peer->send_bytes.Acquire(footprint, deadline);
  CO_RETURN_IF_ERROR(room);
  room = co_await send_bytes.Acquire(footprint, deadline);
  if (room.ok()) {
    room = co_await slots_left.Acquire(1, deadline);
    if (!room.ok()) send_bytes.Release(footprint);
  }
  if (!room.ok()) {
    peer->send_bytes.Release(footprint);
    co_return room;
  }
  absl::StatusOr<MessageBuffer> buffer = messages.Take(message.size());
  if (!buffer.ok() || generation != began_with) {
    if (buffer.ok()) messages.Give(*buffer);
    slots_left.Release(1);
    send_bytes.Release(footprint);
    peer->send_bytes.Release(footprint);
    co_return buffer.ok() ? EndpointReset() : buffer.status();
  }
  Operation* const operation = NewOperation(Kind::kSend, peer, deadline);
  operation->message = *buffer;
  operation->data = buffer->data;
  operation->memory = buffer->memory;
  operation->length_bytes = message.size();
  std::memcpy(buffer->data, message.data(), message.size());
  bool accepted = false;
  operation->accepted = &accepted;
  Begin(operation);
  if (!accepted) co_await OperationAwaiter{*operation};
  if (accepted) co_return absl::OkStatus();
  const absl::Status result = operation->result;
  Free(operation);
  co_return result;
}

// --- The interface ---

absl::StatusOr<std::unique_ptr<LibfabricNet>> LibfabricNet::Create(Reactor& reactor,
                                                                   Options options) {
  auto impl = std::make_unique<Impl>(reactor, std::move(options));
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<LibfabricNet>(new LibfabricNet(std::move(impl)));
}

LibfabricNet::LibfabricNet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

LibfabricNet::~LibfabricNet() = default;

LibfabricNet::Counters LibfabricNet::counters() const { return impl_->counters; }

const std::string& LibfabricNet::provider() const { return impl_->options.provider; }

const std::string& LibfabricNet::address() const { return impl_->endpoint->address(); }

absl::StatusOr<PeerId> LibfabricNet::AddPeer(std::string_view address) {
  const std::string key(address);
  if (impl_->endpoint->ep() == nullptr) return absl::UnavailableError("the endpoint is closed");
  auto found = impl_->addresses.find(key);
  if (found == impl_->addresses.end()) {
    ASSIGN_OR_RETURN(const fi_addr_t inserted, impl_->endpoint->InsertAddress(address));
    found = impl_->addresses.emplace(key, AddressEntry{inserted, 0}).first;
  }
  ++found->second.users;
  auto peer = std::make_unique<Peer>();
  peer->entry = &found->second;
  peer->address = key;
  const PeerId id(impl_->next_peer++);
  impl_->peers.emplace(id, std::move(peer));
  return id;
}

void LibfabricNet::RemovePeer(PeerId id) {
  const auto found = impl_->peers.find(id);
  if (found == impl_->peers.end()) return;
  std::unique_ptr<Peer> owned = std::move(found->second);
  impl_->peers.erase(found);
  Peer* const peer = owned.get();
  impl_->removed_peers.emplace(peer, std::move(owned));
  impl_->FailQueued(*peer, PeerUnknown());
  impl_->Release(peer);
}

void LibfabricNet::SetReceiver(Receiver receiver) { impl_->receiver = std::move(receiver); }

Task<absl::Status> LibfabricNet::Send(PeerId id, ConstBytes message, Deadline deadline) {
  if (message.size() > kMaxMessageBytes) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("a message of ", message.size(), " bytes is over ", kMaxMessageBytes));
  }
  Peer* const peer = impl_->Find(id);
  if (peer == nullptr) co_return PeerUnknown();
  if (deadline.HasPassed(impl_->reactor.clock())) {
    co_return absl::DeadlineExceededError("the deadline passed before a message was sent");
  }
  ++peer->holds;
  absl::Status sent = co_await impl_->SendHeld(peer, message, deadline);
  impl_->Release(peer);
  co_return sent;
}

absl::StatusOr<std::unique_ptr<MemoryRegion>> LibfabricNet::Register(MutableBytes memory,
                                                                     MemoryAccess access) {
  ASSIGN_OR_RETURN(FabricMemory* const added, impl_->AddMemory(memory, access));
  ++impl_->regions_given_out;
  return std::make_unique<Region>(added, [impl = impl_.get(), added] {
    --impl->regions_given_out;
    impl->RemoveMemory(added);
  });
}

Task<absl::Status> LibfabricNet::Read(PeerId peer, const BulkDescriptor& remote,
                                      uint64_t offset_bytes, MutableBytes local,
                                      Deadline deadline) {
  return impl_->Rma(Kind::kRead, peer, remote, offset_bytes, local, deadline);
}

Task<absl::Status> LibfabricNet::Write(PeerId peer, const BulkDescriptor& remote,
                                       uint64_t offset_bytes, ConstBytes local, Deadline deadline) {
  // libfabric takes the source of a write as a plain pointer; nothing writes to it.
  const MutableBytes source(const_cast<std::byte*>(local.data()), local.size());
  return impl_->Rma(Kind::kWrite, peer, remote, offset_bytes, source, deadline);
}

absl::Status LibfabricNet::Reset() {
  impl_->CloseEndpoint();
  RETURN_IF_ERROR(impl_->OpenEndpoint());
  for (Operation& receive : impl_->receives) impl_->PostReceive(&receive);
  return absl::OkStatus();
}

Task<absl::StatusOr<std::unique_ptr<ControlConnection>>> LibfabricNet::Dial(std::string host_port,
                                                                            std::string hello,
                                                                            Deadline deadline) {
  return impl_->control.Dial(std::move(host_port), std::move(hello), deadline);
}

absl::StatusOr<std::string> LibfabricNet::Listen(std::string_view host_port,
                                                 HelloHandler* handler) {
  return impl_->control.Listen(host_port, handler);
}

void LibfabricNet::StopListening() { impl_->control.StopListening(); }

Task<void> LibfabricNet::Stop() { return impl_->control.Stop(); }

std::string LibfabricNet::LocalAddressTowards(const std::string& host_port) {
  absl::StatusOr<HostPort> where = ParseHostPort(host_port);
  if (!where.ok()) return "";
  // Every resolver answers this one at once, but asking it could block.
  if (where->host == "localhost") where->host = "127.0.0.1";
  const auto addresses = ResolveHost(*where, NameLookup::kNumeric);
  return addresses.ok() ? SourceAddressTowards(addresses->front()) : "";
}

}  // namespace cairn
