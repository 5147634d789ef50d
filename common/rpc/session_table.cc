// Hellos and sessions. A session lives as long as its control connection; a coroutine a session
// waits for the end.
#include "common/rpc/session_table.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/fabric/peer_address.h"
#include "common/rpc/credits.h"
#include "common/task/scope.h"

namespace cairn {
namespace {

struct Subscriber {
  Executor* executor;
  std::function<void(SessionId)> on_ended;
  size_t active = 0;
};

}  // namespace

struct SessionTable::Impl {
  Impl(Options options_in, Random& random_in, std::function<void(SessionId)> on_ended_in)
      : options(std::move(options_in)), random(random_in), on_ended(std::move(on_ended_in)) {
    map_version = options.identity.map_version();
  }

  absl::Status Check(const wire::HelloRequest& request) const;
  // REQUIRES: the mutex is held.
  void CountActive();
  void End(SessionId id);
  static Task<void> Watch(Impl* impl, SessionId id, std::unique_ptr<ControlConnection> connection);

  const Options options;
  Random& random;
  const std::function<void(SessionId)> on_ended;
  std::atomic<uint64_t> map_version;
  std::atomic<size_t> count{0};
  // Sessions that move bytes: of the core that has most of them, since most are on every core.
  std::atomic<size_t> active{0};

  // Not Abseil's, whose library ThreadSanitizer does not see into. Guards the three behind it.
  mutable std::mutex mutex;
  absl::flat_hash_map<SessionId, SessionInfo> sessions;
  absl::flat_hash_map<uint64_t, Subscriber> subscribers;
  uint64_t next_subscription = 1;

  // On the listening executor only.
  absl::flat_hash_map<SessionId, ControlConnection*> connections;
  bool stopping = false;
  Scope scope;
};

absl::Status SessionTable::Impl::Check(const wire::HelloRequest& request) const {
  const wire::HelloReply& identity = options.identity;
  if (request.protocol_version() != kProtocolVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("protocol version ", request.protocol_version(), " is not spoken here, but ",
                     kProtocolVersion, " is (this node runs Cairn ", identity.software_version(),
                     ", the client ", request.software_version(), "): install the same release"));
  }
  if (!request.provider().empty() && request.provider() != identity.provider()) {
    return absl::FailedPreconditionError(
        absl::StrCat("this node's fabric is \"", identity.provider(), "\", the client's \"",
                     request.provider(), "\": configure the same provider"));
  }
  if (!request.expected_cluster_id().empty() &&
      request.expected_cluster_id() != identity.cluster_id()) {
    return absl::FailedPreconditionError(absl::StrCat("this node belongs to cluster ",
                                                      identity.cluster_id(), ", not ",
                                                      request.expected_cluster_id()));
  }
  if (request.client_address().empty()) {
    return absl::InvalidArgumentError("the hello has no fabric address");
  }
  // Later nobody could tell the client: the answer would have to go to that address.
  for (const std::string& own : identity.core_addresses()) {
    absl::Status same_kind = CheckPeerAddress(identity.provider(), own, request.client_address());
    if (!same_kind.ok()) return same_kind;
  }
  if (stopping) return absl::UnavailableError("the node is stopping");
  if (count.load() >= options.sessions_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the node has its limit of ", options.sessions_max, " sessions"));
  }
  return absl::OkStatus();
}

void SessionTable::Impl::CountActive() {
  size_t most = 0;
  for (const auto& [key, subscriber] : subscribers) most = std::max(most, subscriber.active);
  active.store(most);
}

void SessionTable::Impl::End(SessionId id) {
  connections.erase(id);
  {
    const std::lock_guard<std::mutex> lock(mutex);
    if (sessions.erase(id) == 0) return;
    count.store(sessions.size());
    for (const auto& [key, subscriber] : subscribers) {
      subscriber.executor->PostRemote([on_ended = subscriber.on_ended, id] { on_ended(id); });
    }
  }
  if (on_ended) on_ended(id);
}

Task<void> SessionTable::Impl::Watch(Impl* impl, SessionId id,
                                     std::unique_ptr<ControlConnection> connection) {
  co_await connection->closed();
  impl->End(id);
}

SessionTable::SessionTable(Options options, Random& random, std::function<void(SessionId)> on_ended)
    : impl_(std::make_unique<Impl>(std::move(options), random, std::move(on_ended))) {}

SessionTable::~SessionTable() = default;

std::optional<SessionInfo> SessionTable::Find(SessionId id) const {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  const auto found = impl_->sessions.find(id);
  if (found == impl_->sessions.end()) return std::nullopt;
  return found->second;
}

void SessionTable::SetMapVersion(uint64_t version) { impl_->map_version = version; }
uint64_t SessionTable::map_version() const { return impl_->map_version; }

uint32_t SessionTable::credits() const {
  return FairCredits(impl_->options.slabs, impl_->count.load(), impl_->active.load(),
                     impl_->options.credits_max);
}

void SessionTable::SetActive(uint64_t subscription, size_t sessions) {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  const auto found = impl_->subscribers.find(subscription);
  if (found == impl_->subscribers.end()) return;
  found->second.active = sessions;
  impl_->CountActive();
}

size_t SessionTable::size() const { return impl_->count.load(); }

Task<void> SessionTable::Stop() {
  impl_->stopping = true;
  for (const auto& [id, connection] : impl_->connections) connection->HangUp();
  co_await impl_->scope.Join();
}

uint64_t SessionTable::Subscribe(Executor& executor, std::function<void(SessionId)> on_ended) {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  const uint64_t id = impl_->next_subscription++;
  impl_->subscribers.emplace(id, Subscriber{&executor, std::move(on_ended)});
  return id;
}

void SessionTable::Unsubscribe(uint64_t subscription) {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  impl_->subscribers.erase(subscription);
  impl_->CountActive();
}

absl::StatusOr<std::string> SessionTable::OnHello(std::string_view hello,
                                                  std::string_view peer_name) {
  wire::HelloRequest request;
  if (!request.ParseFromArray(hello.data(), static_cast<int>(hello.size()))) {
    return absl::InvalidArgumentError("the hello is not a valid message");
  }
  if (absl::Status checked = impl_->Check(request); !checked.ok()) return checked;
  wire::HelloReply reply = impl_->options.identity;
  reply.set_protocol_version(kProtocolVersion);
  reply.set_map_version(map_version());
  reply.set_credits(credits());
  uint64_t id = 0;
  while (id == 0 || Find(SessionId(id)).has_value()) id = impl_->random.Next();
  reply.set_session(id);
  return reply.SerializeAsString();
}

void SessionTable::OnConnected(std::unique_ptr<ControlConnection> connection,
                               std::string_view reply_bytes) {
  wire::HelloReply reply;
  wire::HelloRequest request;
  CAIRN_CHECK(reply.ParseFromArray(reply_bytes.data(), static_cast<int>(reply_bytes.size())));
  CAIRN_CHECK(request.ParseFromString(connection->hello()));
  const SessionId id(reply.session());
  {
    const std::lock_guard<std::mutex> lock(impl_->mutex);
    impl_->sessions.emplace(id, SessionInfo{id, request.client_address(), request.client_name(),
                                            request.client_incarnation()});
    impl_->count.store(impl_->sessions.size());
  }
  impl_->connections.emplace(id, connection.get());
  impl_->scope.Spawn(Impl::Watch(impl_.get(), id, std::move(connection)));
}

}  // namespace cairn
