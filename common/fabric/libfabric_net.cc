// Opening and closing of one endpoint, its memory, and the calls of the interface. How operations
// are posted and end is in libfabric_operations.cc.
#include "common/fabric/libfabric_net.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/fabric/host_port.h"
#include "common/fabric/libfabric_impl.h"
#include "common/fabric/socket.h"
#include "common/task/when_all.h"

namespace cairn {
namespace {

// Room for the completion of every slot and every receive buffer, so that the queue cannot overrun.
constexpr size_t kCompletionsMax = 2 * kOperationsMax;
// Larger transfers are cut: one operation of this size saturates a connection, and what is in
// flight stays bounded.
constexpr uint64_t kRmaBytesMax = 4 * kMiB;
static_assert(kRmaBytesMax <= kPeerWriteBytes, "a write must be able to get its share");

using Kind = Operation::Kind;
using OpState = Operation::State;

absl::Status EndpointReset() { return absl::UnavailableError("the endpoint was reset"); }

// Suspends until the operation is over; a send, until it is accepted.
struct OperationAwaiter {
  Operation& operation;
  bool await_ready() const { return operation.state == OpState::kDone; }
  void await_suspend(std::coroutine_handle<> waiter) { operation.waiter = waiter; }
  void await_resume() const {}
};

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
                                                       kCompletionsMax + options.receive_buffers,
                                                       options.socket_buffer_bytes));
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

// --- Memory ---

absl::StatusOr<FabricMemory*> LibfabricNet::Impl::AddMemory(MutableBytes bytes,
                                                            MemoryAccess access) {
  if (bytes.empty()) return absl::InvalidArgumentError("no memory to register");
  auto added = std::make_unique<FabricMemory>();
  added->bytes = bytes;
  added->access = access;
  // While it is closed there is nothing to register with; opening registers all there is.
  if (endpoint->ep() != nullptr) RETURN_IF_ERROR(endpoint->Register(*added));
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
  own_in_child.emplace(endpoint->address());
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
  own_in_child.reset();
  for (const auto& [id, peer] : peers) FailQueued(*peer, EndpointReset());
  for (const auto& [raw, peer] : removed_peers) FailQueued(*peer, EndpointReset());
  for (Operation& operation : slots) {
    if (operation.state == OpState::kPosted) End(&operation, EndpointReset());
  }
  receives_to_post.clear();
  receives_to_post_later.clear();
  if (receive_timer != 0) reactor.CancelTimer(std::exchange(receive_timer, 0));
  if (overdue_timer != 0) reactor.CancelTimer(std::exchange(overdue_timer, 0));
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
      ArmOverdueTimer();
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
  if (peer == nullptr) co_return PeerRemoved();
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
    found = impl_->addresses.try_emplace(key, key).first;
    found->second.address = inserted;
  }
  ++found->second.users;
  const PeerId id(impl_->next_peer++);
  auto peer = std::make_unique<Peer>();
  peer->id = id;
  peer->entry = &found->second;
  peer->address = key;
  // Looking for sockets costs time with their number. Whoever has more peers than this is a node,
  // and clients connect to it, not it to them.
  constexpr size_t kTunedPeersMax = 64;
  if (impl_->peers.size() < kTunedPeersMax && impl_->endpoint->HasSameHostOptions(address))
    impl_->untuned.push_back(key);
  impl_->peers.emplace(id, std::move(peer));
  return id;
}

void LibfabricNet::RemovePeer(PeerId id) {
  const auto found = impl_->peers.find(id);
  if (found == impl_->peers.end()) return;
  std::unique_ptr<Peer> owned = std::move(found->second);
  impl_->peers.erase(found);
  Peer* const peer = owned.get();
  peer->removed = true;
  impl_->removed_peers.emplace(peer, std::move(owned));
  impl_->FailQueued(*peer, PeerRemoved());
  impl_->Release(peer);
}

void LibfabricNet::SetReceiver(Receiver receiver) { impl_->receiver = std::move(receiver); }
void LibfabricNet::SetPeerLost(PeerLost lost) { impl_->peer_lost = std::move(lost); }

Task<absl::Status> LibfabricNet::Send(PeerId id, ConstBytes message, Deadline deadline) {
  if (message.size() > kMaxMessageBytes) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("a message of ", message.size(), " bytes is over ", kMaxMessageBytes));
  }
  Peer* const peer = impl_->Find(id);
  if (peer == nullptr) co_return PeerRemoved();
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
  if (absl::Status opened = impl_->OpenEndpoint(); !opened.ok()) {
    // An endpoint without its memory or its peers would look open and answer nobody.
    impl_->CloseEndpoint();
    return opened;
  }
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
  const absl::StatusOr<HostPort> where = ParseHostPort(host_port);
  if (!where.ok()) return "";
  const auto addresses = ResolveHost(*where, NameLookup::kBlocking);
  if (!addresses.ok()) return "";
  // A fabric is of one family, and a node that was not told otherwise has it on IPv4: where a name
  // has both kinds, that is the better guess.
  std::string fallback;
  for (const SocketAddress& address : *addresses) {
    const std::string source = SourceAddressTowards(address);
    if (source.empty()) continue;
    if (address.storage.ss_family == AF_INET) return source;
    if (fallback.empty()) fallback = source;
  }
  return fallback;
}

}  // namespace cairn
