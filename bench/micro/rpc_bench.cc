// What a call costs before it does any work: round trips of an empty PING between a client and a
// node, each with a reactor thread and an endpoint of its own, over libfabric's tcp provider on the
// loopback. Sessions, frames and checksums are as in cairnd; the handler answers at once.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/fabric/libfabric_net.h"
#include "common/reactor/reactor_thread.h"
#include "common/rpc/call_table.h"
#include "common/rpc/receiver.h"
#include "common/rpc/rpc_client.h"
#include "common/rpc/rpc_server.h"
#include "common/rpc/session_table.h"
#include "common/task/when_all.h"
#include "proto/wire/meta.pb.h"
#include "proto/wire/rpc.pb.h"

namespace cairn {
namespace {

// Calls of an iteration: enough that starting one from the benchmark's thread, which takes about as
// long as a round trip, does not show.
constexpr int kCalls = 512;
constexpr uint64_t kIncarnation = 1;
constexpr char kLoopback[] = "127.0.0.1";

using Empty = wire::GetMapRequest;

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

std::unique_ptr<ReactorThread> StartThread(const std::string& name) {
  auto thread = ReactorThread::Start({}, name);
  Require(thread.status());
  return *std::move(thread);
}

absl::StatusOr<std::unique_ptr<LibfabricNet>> OpenNet(ReactorThread& thread, size_t buffers) {
  return LibfabricNet::Create(thread.reactor(),
                              {.bind_host = kLoopback, .receive_buffers = buffers});
}

class PingService {
 public:
  Task<absl::StatusOr<Empty>> Ping(CallContext&, const Empty&) { co_return Empty(); }
};

class Node {
 public:
  Node() : thread_(StartThread("bench-node")) {
    table_.Add(wire::PING, &service_, &PingService::Ping);
    Require(thread_->RunBlocking<absl::Status>([this] { return Open(); }));
  }
  ~Node() {
    thread_->RunBlocking<void>([this] { return Close(); });
  }
  const std::string& host_port() const { return host_port_; }

 private:
  Task<absl::Status> Open() {
    CO_ASSIGN_OR_RETURN(net_, OpenNet(*thread_, 64));  // as many as cairnd's
    SessionTable::Options options;
    options.identity.set_cluster_id("bench");
    options.identity.set_node_incarnation(kIncarnation);
    options.identity.set_provider(net_->provider());
    options.identity.add_core_addresses(net_->address());
    sessions_ = std::make_unique<SessionTable>(std::move(options), random_, [](SessionId) {});
    const RpcServer::Options rpc{.node_incarnation = kIncarnation};
    server_ = std::make_unique<RpcServer>(*net_, table_, *sessions_, rpc);
    ConnectReceiver(*net_, server_.get(), nullptr);
    CO_ASSIGN_OR_RETURN(host_port_, net_->Listen(std::string(kLoopback) + ":0", sessions_.get()));
    co_return absl::OkStatus();
  }
  Task<void> Close() {
    net_->StopListening();
    co_await sessions_->Stop();
    co_await server_->Stop();
    co_await net_->Stop();
    net_.reset();
    server_.reset();
    sessions_.reset();
  }

  SystemRandom random_;
  PingService service_;
  CallTable table_;
  std::unique_ptr<ReactorThread> thread_;
  std::unique_ptr<LibfabricNet> net_;
  std::unique_ptr<SessionTable> sessions_;
  std::unique_ptr<RpcServer> server_;
  std::string host_port_;
};

class Client {
 public:
  explicit Client(const std::string& host_port) : thread_(StartThread("bench-client")) {
    Require(thread_->RunBlocking<absl::Status>([&] { return Open(host_port); }));
  }
  ~Client() {
    thread_->RunBlocking<void>([this] { return Close(); });
  }
  // Makes kCalls calls, `depth` at a time.
  void Ping(int depth) {
    Require(thread_->RunBlocking<absl::Status>([&] { return PingSideBySide(depth); }));
  }

 private:
  Deadline Soon() { return Deadline::After(thread_->reactor().clock(), absl::Seconds(10)); }
  Task<absl::Status> Open(std::string host_port) {
    CO_ASSIGN_OR_RETURN(net_, OpenNet(*thread_, 16));
    client_ = std::make_unique<RpcClient>(*net_, random_, "bench:1");
    ConnectReceiver(*net_, nullptr, client_.get());
    auto connected = co_await client_->Connect(std::move(host_port), "", Soon());
    CO_RETURN_IF_ERROR(connected.status());
    connection_ = *std::move(connected);
    co_return absl::OkStatus();
  }
  Task<absl::Status> PingInTurn(int calls) {
    const Empty request;
    for (int i = 0; i < calls; ++i) {
      CallOptions options{.deadline = Soon(), .bulks = {}, .request = {}};
      const auto reply =
          co_await connection_->Call<Empty>(0, wire::PING, request, std::move(options));
      CO_RETURN_IF_ERROR(reply.status());
    }
    co_return absl::OkStatus();
  }
  Task<absl::Status> PingSideBySide(int depth) {
    std::vector<Task<absl::Status>> callers;
    for (int i = 0; i < depth; ++i) callers.push_back(PingInTurn(kCalls / depth));
    return WhenAllOk(std::move(callers));
  }
  Task<void> Close() {
    connection_.reset();
    co_await client_->Stop();
    co_await net_->Stop();
    net_.reset();
    client_.reset();
  }

  SystemRandom random_;
  std::unique_ptr<ReactorThread> thread_;
  std::unique_ptr<LibfabricNet> net_;
  std::unique_ptr<RpcClient> client_;
  std::unique_ptr<NodeConnection> connection_;
};

// Argument: calls in flight.
void PingOverLoopback(benchmark::State& state) {
  Node node;
  Client client(node.host_port());
  const int depth = static_cast<int>(state.range(0));
  for (auto _ : state) client.Ping(depth);
  state.SetItemsProcessed(state.iterations() * kCalls);
  // How long one call takes, from its caller's view.
  state.counters["round_trip"] = benchmark::Counter(
      static_cast<double>(kCalls) / depth,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(PingOverLoopback)->Arg(1)->Arg(16)->UseRealTime();

}  // namespace
}  // namespace cairn
