// Delivery, transfers and control connections of the simulated network. Everything that completes
// something runs as a timer of the executor, so that the functions that inject faults can also be
// called outside of a run.
#include "tests/sim/sim_net.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace cairn {

// An RMA call under way, or a send that waits for a peer which does not exist.
struct SimFabric::Transfer {
  enum class Kind { kRead, kWrite, kSend };
  Kind kind = Kind::kSend;
  SimNet* initiator = nullptr;
  std::string from;  // the initiator's process
  std::string address;
  uint64_t peer = 0;  // of a message that waits for its connection
  uint64_t key = 0;
  uint64_t remote_address = 0;
  MutableBytes local;
  bool broken = false;
  bool ended = false;
  absl::Status result;
  Event done;
};

struct SimFabric::Listener {
  SimNet* net;
  HelloHandler* handler;
};

// A control connection: side 0 dialed, side 1 listened.
struct SimFabric::Link {
  std::string process[2];
  std::string hello[2];  // what each side heard
  bool closing[2] = {false, false};
  Event closed[2];
};

class SimControl final : public ControlConnection {
 public:
  SimControl(SimFabric& fabric, std::shared_ptr<SimFabric::Link> link, int side)
      : fabric_(fabric), link_(std::move(link)), side_(side) {}
  ~SimControl() override { HangUp(); }
  const std::string& hello() const override { return link_->hello[side_]; }
  Event& closed() override { return link_->closed[side_]; }
  void HangUp() override {
    if (link_->closing[side_]) return;
    Close(fabric_, link_, side_, absl::ZeroDuration());
    const bool heard = fabric_.Reaches(link_->process[side_], link_->process[1 - side_]);
    Close(fabric_, link_, 1 - side_, heard ? fabric_.Latency() : SimFabric::kKeepAlive);
  }

  static void Close(SimFabric& fabric, const std::shared_ptr<SimFabric::Link>& link, int side,
                    absl::Duration delay) {
    if (delay == absl::ZeroDuration()) link->closing[side] = true;
    fabric.After(delay, [link, side] {
      link->closing[side] = true;
      link->closed[side].Set();
    });
  }

 private:
  SimFabric& fabric_;
  std::shared_ptr<SimFabric::Link> link_;
  const int side_;
};

class SimNet::Region final : public MemoryRegion {
 public:
  Region(SimNet& net, MutableBytes memory, MemoryAccess access)
      : net_(net), memory_(memory), access_(access) {
    net_.regions_.insert(this);
    NewKey();
  }
  ~Region() override { net_.regions_.erase(this); }
  void NewKey() {
    key_ = net_.fabric_.next_key_++;
    // An arbitrary address, as of a provider that wants pointers; offsets are checked against it.
    address_ = key_ << 32;
  }
  BulkDescriptor descriptor() const override {
    CAIRN_CHECK(access_ != MemoryAccess::kLocal);
    return {key_, address_, memory_.size()};
  }
  uint64_t key() const { return key_; }
  MutableBytes memory() const { return memory_; }
  MemoryAccess access() const { return access_; }
  // The memory at `address`, or nothing when the range is not all inside.
  MutableBytes At(uint64_t address, size_t length) const {
    if (address < address_ || length > memory_.size()) return {};
    const uint64_t offset = address - address_;
    return offset > memory_.size() - length ? MutableBytes() : memory_.subspan(offset, length);
  }

 private:
  SimNet& net_;
  MutableBytes memory_;
  MemoryAccess access_;
  uint64_t key_ = 0;
  uint64_t address_ = 0;
};

namespace {

struct SleepAwaiter {
  Executor& executor;
  absl::Duration duration;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    executor.AddTimer(executor.clock().Now() + duration, [this, waiter] { executor.Post(waiter); });
  }
  void await_resume() const {}
};

}  // namespace

SimFabric::SimFabric(SimExecutor& executor) : executor_(executor) {}

SimFabric::~SimFabric() { CAIRN_CHECK(nets_.empty()); }

std::unique_ptr<SimNet> SimFabric::MakeNet(std::string process) {
  return std::unique_ptr<SimNet>(new SimNet(*this, std::move(process)));
}

absl::Duration SimFabric::Latency() {
  const auto range = absl::ToInt64Nanoseconds(faults_.latency_max - faults_.latency_min);
  return faults_.latency_min +
         absl::Nanoseconds(executor_.random().Below(static_cast<uint64_t>(range) + 1));
}

bool SimFabric::Happens(uint32_t per_mille) {
  return per_mille > 0 && executor_.random().Below(1000) < per_mille;
}

void SimFabric::After(absl::Duration delay, absl::AnyInvocable<void()> function) {
  executor_.AddTimer(executor_.clock().Now() + delay, std::move(function));
}

bool SimFabric::Reaches(const std::string& from, const std::string& to) const {
  return !cuts_.contains({from, to});
}

SimNet* SimFabric::FindEndpoint(const std::string& address) const {
  const auto found = endpoints_.find(address);
  return found == endpoints_.end() ? nullptr : found->second;
}

// --- Faults ---

void SimFabric::Cut(const std::string& from, const std::string& to) {
  cuts_.insert({from, to});
  After(kKeepAlive, [this] { CheckLinks(); });
}

void SimFabric::Heal(const std::string& from, const std::string& to) {
  cuts_.erase({from, to});
  RetryStalled();
}

void SimFabric::Freeze(const std::string& process) { frozen_.insert(process); }

void SimFabric::Thaw(const std::string& process) {
  frozen_.erase(process);
  RetryStalled();
}

void SimFabric::Kill(const std::string& process) {
  for (SimNet* net : nets_) {
    if (net->process_ != process || net->dead_) continue;
    net->dead_ = true;
    net->ReleaseAddress();
    net->StopListening();
  }
  frozen_.erase(process);
  CloseLinks(process, Latency());
  RetryStalled();
}

void SimFabric::RetryStalled() {
  for (absl::AnyInvocable<void()>& retry : std::exchange(stalled_, {})) {
    After(Latency(), std::move(retry));
  }
}

void SimFabric::CloseLinks(const std::string& process, absl::Duration delay) {
  for (const std::weak_ptr<Link>& each : links_) {
    const std::shared_ptr<Link> link = each.lock();
    if (link == nullptr) continue;
    for (int side = 0; side < 2; ++side) {
      if (link->process[side] != process) continue;
      SimControl::Close(*this, link, side, absl::ZeroDuration());
      SimControl::Close(*this, link, 1 - side, delay);
    }
  }
}

void SimFabric::CheckLinks() {
  std::erase_if(links_, [](const std::weak_ptr<Link>& link) { return link.expired(); });
  for (const std::weak_ptr<Link>& each : links_) {
    const std::shared_ptr<Link> link = each.lock();
    if (Reaches(link->process[0], link->process[1]) &&
        Reaches(link->process[1], link->process[0])) {
      continue;
    }
    for (int side = 0; side < 2; ++side) SimControl::Close(*this, link, side, absl::ZeroDuration());
  }
}

// --- Messages ---

void SimFabric::DeliverMessage(std::string from, std::string address, std::string message) {
  SimNet* const target = FindEndpoint(address);
  if (target == nullptr || !Reaches(from, target->process_)) {
    ++messages_lost_;
    return;
  }
  if (frozen_.contains(target->process_)) {
    stalled_.push_back([this, from = std::move(from), address = std::move(address),
                        message = std::move(message)]() mutable {
      DeliverMessage(std::move(from), std::move(address), std::move(message));
    });
    return;
  }
  if (TakesDetour(from, address, target->process_, &message)) return;
  ++messages_delivered_;
  if (target->receiver_) target->receiver_(std::as_bytes(std::span(message)));
}

bool SimFabric::TakesDetour(const std::string& from, const std::string& address,
                            const std::string& process, std::string* message) {
  const auto found = detours_.find(process);
  if (found == detours_.end() || found->second == nullptr) return false;
  const absl::Duration more = found->second(std::as_bytes(std::span(*message)));
  if (more == absl::ZeroDuration()) return false;
  if (more == absl::InfiniteDuration()) {
    ++messages_lost_;
    return true;
  }
  After(more, [this, from, address, message = std::move(*message)] {
    SimNet* const target = FindEndpoint(address);
    const bool arrives = target != nullptr && Reaches(from, target->process_) && target->receiver_;
    ++(arrives ? messages_delivered_ : messages_lost_);
    if (arrives) target->receiver_(std::as_bytes(std::span(message)));
  });
  return true;
}

Task<absl::Status> SimNet::Send(PeerId peer, ConstBytes message, Deadline deadline) {
  if (message.size() > kMaxMessageBytes) co_return absl::InvalidArgumentError("message too long");
  const auto found = peers_.find(peer.value());
  if (found == peers_.end()) co_return absl::UnavailableError("the peer was removed");
  CO_RETURN_IF_ERROR(Usable());
  if (deadline.HasPassed(fabric_.executor().clock())) {
    co_return absl::DeadlineExceededError("the deadline passed before a message was sent");
  }
  const std::string address = found->second;
  if (fabric_.FindEndpoint(address) == nullptr) {
    // As real providers: no error, no connection, until the caller's deadline.
    auto waiting = std::make_shared<SimFabric::Transfer>();
    waiting->initiator = this;
    waiting->address = address;
    waiting->peer = peer.value();
    const absl::Duration patience =
        std::min(deadline.Remaining(fabric_.executor().clock()), SimFabric::kConnectionTimeout);
    fabric_.transfers_.push_back(waiting);
    fabric_.After(patience, [waiting] {
      if (waiting->ended) return;
      waiting->ended = true;
      waiting->result = absl::DeadlineExceededError("the peer took no connection in time");
      waiting->done.Set();
    });
    co_await waiting->done;
    fabric_.transfers_.remove(waiting);
    co_return waiting->result;
  }
  std::string copy(reinterpret_cast<const char*>(message.data()), message.size());
  if (fabric_.Happens(fabric_.faults_.lost_per_mille)) {
    ++fabric_.messages_lost_;
    co_return absl::OkStatus();
  }
  const int times = fabric_.Happens(fabric_.faults_.duplicated_per_mille) ? 2 : 1;
  fabric_.messages_duplicated_ += times - 1;
  for (int i = 0; i < times; ++i) {
    absl::Duration delay = fabric_.Latency();
    if (!fabric_.faults_.reorder) {
      MonoTime& last = fabric_.last_delivery_[{address_, address}];
      last = std::max(last + absl::Nanoseconds(1), fabric_.executor().clock().Now() + delay);
      delay = last - fabric_.executor().clock().Now();
    }
    const SimNet* target = fabric_.FindEndpoint(address);
    if (target != nullptr) {
      const auto slow = fabric_.delays_.find({process_, target->process_});
      if (slow != fabric_.delays_.end()) delay += slow->second;
    }
    fabric_.After(delay, [fabric = &fabric_, from = process_, address, copy] {
      fabric->DeliverMessage(from, address, copy);
    });
  }
  co_return absl::OkStatus();
}

// --- Transfers ---

void SimFabric::StartTransfer(std::shared_ptr<Transfer> transfer) {
  transfers_.push_back(transfer);
  transfer->broken = Happens(faults_.broken_rma_per_mille);
  const auto seconds =
      static_cast<double>(transfer->local.size()) / static_cast<double>(faults_.bytes_per_second);
  After(Latency() + absl::Seconds(seconds), [this, transfer] { StepTransfer(transfer); });
  After(kConnectionTimeout, [this, transfer] {
    SimNet* const target = FindEndpoint(transfer->address);
    if (transfer->ended || target == nullptr) return;
    if (Reaches(transfer->from, target->process_) && Reaches(target->process_, transfer->from))
      return;
    transfer->ended = true;
    transfer->result = absl::UnavailableError("the connection timed out");
    transfer->done.Set();
  });
}

void SimFabric::StepTransfer(std::shared_ptr<Transfer> transfer) {
  if (transfer->ended) return;
  Transfer& moving = *transfer;
  SimNet* const target = FindEndpoint(moving.address);
  if (target != nullptr &&
      (frozen_.contains(target->process_) || frozen_.contains(moving.from) ||
       !Reaches(moving.from, target->process_) || !Reaches(target->process_, moving.from))) {
    stalled_.push_back([this, transfer] { StepTransfer(transfer); });
    return;
  }
  const bool read = moving.kind == Transfer::Kind::kRead;
  SimNet::Region* const region = target == nullptr ? nullptr : target->FindRegion(moving.key);
  MutableBytes remote;
  if (region != nullptr &&
      region->access() == (read ? MemoryAccess::kRemoteRead : MemoryAccess::kRemoteWrite)) {
    remote = region->At(moving.remote_address, moving.local.size());
  }
  const MutableBytes destination = read ? moving.local : remote;
  if (remote.empty() || moving.broken) {
    // What a failed transfer leaves behind is undefined: make sure that nobody relies on it.
    const size_t spoiled =
        destination.empty() ? 0 : executor_.random().Below(destination.size() + 1);
    std::fill_n(destination.begin(), spoiled, std::byte{0xbd});
    // The whole connection breaks, with everything on it.
    FailTransfers(moving.initiator, moving.address);
    return;
  }
  std::memcpy(destination.data(), (read ? remote : moving.local).data(), destination.size());
  After(Latency(), [transfer] {
    if (transfer->ended) return;
    transfer->ended = true;
    transfer->done.Set();
  });
}

void SimFabric::FailTransfers(SimNet* initiator, const std::string& address) {
  for (const std::shared_ptr<Transfer>& transfer : transfers_) {
    if (transfer->ended || transfer->initiator != initiator) continue;
    if (!address.empty() && transfer->address != address) continue;
    transfer->ended = true;
    transfer->result = absl::UnavailableError("the connection was lost");
    After(absl::ZeroDuration(), [transfer] { transfer->done.Set(); });
  }
}

Task<absl::Status> SimNet::Rma(bool read, PeerId peer, BulkDescriptor remote, uint64_t offset_bytes,
                               MutableBytes local, Deadline deadline) {
  if (local.size() > remote.length_bytes || offset_bytes > remote.length_bytes - local.size()) {
    co_return absl::InvalidArgumentError("an RMA call beyond the end of the remote memory");
  }
  if (local.empty()) co_return absl::OkStatus();
  if (!IsLocal(local)) co_return absl::InvalidArgumentError("the local memory is not registered");
  const auto found = peers_.find(peer.value());
  if (found == peers_.end()) co_return absl::UnavailableError("the peer was removed");
  CO_RETURN_IF_ERROR(Usable());
  if (deadline.HasPassed(fabric_.executor().clock())) {
    co_return absl::DeadlineExceededError("the deadline passed before an RMA call");
  }
  auto transfer = std::make_shared<SimFabric::Transfer>();
  transfer->kind = read ? SimFabric::Transfer::Kind::kRead : SimFabric::Transfer::Kind::kWrite;
  transfer->initiator = this;
  transfer->from = process_;
  transfer->address = found->second;
  transfer->key = remote.key;
  transfer->remote_address = remote.address + offset_bytes;
  transfer->local = local;
  fabric_.StartTransfer(transfer);
  co_await transfer->done;
  fabric_.transfers_.remove(transfer);
  if (transfer->result.ok() && deadline.HasPassed(fabric_.executor().clock())) {
    co_return absl::DeadlineExceededError("the peer was too slow");
  }
  co_return transfer->result;
}

Task<absl::Status> SimNet::Read(PeerId peer, const BulkDescriptor& remote, uint64_t offset_bytes,
                                MutableBytes local, Deadline deadline) {
  return Rma(true, peer, remote, offset_bytes, local, deadline);
}

Task<absl::Status> SimNet::Write(PeerId peer, const BulkDescriptor& remote, uint64_t offset_bytes,
                                 ConstBytes local, Deadline deadline) {
  const MutableBytes source(const_cast<std::byte*>(local.data()), local.size());
  return Rma(false, peer, remote, offset_bytes, source, deadline);
}

// --- Endpoints ---

SimNet::SimNet(SimFabric& fabric, std::string process)
    : fabric_(fabric), process_(std::move(process)) {
  fabric_.nets_.insert(this);
  TakeAddress();
}

SimNet::~SimNet() {
  CAIRN_CHECK(regions_.empty());
  StopListening();
  ReleaseAddress();
  fabric_.nets_.erase(this);
}

void SimNet::TakeAddress() {
  address_ = absl::StrCat("sim:", process_, ":", fabric_.next_endpoint_++);
  fabric_.endpoints_.emplace(address_, this);
}

// Nothing reaches the old address any more, and nothing goes on that began there.
void SimNet::ReleaseAddress() {
  fabric_.endpoints_.erase(address_);
  fabric_.FailTransfers(this, "");
  fabric_.RetryStalled();
}

absl::Status SimNet::Usable() const {
  if (dead_) return absl::UnavailableError("this process was killed");
  if (closed_) return absl::UnavailableError("the endpoint is closed");
  return absl::OkStatus();
}

absl::StatusOr<PeerId> SimNet::AddPeer(std::string_view address) {
  if (closed_) return absl::UnavailableError("the endpoint is closed");
  if (!address.starts_with("sim:")) return absl::InvalidArgumentError("not a simulated address");
  const uint64_t id = next_peer_++;
  peers_.emplace(id, address);
  return PeerId(id);
}

void SimNet::LosePeer(const std::string& address) {
  // A copy: whoever is told may remove peers.
  const std::map<uint64_t, std::string> peers = peers_;
  for (const auto& [id, each] : peers) {
    if (each == address && peer_lost_) peer_lost_(PeerId(id));
  }
}

void SimNet::RemovePeer(PeerId peer) {
  peers_.erase(peer.value());
  for (const std::shared_ptr<SimFabric::Transfer>& transfer : fabric_.transfers_) {
    if (transfer->ended || transfer->initiator != this || transfer->peer != peer.value()) continue;
    transfer->ended = true;
    transfer->result = absl::UnavailableError("the peer was removed");
    fabric_.After(absl::ZeroDuration(), [transfer] { transfer->done.Set(); });
  }
}

absl::StatusOr<std::unique_ptr<MemoryRegion>> SimNet::Register(MutableBytes memory,
                                                               MemoryAccess access) {
  if (memory.empty()) return absl::InvalidArgumentError("no memory to register");
  return std::make_unique<Region>(*this, memory, access);
}

SimNet::Region* SimNet::FindRegion(uint64_t key) const {
  const auto found = std::find_if(regions_.begin(), regions_.end(),
                                  [key](const Region* region) { return region->key() == key; });
  return found == regions_.end() ? nullptr : *found;
}

bool SimNet::IsLocal(ConstBytes bytes) const {
  return std::any_of(regions_.begin(), regions_.end(), [bytes](const Region* region) {
    const MutableBytes memory = region->memory();
    return region->access() == MemoryAccess::kLocal && bytes.data() >= memory.data() &&
           bytes.data() + bytes.size() <= memory.data() + memory.size();
  });
}

absl::Status SimNet::Reset() {
  if (dead_) return absl::UnavailableError("this process was killed");
  ReleaseAddress();
  for (Region* region : regions_) region->NewKey();
  int& failing = fabric_.failing_resets_[process_];
  closed_ = failing > 0;
  if (closed_) {
    --failing;
    return absl::UnavailableError("planted: too many open files");
  }
  TakeAddress();
  return absl::OkStatus();
}

// --- Control connections ---

Task<absl::StatusOr<std::unique_ptr<ControlConnection>>> SimNet::Dial(std::string host_port,
                                                                      std::string hello,
                                                                      Deadline deadline) {
  SimExecutor& executor = fabric_.executor();
  if (hello.size() > kMaxHelloBytes) co_return absl::InvalidArgumentError("the hello is too long");
  if (dead_) co_return absl::UnavailableError("this process was killed");
  co_await SleepAwaiter{executor, fabric_.Latency()};
  const auto found = fabric_.listeners_.find(host_port);
  if (found == fabric_.listeners_.end()) {
    co_return absl::UnavailableError(absl::StrCat(host_port, ": connection refused"));
  }
  const std::string server = found->second.net->process_;
  if (!fabric_.Reaches(process_, server) || !fabric_.Reaches(server, process_) ||
      fabric_.frozen_.contains(server)) {
    const absl::Duration patience =
        std::min(deadline.Remaining(executor.clock()), SimFabric::kConnectionTimeout);
    co_await SleepAwaiter{executor, patience};
    co_return absl::DeadlineExceededError(absl::StrCat("no hello from ", host_port, " in time"));
  }
  HelloHandler* const handler = found->second.handler;
  absl::StatusOr<std::string> reply = handler->OnHello(hello, process_);
  if (reply.ok()) {
    auto link = std::make_shared<SimFabric::Link>();
    link->process[0] = process_;
    link->process[1] = server;
    link->hello[0] = *reply;
    link->hello[1] = hello;
    fabric_.links_.push_back(link);
    auto control = std::make_unique<SimControl>(fabric_, link, 0);
    handler->OnConnected(std::make_unique<SimControl>(fabric_, link, 1), *reply);
    co_await SleepAwaiter{executor, fabric_.Latency()};
    if (link->closing[1]) co_return absl::UnavailableError("the other side hung up in its hello");
    co_return control;
  }
  co_await SleepAwaiter{executor, fabric_.Latency()};
  co_return absl::Status(reply.status().code(),
                         absl::StrCat(host_port, ": ", reply.status().message()));
}

absl::StatusOr<std::string> SimNet::Listen(std::string_view host_port, HelloHandler* handler) {
  std::string name(host_port);
  if (name.ends_with(":0")) {
    name = absl::StrCat(name.substr(0, name.size() - 1), fabric_.next_port_++);
  }
  if (!fabric_.listeners_.emplace(name, SimFabric::Listener{this, handler}).second) {
    return absl::UnavailableError(absl::StrCat(name, " is taken"));
  }
  return name;
}

void SimNet::StopListening() {
  std::erase_if(fabric_.listeners_, [this](const auto& each) { return each.second.net == this; });
}

Task<void> SimNet::Stop() {
  StopListening();
  fabric_.CloseLinks(process_, fabric_.Latency());
  co_return;
}

}  // namespace cairn
