// What the tests of RPC share: a node with a scripted service, a client, and both kinds of net to
// run them on.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "common/rpc/call_table.h"
#include "common/rpc/frame.h"
#include "common/rpc/receiver.h"
#include "common/rpc/rpc_client.h"
#include "common/rpc/rpc_server.h"
#include "common/rpc/session_table.h"
#include "proto/wire/chunk.pb.h"
#include "proto/wire/rpc.pb.h"
#include "tests/unit/fabric/net_worlds.h"

namespace cairn::rpc_tests {

// Requests are HelloRequests: a message with a string to put a command into and one to carry data.
using Script = wire::HelloRequest;

inline Script ScriptOf(const std::string& command) {
  Script script;
  script.set_client_name(command);
  return script;
}

class ScriptService {
 public:
  explicit ScriptService(Net& net, MutableBytes slab) : net_(net), slab_(slab) {
    auto registered = net_.Register(slab_, MemoryAccess::kLocal);
    EXPECT_TRUE(registered.ok());
    region_ = *std::move(registered);
  }

  Task<absl::StatusOr<Script>> Run(CallContext& context, const Script& script) {
    ++calls;
    last_deadline = context.deadline();
    last_request = context.request();
    const std::string& command = script.client_name();
    if (command == "fail") co_return absl::NotFoundError(std::string(5000, 'n'));
    if (command == "bytes") co_return absl::NotFoundError("\xff\xfe is no text");
    if (command == "long") {
      Script reply;
      reply.set_client_address(std::string(kMaxMessageBytes, 'x'));
      co_return reply;
    }
    if (command == "pull" || command == "push") {
      const MutableBytes piece = slab_.first(context.bulk_bytes());
      // Not with ?:, GCC 12 destroys the result of an awaited branch twice.
      absl::Status moved;
      if (command == "pull") {
        size_t told = 0;
        moved = co_await context.Pull(piece, [&told, piece](ConstBytes bytes) {
          EXPECT_EQ(bytes.data(), piece.data() + told);
          told += bytes.size();
        });
        if (moved.ok()) {
          EXPECT_EQ(told, piece.size());
        }
      } else {
        moved = co_await context.Push(piece);
      }
      CO_RETURN_IF_ERROR(moved);
    }
    if (command == "until deadline") {
      StopSource never;
      (void)co_await SleepUntil(context.deadline(), never);
      co_return absl::DeadlineExceededError("the node was too slow");
    }
    if (command == "wait") {
      started.Set();
      co_await release;
    }
    co_return script;
  }

  int calls = 0;
  Deadline last_deadline = Deadline::Infinite();
  RequestId last_request;
  Event started;
  Event release;
  MutableBytes slab() { return slab_; }

 private:
  Net& net_;
  MutableBytes slab_;
  std::unique_ptr<MemoryRegion> region_;
};

// One core of a node.
struct Core {
  Core(std::unique_ptr<Net> net_in, SessionTable& sessions, uint64_t incarnation)
      : net(std::move(net_in)), memory(4 * kMiB), service(*net, memory) {
    table.Add(wire::PING, &service, &ScriptService::Run);
    server = std::make_unique<RpcServer>(
        *net, table, sessions,
        RpcServer::Options{.node_incarnation = incarnation, .session_calls_max = 4});
    ConnectReceiver(*net, server.get(), nullptr);
  }
  std::unique_ptr<Net> net;
  std::vector<std::byte> memory;
  ScriptService service;
  CallTable table;
  std::unique_ptr<RpcServer> server;
};

template <class World>
struct Node {
  Node(World& world, uint64_t incarnation)
      : net0(world.MakeNet("node")), net1(world.MakeNet("node")) {
    wire::HelloReply identity;
    identity.set_cluster_id("cluster");
    identity.set_software_version("1");
    identity.set_node_id(7);
    identity.set_node_incarnation(incarnation);
    identity.set_provider(net0->provider());
    identity.add_core_addresses(net0->address());
    identity.add_core_addresses(net1->address());
    identity.set_map_version(3);
    sessions.emplace(SessionTable::Options{.identity = identity, .slabs = 8, .credits_max = 4},
                     random, [this](SessionId) { ++ended; });
    cores.push_back(std::make_unique<Core>(std::move(net0), *sessions, incarnation));
    cores.push_back(std::make_unique<Core>(std::move(net1), *sessions, incarnation));
  }
  // `at`: where to listen.
  void Listen(const std::string& at) {
    auto listened = cores[0]->net->Listen(at, &*sessions);
    ASSERT_TRUE(listened.ok()) << listened.status();
    host_port = *listened;
  }
  Task<void> Stop() {
    cores[0]->net->StopListening();
    co_await sessions->Stop();
    for (auto& core : cores) co_await core->server->Stop();
    for (auto& core : cores) co_await core->net->Stop();
  }

  SystemRandom random;
  std::unique_ptr<Net> net0, net1;
  int ended = 0;
  std::optional<SessionTable> sessions;
  std::vector<std::unique_ptr<Core>> cores;
  std::string host_port;
};

template <class World>
class RpcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!world_.available()) GTEST_SKIP() << "the kernel refuses io_uring";
    node_.emplace(world_, 100);
    client_net_ = world_.MakeNet("client");
    client_.emplace(*client_net_, random_, "test:1");
    ConnectReceiver(*client_net_, nullptr, &*client_);
  }
  // Listening needs the executor.
  template <class Body>
  void Run(Body body) {
    this->world_.Run(Whole(this, body));
  }
  template <class Body>
  static Task<void> Whole(RpcTest* self, Body body) {
    self->node_->Listen(World::ListenAddress("node"));
    co_await body(*self);
    co_await self->client_->Stop();
    co_await self->client_net_->Stop();
    co_await self->node_->Stop();
  }

 public:
  World world_;
  SystemRandom random_;
  std::optional<Node<World>> node_;
  std::unique_ptr<Net> client_net_;
  std::optional<RpcClient> client_;
};

using PollRpcTest = RpcTest<NetWorld<PollWorld>>;
using SimRpcTest = RpcTest<NetWorld<SimWorld>>;

inline CallOptions Within(double seconds) {
  return {.deadline = InSeconds(seconds), .bulks = {}, .request = {}};
}

template <class Fixture>
Task<std::unique_ptr<NodeConnection>> MustConnect(Fixture& test) {
  auto connected = co_await test.client_->Connect(test.node_->host_port, "", InSeconds(5));
  EXPECT_TRUE(connected.ok()) << connected.status();
  CAIRN_CHECK(connected.ok());
  co_return *std::move(connected);
}

inline Task<absl::StatusOr<Script>> Call(NodeConnection& connection, uint32_t core, Script script,
                                         CallOptions options) {
  return connection.Call<Script>(core, wire::PING, script, std::move(options));
}

inline Task<void> CallAndKeep(NodeConnection& connection, Script script, CallOptions options,
                              absl::Status* result) {
  auto reply = co_await Call(connection, 0, std::move(script), std::move(options));
  *result = reply.status();
}

}  // namespace cairn::rpc_tests
