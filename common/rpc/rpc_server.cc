// From an arrived frame to a running handler and its reply. What is refused is refused here, before
// the handler: bad frames without an answer, everything else with one.
#include "common/rpc/rpc_server.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/posix_error.h"
#include "common/rpc/frame.h"

namespace cairn {
namespace {

// A caller that asks for longer is cut down to this; its work would outlive every lease.
constexpr absl::Duration kLongestCall = absl::Minutes(10);
// A reply is offered this long even when the call's deadline has passed: the caller's clock
// decides, not ours.
constexpr absl::Duration kReplyPatience = absl::Seconds(2);
// Error messages are for people.
constexpr size_t kMaxMessageTextBytes = 1024;
// Callers without a session get their refusals through peers of a cache of this size.
constexpr size_t kStrangersMax = 64;
// Refusals being sent at once. A flood above it is dropped: its senders run into their deadlines.
constexpr size_t kRefusalsMax = 1024;

// Calls a session remembers. A fabric delivers once, but a second run of a call would reach into
// memory that its caller has back; a copy overtaken by more calls than may run at once cannot be a
// fabric's doing.
constexpr size_t kRecentCallsMax = 512;

// A session that has moved no bytes for so long is idle, and others share its credits. Longer than
// the pauses within a save.
constexpr absl::Duration kActiveFor = absl::Seconds(2);
// How often idle sessions are looked for, all sessions being looked at.
constexpr absl::Duration kSweepInterval = absl::Seconds(1);

struct KnownSession {
  PeerId peer;
  bool active = false;
  MonoTime moved_at;  // its last call with bulks
  size_t calls_running = 0;
  absl::flat_hash_set<uint64_t> recent;
  std::deque<uint64_t> recent_order;

  // False when the call was started before.
  bool Start(uint64_t call) {
    if (!recent.insert(call).second) return false;
    recent_order.push_back(call);
    if (recent_order.size() > kRecentCallsMax) {
      recent.erase(recent_order.front());
      recent_order.pop_front();
    }
    ++calls_running;
    return true;
  }
};

struct Stranger {
  std::string address;
  PeerId peer;
};

struct Answer {
  uint64_t call = 0;
  bool session_unknown = false;
  absl::StatusOr<std::string> result;
};

}  // namespace

struct RpcServer::Impl {
  Impl(Net& net_in, const CallTable& table_in, SessionTable& sessions_in, Options options_in)
      : net(net_in), table(table_in), sessions(sessions_in), options(options_in) {}
  ~Impl() {
    if (subscription != 0) sessions.Unsubscribe(subscription);
  }

  void Subscribe(std::weak_ptr<Impl> self);
  void SessionEnded(SessionId id);
  void MovesBytes(KnownSession& session);
  void SweepIdle(MonoTime now);
  KnownSession* FindSession(SessionId id);
  std::optional<PeerId> FindStranger(const std::string& address);
  // OK when the call may start.
  absl::Status Admit(const wire::RequestHeader& header, const KnownSession& session,
                     const RpcHandler* handler) const;
  void Refuse(Scope& scope, PeerId peer, Answer answer);

  static Task<void> RunCall(Impl* impl, const RpcHandler* handler, PeerId peer,
                            std::unique_ptr<wire::RequestHeader> header, std::string body);
  static Task<void> SendRefusal(Impl* impl, PeerId peer, Answer answer);
  static Task<void> SendAnswer(Impl* impl, PeerId peer, Answer answer, Deadline deadline);

  Net& net;
  const CallTable& table;
  SessionTable& sessions;
  const Options options;
  Counters counters;
  bool stopping = false;
  bool stopped = false;
  uint64_t subscription = 0;
  size_t refusals = 0;
  size_t active = 0;  // of `known`
  MonoTime swept_at;
  absl::flat_hash_map<SessionId, KnownSession> known;
  std::deque<Stranger> strangers;
};

namespace {

std::vector<BulkDescriptor> BulksOf(const wire::RequestHeader& header) {
  std::vector<BulkDescriptor> bulks;
  bulks.reserve(static_cast<size_t>(header.bulks_size()));
  for (const wire::Bulk& bulk : header.bulks()) {
    bulks.push_back({bulk.key(), bulk.address(), bulk.length_bytes()});
  }
  return bulks;
}

absl::Status CheckBulks(const wire::RequestHeader& header) {
  if (static_cast<size_t>(header.bulks_size()) > kMaxBulks) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxBulks, " bulks in one call"));
  }
  uint64_t sum = 0;
  for (const wire::Bulk& bulk : header.bulks()) {
    if (__builtin_add_overflow(sum, bulk.length_bytes(), &sum)) {
      return absl::InvalidArgumentError("the bulks' lengths overflow");
    }
  }
  return absl::OkStatus();
}

}  // namespace

void RpcServer::Impl::Subscribe(std::weak_ptr<Impl> self) {
  if (subscription != 0) return;
  subscription = sessions.Subscribe(Executor::Current(), [self = std::move(self)](SessionId id) {
    if (const std::shared_ptr<Impl> impl = self.lock()) impl->SessionEnded(id);
  });
}

void RpcServer::Impl::SessionEnded(SessionId id) {
  const auto found = known.find(id);
  if (found == known.end()) return;
  net.RemovePeer(found->second.peer);
  if (found->second.active) sessions.SetActive(subscription, --active);
  known.erase(found);
}

// Before the call's own reply, which tells the session's new share.
void RpcServer::Impl::MovesBytes(KnownSession& session) {
  const MonoTime now = Executor::Current().clock().Now();
  session.moved_at = now;
  if (!session.active) {
    session.active = true;
    sessions.SetActive(subscription, ++active);
  }
  if (now - swept_at >= kSweepInterval) SweepIdle(now);
}

void RpcServer::Impl::SweepIdle(MonoTime now) {
  swept_at = now;
  for (auto& [id, session] : known) {
    if (!session.active || now - session.moved_at < kActiveFor) continue;
    session.active = false;
    --active;
  }
  sessions.SetActive(subscription, active);
}

KnownSession* RpcServer::Impl::FindSession(SessionId id) {
  const auto found = known.find(id);
  if (found != known.end()) return &found->second;
  const std::optional<SessionInfo> info = sessions.Find(id);
  if (!info.has_value()) return nullptr;
  const absl::StatusOr<PeerId> peer = net.AddPeer(info->client_address);
  if (!peer.ok()) return nullptr;
  KnownSession added;
  added.peer = *peer;
  return &known.emplace(id, std::move(added)).first->second;
}

std::optional<PeerId> RpcServer::Impl::FindStranger(const std::string& address) {
  const auto found =
      std::find_if(strangers.begin(), strangers.end(),
                   [&address](const Stranger& each) { return each.address == address; });
  if (found != strangers.end()) return found->peer;
  const absl::StatusOr<PeerId> peer = net.AddPeer(address);
  if (!peer.ok()) return std::nullopt;
  if (strangers.size() == kStrangersMax) {
    net.RemovePeer(strangers.front().peer);
    strangers.pop_front();
  }
  strangers.push_back({address, *peer});
  return *peer;
}

absl::Status RpcServer::Impl::Admit(const wire::RequestHeader& header, const KnownSession& session,
                                    const RpcHandler* handler) const {
  if (stopping) return absl::UnavailableError("the node is stopping");
  if (handler == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("method ", header.method(), " is not served here"));
  }
  if (header.deadline_ms() == 0) {
    return absl::DeadlineExceededError("the deadline had passed when the call arrived");
  }
  if (session.calls_running >= options.session_calls_max) {
    // Not RESOURCE_EXHAUSTED, by which a writer takes a target for full: this passes.
    return absl::UnavailableError(
        absl::StrCat("the session has its limit of ", options.session_calls_max, " calls running"));
  }
  return CheckBulks(header);
}

void RpcServer::Impl::Refuse(Scope& scope, PeerId peer, Answer answer) {
  ++counters.refused;
  if (refusals >= kRefusalsMax) return;
  ++refusals;
  scope.Spawn(SendRefusal(this, peer, std::move(answer)));
}

Task<void> RpcServer::Impl::SendRefusal(Impl* impl, PeerId peer, Answer answer) {
  const Deadline deadline = Deadline::After(Executor::Current().clock(), kReplyPatience);
  co_await SendAnswer(impl, peer, std::move(answer), deadline);
  --impl->refusals;
}

Task<void> RpcServer::Impl::SendAnswer(Impl* impl, PeerId peer, Answer answer, Deadline deadline) {
  wire::ReplyHeader header;
  header.set_call(answer.call);
  header.set_credits(impl->sessions.credits());
  header.set_map_version(impl->sessions.map_version());
  header.set_session_unknown(answer.session_unknown);
  absl::StatusOr<std::string> frame;
  if (answer.result.ok()) {
    frame = EncodeFrame(FrameKind::kReply, header, *answer.result);
  } else {
    frame = answer.result.status();
  }
  if (!frame.ok()) {
    header.set_code(static_cast<uint32_t>(frame.status().code()));
    header.set_message(std::string(frame.status().message().substr(0, kMaxMessageTextBytes)));
    header.set_posix_error(static_cast<uint32_t>(CarriedPosixError(frame.status())));
    frame = EncodeFrame(FrameKind::kReply, header, {});
  }
  CAIRN_CHECK(frame.ok());
  // A caller that cannot be reached notices by itself.
  (void)co_await impl->net.Send(peer, std::as_bytes(std::span(*frame)), deadline);
}

Task<void> RpcServer::Impl::RunCall(Impl* impl, const RpcHandler* handler, PeerId peer,
                                    std::unique_ptr<wire::RequestHeader> header, std::string body) {
  const Clock& clock = Executor::Current().clock();
  const absl::Duration left =
      std::min(kLongestCall, absl::Milliseconds(static_cast<int64_t>(
                                 std::min<uint64_t>(header->deadline_ms(), 1'000'000'000))));
  const SessionId session(header->session());
  CallContext context(impl->net, peer, session, Deadline::After(clock, left),
                      RequestId{header->request_client(), header->request_sequence()},
                      BulksOf(*header));
  Answer answer;
  answer.call = header->call();
  absl::StatusOr<std::string> result = co_await (*handler)(context, body);
  answer.result = std::move(result);
  const auto found = impl->known.find(session);
  if (found != impl->known.end()) --found->second.calls_running;
  const Deadline patience = Deadline::After(clock, kReplyPatience);
  const Deadline until(std::max(patience.at(), context.deadline().at()));
  co_await SendAnswer(impl, peer, std::move(answer), until);
}

RpcServer::RpcServer(Net& net, const CallTable& table, SessionTable& sessions, Options options)
    : impl_(std::make_shared<Impl>(net, table, sessions, options)) {}

RpcServer::~RpcServer() = default;

const RpcServer::Counters& RpcServer::counters() const { return impl_->counters; }

void RpcServer::OnMessage(ConstBytes message) {
  Impl& impl = *impl_;
  if (impl.stopped) return;
  impl.Subscribe(impl_);
  const absl::StatusOr<Frame> frame = DecodeFrame(message);
  auto header = std::make_unique<wire::RequestHeader>();
  if (!frame.ok() || frame->kind != FrameKind::kRequest ||
      !header->ParseFromArray(frame->header.data(), static_cast<int>(frame->header.size()))) {
    ++impl.counters.malformed;
    return;
  }
  Answer answer;
  answer.call = header->call();
  KnownSession* const session = impl.FindSession(SessionId(header->session()));
  if (session == nullptr || header->node_incarnation() != impl.options.node_incarnation) {
    answer.session_unknown = true;
    answer.result = absl::UnavailableError("the node does not know this session: say hello again");
    const std::optional<PeerId> peer = session != nullptr
                                           ? std::optional<PeerId>(session->peer)
                                           : impl.FindStranger(header->reply_address());
    if (peer.has_value()) impl.Refuse(scope_, *peer, std::move(answer));
    return;
  }
  const RpcHandler* const handler = impl.table.Find(header->method());
  if (absl::Status admitted = impl.Admit(*header, *session, handler); !admitted.ok()) {
    answer.result = std::move(admitted);
    impl.Refuse(scope_, session->peer, std::move(answer));
    return;
  }
  if (!session->Start(header->call())) {
    ++impl.counters.duplicates;
    return;
  }
  ++impl.counters.calls;
  if (header->bulks_size() > 0) impl.MovesBytes(*session);
  scope_.Spawn(
      Impl::RunCall(&impl, handler, session->peer, std::move(header), std::string(frame->body)));
}

Task<void> RpcServer::Stop() {
  impl_->stopping = true;
  co_await scope_.Join();
  // From here on a refusal would be a coroutine that nobody waits for.
  impl_->stopped = true;
  if (impl_->subscription != 0) impl_->sessions.Unsubscribe(std::exchange(impl_->subscription, 0));
}

}  // namespace cairn
