// Dialing and listening. Each control connection has one coroutine that says hello and then
// watches; it owns the socket, so that the kernel's report always finds it open. Handlers and
// callers hold the other half and can only hang up.
#include "common/fabric/control_plane.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/fabric/fork_guard.h"
#include "common/fabric/hello_frame.h"
#include "common/fabric/host_port.h"
#include "common/fabric/socket.h"
#include "common/reactor/start_thread.h"
#include "common/task/scope.h"
#include "common/task/semaphore.h"
#include "common/task/stop.h"

namespace cairn {
namespace {

// A client sends its hello in the packet after the handshake; whoever is silent for longer is no
// client.
constexpr absl::Duration kHelloPatience = absl::Seconds(3);
// Strangers between accept and hello. More wait in the kernel's backlog: a burst of ranks is served
// in milliseconds.
constexpr int64_t kHalfOpenMax = 256;
// When there are so many, those that have been silent for longer than any network's round trip give
// way to the next; else a port scanner would keep clients out.
constexpr absl::Duration kCrowdedPatience = absl::Milliseconds(200);
static_assert(kCrowdedPatience < kHelloPatience);
// Out of descriptors or memory: others must finish first.
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);
// One thread each, for as long as the system's resolver takes.
constexpr size_t kResolversMax = 16;

// One control connection. Shared by its coroutine and by the ControlConnection given out.
struct Link {
  explicit Link(Socket socket_in) : socket(std::move(socket_in)), in_child(socket.fd()) {}
  Socket socket;
  ClosedInChild in_child;
  std::string hello;
  Event closed;
  bool hung_up = false;
  MonoTime accepted_at;
};

class LinkConnection final : public ControlConnection {
 public:
  explicit LinkConnection(std::shared_ptr<Link> link) : link_(std::move(link)) {}
  ~LinkConnection() override { HangUp(); }
  const std::string& hello() const override { return link_->hello; }
  Event& closed() override { return link_->closed; }
  void HangUp() override {
    link_->hung_up = true;
    link_->socket.HangUp();
  }

 private:
  std::shared_ptr<Link> link_;
};

struct Listener {
  Listener(Socket socket_in, HelloHandler* handler_in)
      : socket(std::move(socket_in)), handler(handler_in) {}
  Socket socket;
  HelloHandler* const handler;
  Semaphore half_open{kHalfOpenMax};
  // Between accept and hello, the oldest first.
  std::list<Link*> strangers;
  StopSource stop;
};

// How resolver threads reach the reactor: not at all once the plane is gone.
struct Mailbox {
  std::mutex mutex;
  Reactor* reactor = nullptr;  // under the mutex
};

struct Resolution {
  absl::StatusOr<std::vector<SocketAddress>> addresses =
      absl::DeadlineExceededError("the resolver gave no answer in time");
  Event done;
};

}  // namespace

struct ControlPlane::State {
  explicit State(Reactor& reactor_in) : reactor(reactor_in) {}

  void StopListening() {
    if (listener == nullptr) return;
    listener->stop.RequestStop();
    listener->half_open.Break();
    listener->socket.HangUp();
    listener.reset();
  }
  void HangUpAll() {
    for (Link* link : links) link->socket.HangUp();
  }

  Reactor& reactor;
  Scope scope;
  std::shared_ptr<Listener> listener;
  absl::flat_hash_set<Link*> links;
  std::shared_ptr<Mailbox> mailbox = std::make_shared<Mailbox>();
  size_t resolvers = 0;
};

namespace {

using State = ControlPlane::State;

// Ends a link's coroutine: whoever waits for its end learns of it.
void Finish(State& state, Link& link) {
  link.socket.HangUp();
  state.links.erase(&link);
  link.closed.Set();
}

Task<void> Watch(std::shared_ptr<State> state, std::shared_ptr<Link> link) {
  co_await WaitForHangUp(state->reactor, link->socket);
  Finish(*state, *link);
}

// Reads what the stranger still has in flight: closing with unread bytes would reset the
// connection, and the refusal would never be read.
void DiscardInput(Socket& socket) {
  char scratch[4096];
  for (int reads = 0; reads < 8; ++reads) {
    if (recv(socket.fd(), scratch, sizeof scratch, MSG_DONTWAIT) <= 0) return;
  }
}

Task<void> Refuse(State& state, Link& link, absl::Status refusal, Deadline deadline) {
  DiscardInput(link.socket);
  const std::string frame = EncodeHello(HelloKind::kRefusal, EncodeRefusal(refusal));
  // A stranger that does not listen to its refusal has no claim to another.
  (void)co_await SendAll(state.reactor, link.socket, frame, deadline);
}

// The node's half of a hello. True when the link is to be watched.
Task<bool> AnswerHello(State& state, Listener& listener, std::shared_ptr<Link> link) {
  const Deadline deadline = Deadline::After(state.reactor.clock(), kHelloPatience);
  absl::StatusOr<std::string> received =
      co_await ReceiveHello(state.reactor, link->socket, deadline);
  if (listener.stop.stop_requested()) co_return false;
  if (!received.ok()) {
    // Only another release of ours is spoken to; the rest is not a client.
    if (absl::IsFailedPrecondition(received.status())) {
      co_await Refuse(state, *link, received.status(), deadline);
    }
    co_return false;
  }
  absl::StatusOr<HelloFrame> frame = DecodeHello(std::as_bytes(std::span(*received)));
  if (frame.ok() && frame->kind != HelloKind::kRequest) {
    frame = absl::InvalidArgumentError("a node is greeted with a request");
  }
  absl::StatusOr<std::string> reply = std::string();
  if (frame.ok()) {
    link->hello = std::string(frame->payload);
    reply = listener.handler->OnHello(link->hello, PeerName(link->socket));
  } else {
    reply = frame.status();
  }
  if (reply.ok() && reply->size() > kMaxHelloBytes) {
    reply = absl::InternalError("the node's hello is too long");
  }
  if (!reply.ok()) {
    co_await Refuse(state, *link, reply.status(), deadline);
    co_return false;
  }
  listener.handler->OnConnected(std::make_unique<LinkConnection>(link), *reply);
  if (link->hung_up) co_return false;
  const std::string answer = EncodeHello(HelloKind::kReply, *reply);
  const absl::Status sent = co_await SendAll(state.reactor, link->socket, answer, deadline);
  co_return sent.ok();
}

Task<void> Serve(std::shared_ptr<State> state, std::shared_ptr<Listener> listener,
                 std::shared_ptr<Link> link) {
  const bool greeted = co_await AnswerHello(*state, *listener, link);
  listener->strangers.remove(link.get());
  listener->half_open.Release(1);
  if (greeted) co_await WaitForHangUp(state->reactor, link->socket);
  Finish(*state, *link);
}

// What accept() says besides "nobody is there" and "that one has gone again".
bool IsOutOfResources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// Whoever has something to say is left alone: it is this core that was too busy to listen.
void HangUpOnSilent(Listener& listener, MonoTime accepted_before) {
  for (Link* link : listener.strangers) {
    if (link->accepted_at > accepted_before) break;
    char byte;
    if (recv(link->socket.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) {
      link->socket.HangUp();
    }
  }
}

// Room for one more stranger. CANCELLED when stopping.
Task<absl::Status> MakeRoom(State& state, Listener& listener) {
  for (;;) {
    const MonoTime began = state.reactor.clock().Now();
    absl::Status room = co_await listener.half_open.Acquire(1, Deadline(began + kCrowdedPatience));
    if (!absl::IsDeadlineExceeded(room)) co_return room;
    HangUpOnSilent(listener, began);
  }
}

Task<void> AcceptLoop(std::shared_ptr<State> state, std::shared_ptr<Listener> listener) {
  while (!listener->stop.stop_requested()) {
    const absl::Status room = co_await MakeRoom(*state, *listener);
    if (!room.ok()) break;  // stopped
    Socket accepted(accept4(listener->socket.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    const int error = errno;
    if (accepted.fd() >= 0) {
      accepted.SetControlOptions();
      auto link = std::make_shared<Link>(std::move(accepted));
      link->accepted_at = state->reactor.clock().Now();
      state->links.insert(link.get());
      listener->strangers.push_back(link.get());
      state->scope.Spawn(Serve(state, listener, std::move(link)));
      continue;
    }
    listener->half_open.Release(1);
    if (error == EAGAIN) {
      // Infinite: StopListening() hangs up the socket.
      (void)co_await state->reactor.WaitReadable(listener->socket.fd(), Deadline::Infinite());
    } else if (IsOutOfResources(error)) {
      (void)co_await SleepFor(kAcceptPause, listener->stop);
    }
  }
}

// Asks the system's resolver on a thread of its own. A thread that outlives its caller's deadline
// ends unheard.
Task<absl::StatusOr<std::vector<SocketAddress>>> ResolveElsewhere(State& state, HostPort where,
                                                                  Deadline deadline) {
  if (state.resolvers >= kResolversMax) {
    co_return absl::ResourceExhaustedError("too many host names are being resolved");
  }
  auto resolution = std::make_shared<Resolution>();
  absl::StatusOr<std::thread> resolver =
      StartThread([mailbox = state.mailbox, where = std::move(where), resolution]() mutable {
        auto addresses = ResolveHost(where, NameLookup::kBlocking);
        const std::lock_guard<std::mutex> lock(mailbox->mutex);
        if (mailbox->reactor == nullptr) return;
        mailbox->reactor->PostRemote(
            [resolution = std::move(resolution), addresses = std::move(addresses)]() mutable {
              resolution->addresses = std::move(addresses);
              resolution->done.Set();
            });
      });
  if (!resolver.ok()) co_return resolver.status();
  resolver->detach();
  ++state.resolvers;
  TimerId timer = 0;
  if (deadline.at() != MonoTime::Never()) {
    timer = state.reactor.AddTimer(deadline.at(), [resolution] { resolution->done.Set(); });
  }
  co_await resolution->done;
  if (timer != 0) state.reactor.CancelTimer(timer);
  --state.resolvers;
  co_return resolution->addresses;
}

Task<absl::StatusOr<Socket>> ConnectTo(State& state, std::string host_port, Deadline deadline) {
  absl::StatusOr<HostPort> where = ParseHostPort(host_port);
  if (!where.ok()) co_return where.status();
  auto addresses = ResolveHost(*where, NameLookup::kNumeric);
  if (absl::IsNotFound(addresses.status())) {
    addresses = co_await ResolveElsewhere(state, *where, deadline);
  }
  if (!addresses.ok()) co_return addresses.status();
  absl::Status failure;
  for (size_t i = 0; i < addresses->size(); ++i) {
    // An address that swallows packets must leave time for the next.
    const absl::Duration share =
        deadline.Remaining(state.reactor.clock()) / static_cast<int64_t>(addresses->size() - i);
    const Deadline until = Earlier(deadline, Deadline::After(state.reactor.clock(), share));
    absl::StatusOr<Socket> connected =
        co_await ConnectSocket(state.reactor, (*addresses)[i], until);
    if (connected.ok()) co_return std::move(connected);
    failure = connected.status();
  }
  co_return failure;
}

// The caller's half of a hello.
Task<absl::Status> ExchangeHello(State& state, Link& link, std::string hello, Deadline deadline) {
  const std::string frame = EncodeHello(HelloKind::kRequest, hello);
  const absl::Status sent = co_await SendAll(state.reactor, link.socket, frame, deadline);
  CO_RETURN_IF_ERROR(sent);
  const absl::StatusOr<std::string> received =
      co_await ReceiveHello(state.reactor, link.socket, deadline);
  if (absl::IsInvalidArgument(received.status())) {
    co_return absl::FailedPreconditionError(
        absl::StrCat("something else than Cairn listens there: ", received.status().message()));
  }
  CO_RETURN_IF_ERROR(received.status());
  const absl::StatusOr<HelloFrame> answer = DecodeHello(std::as_bytes(std::span(*received)));
  CO_RETURN_IF_ERROR(answer.status());
  if (answer->kind == HelloKind::kRefusal) co_return DecodeRefusal(answer->payload);
  if (answer->kind != HelloKind::kReply) {
    co_return absl::FailedPreconditionError("a hello was answered with a request");
  }
  link.hello = std::string(answer->payload);
  co_return absl::OkStatus();
}

absl::Status Annotate(const absl::Status& status, const std::string& host_port) {
  if (absl::IsDeadlineExceeded(status)) {
    return absl::DeadlineExceededError(absl::StrCat("no hello from ", host_port, " in time"));
  }
  return absl::Status(status.code(), absl::StrCat(host_port, ": ", status.message()));
}

}  // namespace

ControlPlane::ControlPlane(Reactor& reactor) : state_(std::make_shared<State>(reactor)) {
  const std::lock_guard<std::mutex> lock(state_->mailbox->mutex);
  state_->mailbox->reactor = &reactor;
}

ControlPlane::~ControlPlane() {
  {
    const std::lock_guard<std::mutex> lock(state_->mailbox->mutex);
    state_->mailbox->reactor = nullptr;
  }
  StopListening();
  state_->HangUpAll();
}

Task<absl::StatusOr<std::unique_ptr<ControlConnection>>> ControlPlane::Dial(std::string host_port,
                                                                            std::string hello,
                                                                            Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  if (hello.size() > kMaxHelloBytes) co_return absl::InvalidArgumentError("the hello is too long");
  absl::StatusOr<Socket> socket = co_await ConnectTo(*state, host_port, deadline);
  if (!socket.ok()) co_return Annotate(socket.status(), host_port);
  auto link = std::make_shared<Link>(*std::move(socket));
  state->links.insert(link.get());
  const absl::Status greeted = co_await ExchangeHello(*state, *link, std::move(hello), deadline);
  if (!greeted.ok()) {
    Finish(*state, *link);
    co_return Annotate(greeted, host_port);
  }
  state->scope.Spawn(Watch(state, link));
  co_return std::make_unique<LinkConnection>(std::move(link));
}

absl::StatusOr<std::string> ControlPlane::Listen(std::string_view host_port,
                                                 HelloHandler* handler) {
  CAIRN_CHECK(state_->listener == nullptr);
  ASSIGN_OR_RETURN(const HostPort where, ParseHostPort(host_port));
  // A node starts once; resolving may block it.
  ASSIGN_OR_RETURN(const std::vector<SocketAddress> addresses,
                   ResolveHost(where, NameLookup::kBlocking));
  ASSIGN_OR_RETURN(Socket socket, ListenSocket(addresses.front()));
  std::string name = LocalName(socket);
  state_->listener = std::make_shared<Listener>(std::move(socket), handler);
  state_->scope.Spawn(AcceptLoop(state_, state_->listener));
  return name;
}

void ControlPlane::StopListening() { state_->StopListening(); }

Task<void> ControlPlane::Stop() {
  const std::shared_ptr<State> state = state_;
  state->StopListening();
  state->HangUpAll();
  co_await state->scope.Join();
}

}  // namespace cairn
