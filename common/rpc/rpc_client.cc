// Calls and their replies. A call is an entry in the pending map, keyed by a number that its reply
// repeats; it ends by the reply, by its deadline, by the loss of its connection or by the stop of
// the client, whatever comes first. A call whose bulk memory a node may still reach resets the
// endpoint on its way out.
#include "common/rpc/rpc_client.h"

#include <algorithm>
#include <coroutine>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/rpc/frame.h"
#include "common/rpc/session_table.h"
#include "common/task/scope.h"

namespace cairn {
namespace {

// What a node may spend of `left`. It has to answer before the caller gives up: an answer, even
// DEADLINE_EXCEEDED, leaves the endpoint alone, while silence costs a bulk call its endpoint and
// with it every other call. A tenth covers the way and a busy reactor on either side; half a second
// is more than a stall of one; 5 s more than anything that lets a node answer at all. Callers who
// give less than a second share it.
absl::Duration NodesShare(absl::Duration left) {
  const absl::Duration margin = std::clamp(left / 10, absl::Milliseconds(500), absl::Seconds(5));
  return left - std::min(margin, left / 2);
}

// One call under way. Lives in the frame of CallRaw().
struct PendingCall {
  NodeConnection::Impl* connection;
  std::coroutine_handle<> waiter;
  // Set once, by whatever ends the call.
  std::optional<absl::StatusOr<std::string>> outcome;
  // The node has answered: it is done with the caller's memory.
  bool answered = false;
  MonoTime began;

  void End(absl::StatusOr<std::string> result) {
    if (outcome.has_value()) return;
    outcome.emplace(std::move(result));
    if (waiter) Executor::Current().Post(std::exchange(waiter, nullptr));
  }
};

struct OutcomeAwaiter {
  PendingCall& call;
  bool await_ready() const { return call.outcome.has_value(); }
  void await_suspend(std::coroutine_handle<> waiter) { call.waiter = waiter; }
  void await_resume() const {}
};

}  // namespace

struct NodeConnection::Impl {
  Impl(RpcClient::Impl& client_in, std::string host_port_in, wire::HelloReply hello_in)
      : client(client_in),
        host_port(std::move(host_port_in)),
        hello(std::move(hello_in)),
        map_version(hello.map_version()),
        window_units(std::max<uint32_t>(1, hello.credits())),
        window(window_units) {}

  void SetCredits(uint32_t credits);
  void Lose(const absl::Status& reason);

  RpcClient::Impl& client;
  const std::string host_port;
  const wire::HelloReply hello;
  std::vector<PeerId> cores;
  std::unique_ptr<ControlConnection> control;
  bool lost = false;
  uint64_t map_version;
  MonoTime heard_at;  // a reply, last
  int64_t window_units;
  Semaphore window;
};

struct RpcClient::Impl {
  Impl(Net& net_in, Random& random_in, std::string name_in)
      : net(net_in),
        random(random_in),
        name(std::move(name_in)),
        incarnation(random.Next()),
        next_call(random.Next()) {}

  void Reset();
  void PeerLost(PeerId peer);
  std::string Hello(const std::string& expected_cluster_id) const;
  absl::StatusOr<wire::HelloReply> CheckHello(const std::string& hello,
                                              const std::string& host_port,
                                              const std::string& expected_cluster_id) const;
  absl::StatusOr<std::shared_ptr<NodeConnection::Impl>> Open(
      std::unique_ptr<ControlConnection> control, std::string host_port, wire::HelloReply hello);
  static Task<void> Watch(std::shared_ptr<NodeConnection::Impl> connection);
  wire::RequestHeader HeaderOf(const NodeConnection::Impl& connection, wire::Method method,
                               const CallOptions& options) const;
  Task<absl::StatusOr<std::string>> Call(std::shared_ptr<NodeConnection::Impl> connection,
                                         uint32_t core, wire::Method method, std::string request,
                                         CallOptions options);
  Task<void> Exchange(PendingCall& call, uint64_t id, PeerId peer, const std::string& frame,
                      Deadline deadline);

  Net& net;
  Random& random;
  const std::string name;
  uint64_t incarnation;
  uint64_t next_call;
  // Counts endpoints: a call that began on an older one has nothing left to protect.
  uint64_t generation = 0;
  // Of the last reset. Not OK: there is no endpoint.
  absl::Status endpoint_state;
  bool stopping = false;
  absl::flat_hash_map<uint64_t, PendingCall*> pending;
  absl::flat_hash_set<NodeConnection::Impl*> connections;
  size_t calls_running = 0;
  Event idle;
  Scope scope;
};

// --- Connections ---

void NodeConnection::Impl::SetCredits(uint32_t credits) {
  const int64_t units = std::max<uint32_t>(1, credits);
  if (units > window_units) window.Release(units - window_units);
  if (units < window_units) window.Shrink(window_units - units);
  window_units = units;
}

void NodeConnection::Impl::Lose(const absl::Status& reason) {
  if (std::exchange(lost, true)) return;
  client.connections.erase(this);
  control->HangUp();
  for (const PeerId peer : cores) client.net.RemovePeer(peer);
  for (const auto& [id, call] : client.pending) {
    if (call->connection == this) call->End(reason);
  }
}

Task<void> RpcClient::Impl::Watch(std::shared_ptr<NodeConnection::Impl> connection) {
  co_await connection->control->closed();
  connection->Lose(
      absl::UnavailableError(absl::StrCat(connection->host_port, ": the connection was lost")));
}

std::string RpcClient::Impl::Hello(const std::string& expected_cluster_id) const {
  wire::HelloRequest hello;
  hello.set_protocol_version(kProtocolVersion);
  hello.set_software_version(CAIRN_VERSION);
  hello.set_provider(net.provider());
  hello.set_client_address(net.address());
  hello.set_client_incarnation(incarnation);
  hello.set_client_name(name);
  hello.set_expected_cluster_id(expected_cluster_id);
  return hello.SerializeAsString();
}

absl::StatusOr<wire::HelloReply> RpcClient::Impl::CheckHello(
    const std::string& hello, const std::string& host_port,
    const std::string& expected_cluster_id) const {
  wire::HelloReply reply;
  if (!reply.ParseFromString(hello)) {
    return absl::FailedPreconditionError(absl::StrCat(host_port, ": the hello is unreadable"));
  }
  if (reply.protocol_version() != kProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat(host_port, " speaks protocol version ",
                                                      reply.protocol_version(), ", this client ",
                                                      kProtocolVersion));
  }
  if (reply.provider() != net.provider()) {
    return absl::FailedPreconditionError(absl::StrCat(host_port, " is on the fabric \"",
                                                      reply.provider(), "\", this client on \"",
                                                      net.provider(), "\""));
  }
  if (!expected_cluster_id.empty() && reply.cluster_id() != expected_cluster_id) {
    return absl::FailedPreconditionError(absl::StrCat(
        host_port, " belongs to cluster ", reply.cluster_id(), ", not ", expected_cluster_id));
  }
  if (reply.core_addresses().empty()) {
    return absl::FailedPreconditionError(absl::StrCat(host_port, " named no fabric address"));
  }
  return reply;
}

absl::StatusOr<std::shared_ptr<NodeConnection::Impl>> RpcClient::Impl::Open(
    std::unique_ptr<ControlConnection> control, std::string host_port, wire::HelloReply hello) {
  auto opened =
      std::make_shared<NodeConnection::Impl>(*this, std::move(host_port), std::move(hello));
  for (const std::string& address : opened->hello.core_addresses()) {
    const absl::StatusOr<PeerId> peer = net.AddPeer(address);
    if (!peer.ok()) {
      for (const PeerId added : opened->cores) net.RemovePeer(added);
      return absl::Status(peer.status().code(),
                          absl::StrCat(opened->host_port, ": ", peer.status().message()));
    }
    opened->cores.push_back(*peer);
  }
  opened->control = std::move(control);
  connections.insert(opened.get());
  scope.Spawn(Watch(opened));
  return opened;
}

RpcClient::RpcClient(Net& net, Random& random, std::string name)
    : impl_(std::make_unique<Impl>(net, random, std::move(name))) {
  net.SetPeerLost([impl = impl_.get()](PeerId peer) { impl->PeerLost(peer); });
}

RpcClient::~RpcClient() { CAIRN_CHECK(impl_->calls_running == 0); }

Net& RpcClient::net() { return impl_->net; }

Task<absl::StatusOr<std::unique_ptr<NodeConnection>>> RpcClient::Connect(
    std::string host_port, std::string expected_cluster_id, Deadline deadline) {
  Impl& impl = *impl_;
  if (impl.stopping) co_return absl::CancelledError("stopping");
  // The process may have been out of descriptors for a moment: whoever comes next tries again.
  if (!impl.endpoint_state.ok()) impl.Reset();
  if (!impl.endpoint_state.ok()) {
    co_return absl::UnavailableError(
        absl::StrCat("no fabric endpoint can be opened here: ", impl.endpoint_state.message()));
  }
  const uint64_t began_with = impl.generation;
  ++impl.calls_running;
  absl::StatusOr<std::unique_ptr<ControlConnection>> control =
      co_await impl.net.Dial(host_port, impl.Hello(expected_cluster_id), deadline);
  if (--impl.calls_running == 0) impl.idle.Set();
  if (!control.ok()) co_return control.status();
  if (impl.stopping) co_return absl::CancelledError("stopping");
  if (impl.generation != began_with) {
    co_return absl::UnavailableError("the endpoint was reset during the hello");
  }
  absl::StatusOr<wire::HelloReply> hello =
      impl.CheckHello((*control)->hello(), host_port, expected_cluster_id);
  if (!hello.ok()) co_return hello.status();
  absl::StatusOr<std::shared_ptr<NodeConnection::Impl>> opened =
      impl.Open(*std::move(control), std::move(host_port), *std::move(hello));
  if (!opened.ok()) co_return opened.status();
  co_return std::unique_ptr<NodeConnection>(new NodeConnection(*std::move(opened)));
}

void RpcClient::Impl::Reset() {
  ++generation;
  incarnation = random.Next();
  // On an error the old endpoint is closed all the same; Connect() tries to open one again.
  endpoint_state = net.Reset();
  const std::vector<NodeConnection::Impl*> all(connections.begin(), connections.end());
  for (NodeConnection::Impl* connection : all) {
    connection->Lose(absl::UnavailableError("the endpoint was reset"));
  }
}

// A request was lost with its connection to the node: its caller need not wait for the deadline to
// learn of it. Requests to another core may live, but a node that breaks one connection is best met
// again.
void RpcClient::Impl::PeerLost(PeerId peer) {
  const auto found = std::find_if(connections.begin(), connections.end(), [peer](const auto* each) {
    return std::find(each->cores.begin(), each->cores.end(), peer) != each->cores.end();
  });
  if (found == connections.end()) return;
  NodeConnection::Impl& connection = **found;
  connection.Lose(absl::UnavailableError(
      absl::StrCat(connection.host_port, ": the fabric connection was lost")));
}

void RpcClient::ResetEndpoint() { impl_->Reset(); }

Task<void> RpcClient::Stop() {
  Impl& impl = *impl_;
  impl.stopping = true;
  impl.net.SetPeerLost(nullptr);
  for (const auto& [id, call] : impl.pending) call->End(absl::CancelledError("stopping"));
  const std::vector<NodeConnection::Impl*> all(impl.connections.begin(), impl.connections.end());
  for (NodeConnection::Impl* connection : all) connection->Lose(absl::CancelledError("stopping"));
  while (impl.calls_running > 0) {
    impl.idle.Reset();
    co_await impl.idle;
  }
  co_await impl.scope.Join();
}

// --- Calls ---

void RpcClient::OnMessage(ConstBytes message) {
  const absl::StatusOr<Frame> frame = DecodeFrame(message);
  wire::ReplyHeader header;
  if (!frame.ok() || frame->kind != FrameKind::kReply ||
      !header.ParseFromArray(frame->header.data(), static_cast<int>(frame->header.size()))) {
    return;  // its caller runs into the deadline
  }
  const auto found = impl_->pending.find(header.call());
  if (found == impl_->pending.end()) return;  // its caller has gone
  PendingCall& call = *found->second;
  NodeConnection::Impl& connection = *call.connection;
  if (connection.lost) return;
  connection.SetCredits(header.credits());
  connection.map_version = std::max(connection.map_version, header.map_version());
  connection.heard_at = Executor::Current().clock().Now();
  call.answered = true;
  if (header.code() == 0) {
    call.End(std::string(frame->body));
  } else {
    const auto code = header.code() <= static_cast<uint32_t>(absl::StatusCode::kUnauthenticated)
                          ? static_cast<absl::StatusCode>(header.code())
                          : absl::StatusCode::kUnknown;
    absl::Status refused(code, header.message());
    if (header.posix_error() != 0)
      refused = WithPosixError(std::move(refused), static_cast<int>(header.posix_error()));
    call.End(std::move(refused));
  }
  if (header.session_unknown()) {
    connection.Lose(absl::UnavailableError(
        absl::StrCat(connection.host_port, ": the node no longer knows this session")));
  }
}

wire::RequestHeader RpcClient::Impl::HeaderOf(const NodeConnection::Impl& connection,
                                              wire::Method method,
                                              const CallOptions& options) const {
  wire::RequestHeader header;
  header.set_method(method);
  header.set_session(connection.hello.session());
  header.set_node_incarnation(connection.hello.node_incarnation());
  const absl::Duration left = NodesShare(options.deadline.Remaining(Executor::Current().clock()));
  // At least one: zero means passed.
  header.set_deadline_ms(static_cast<uint64_t>(std::clamp<int64_t>(
      absl::ToInt64Milliseconds(left), 1, absl::ToInt64Milliseconds(absl::Hours(1)))));
  header.set_map_version(connection.map_version);
  header.set_request_client(options.request.client);
  header.set_request_sequence(options.request.sequence);
  header.set_reply_address(net.address());
  for (const BulkDescriptor& bulk : options.bulks) {
    wire::Bulk* const added = header.add_bulks();
    added->set_key(bulk.key);
    added->set_address(bulk.address);
    added->set_length_bytes(bulk.length_bytes);
  }
  return header;
}

Task<void> RpcClient::Impl::Exchange(PendingCall& call, uint64_t id, PeerId peer,
                                     const std::string& frame, Deadline deadline) {
  pending.emplace(id, &call);
  const absl::Status sent = co_await net.Send(peer, std::as_bytes(std::span(frame)), deadline);
  if (!sent.ok()) {
    // It never left: no node knows of the caller's memory.
    call.answered = true;
    call.End(sent);
  }
  TimerId timer = 0;
  if (deadline.at() != MonoTime::Never() && !call.outcome.has_value()) {
    PendingCall* const expiring = &call;
    timer = Executor::Current().AddTimer(deadline.at(), [expiring] {
      expiring->End(absl::DeadlineExceededError("no reply in time"));
    });
  }
  co_await OutcomeAwaiter{call};
  if (timer != 0) Executor::Current().CancelTimer(timer);
  pending.erase(id);
}

Task<absl::StatusOr<std::string>> RpcClient::Impl::Call(
    std::shared_ptr<NodeConnection::Impl> connection, uint32_t core, wire::Method method,
    std::string request, CallOptions options) {
  if (stopping) co_return absl::CancelledError("stopping");
  if (connection->lost) {
    co_return absl::UnavailableError(
        absl::StrCat(connection->host_port, ": the connection is lost"));
  }
  if (core >= connection->cores.size()) {
    co_return absl::InvalidArgumentError(absl::StrCat("the node has no core ", core));
  }
  if (options.bulks.size() > kMaxBulks) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("more than ", kMaxBulks, " bulks in one call"));
  }
  if (options.deadline.HasPassed(Executor::Current().clock())) {
    co_return absl::DeadlineExceededError("the deadline passed before the call");
  }
  const uint64_t id = next_call++;
  wire::RequestHeader header = HeaderOf(*connection, method, options);
  header.set_call(id);
  const absl::StatusOr<std::string> frame = EncodeFrame(FrameKind::kRequest, header, request);
  if (!frame.ok()) co_return frame.status();

  const uint64_t began_with = generation;
  PendingCall call{connection.get(), nullptr, std::nullopt, false,
                   Executor::Current().clock().Now()};
  ++calls_running;
  co_await Exchange(call, id, connection->cores[core], *frame, options.deadline);
  // Without an answer the node may be about to touch the caller's memory.
  if (!call.answered && !options.bulks.empty() && generation == began_with) Reset();
  if (--calls_running == 0) idle.Set();
  co_return *std::move(call.outcome);
}

NodeConnection::NodeConnection(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

NodeConnection::~NodeConnection() {
  impl_->Lose(absl::UnavailableError("the connection was given up"));
}

void NodeConnection::HangUp(const absl::Status& why) { impl_->Lose(why); }

const wire::HelloReply& NodeConnection::hello() const { return impl_->hello; }
const std::string& NodeConnection::host_port() const { return impl_->host_port; }
bool NodeConnection::lost() const { return impl_->lost; }
uint64_t NodeConnection::map_version() const { return impl_->map_version; }

absl::Duration NodeConnection::silence() const {
  std::optional<MonoTime> oldest;
  for (const auto& [id, call] : impl_->client.pending) {
    if (call->connection != impl_.get()) continue;
    oldest = oldest.has_value() ? std::min(*oldest, call->began) : call->began;
  }
  if (!oldest.has_value()) return absl::ZeroDuration();
  return Executor::Current().clock().Now() - std::max(*oldest, impl_->heard_at);
}

Semaphore& NodeConnection::window() { return impl_->window; }

Task<absl::StatusOr<std::string>> NodeConnection::CallRaw(uint32_t core, wire::Method method,
                                                          std::string request,
                                                          CallOptions options) {
  return impl_->client.Call(impl_, core, method, std::move(request), std::move(options));
}

}  // namespace cairn
