// Posting, retries and completions of one endpoint. A post that the provider answers with EAGAIN
// waits in its peer's queue and is tried again when the completion queue moves and at growing
// intervals, until its own deadline: to a dead peer, providers say EAGAIN for ever. Any error of an
// RMA means that the connection is lost.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/fabric/libfabric_impl.h"

namespace cairn {
namespace {

// Completions taken at once: enough to make a read cheap, few enough to let coroutines run in
// between.
constexpr size_t kCompletionsPerPoll = 32;

// A connection takes a few looks at the queue to come up: so many retries are free. Then the
// provider is left alone for a while, because every retry to a dead peer is a connection attempt.
constexpr int kFreeRounds = 8;
constexpr absl::Duration kFirstBackoff = absl::Microseconds(250);
constexpr absl::Duration kLastBackoff = absl::Milliseconds(16);

// An error of a receive may come again at once: without a pause it would keep the core busy. The
// other buffers serve meanwhile.
constexpr absl::Duration kReceivePause = absl::Milliseconds(10);

// Looks for transfers that are overdue, per patience with them.
constexpr int kOverdueLooks = 4;

using Kind = Operation::Kind;
using OpState = Operation::State;

}  // namespace

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
  // While it waited for room.
  if (peer.removed) {
    End(operation, PeerRemoved());
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
    End(operation, absl::UnavailableError("too many operations wait for one peer"));
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

// --- Overdue transfers ---

void LibfabricNet::Impl::ArmOverdueTimer() {
  if (overdue_timer != 0 || !endpoint->NeedsPeerProcess()) return;
  overdue_timer =
      reactor.AddTimer(reactor.clock().Now() + options.overdue_patience / kOverdueLooks, [this] {
        overdue_timer = 0;
        EndOverdue();
      });
}

void LibfabricNet::Impl::EndOverdue() {
  const MonoTime now = reactor.clock().Now();
  bool under_way = false;
  absl::flat_hash_set<std::string> stalled;
  for (const Operation& operation : slots) {
    const bool rma = operation.kind == Kind::kRead || operation.kind == Kind::kWrite;
    if (!rma || operation.state != OpState::kPosted) continue;
    under_way = true;
    if (operation.deadline.at() + options.overdue_patience <= now)
      stalled.insert(operation.peer->address);
  }
  // The provider reports the transfers' failure like that of any lost connection.
  for (const std::string& address : stalled)
    endpoint->EndIdleConnections(address, options.overdue_patience);
  if (under_way) ArmOverdueTimer();
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
    PostReceiveLater(operation);
    return;
  }
  // Nobody waits for the end of a message any more, but somebody may for its answer.
  const PeerId lost = operation->peer->id;
  const bool unheard = operation->detached && peers.contains(lost);
  End(operation,
      FabricError(absl::StatusCode::kUnavailable,
                  absl::StrCat("connection lost while ", Doing(operation->kind)), error.err));
  if (unheard && peer_lost) peer_lost(lost);
}

void LibfabricNet::Impl::Received(Operation* operation, uint64_t length_bytes) {
  ++counters.messages_received;
  operation->state = OpState::kNew;
  // The connections that answers come on are there now.
  for (const std::string& address : std::exchange(untuned, {}))
    endpoint->SetSameHostOptions(address);
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
  } else if (posted == -FI_EAGAIN) {
    receives_to_post.push_back(operation);
  } else {
    PostReceiveLater(operation);
  }
}

void LibfabricNet::Impl::PostReceiveLater(Operation* operation) {
  receives_to_post_later.push_back(operation);
  if (receive_timer != 0) return;
  receive_timer = reactor.AddTimer(reactor.clock().Now() + kReceivePause, [this] {
    receive_timer = 0;
    for (Operation* receive : std::exchange(receives_to_post_later, {})) PostReceive(receive);
  });
}

}  // namespace cairn
