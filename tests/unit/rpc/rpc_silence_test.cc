// Goal: a peer that falls silent, and comes back, touches no memory that its caller has again.
// Method: the simulated net frozen or cut in the middle of a transfer.
#include "tests/unit/rpc/rpc_world.h"

namespace cairn::rpc_tests {
namespace {

// A test's 64 KiB take a second: long enough to be met on their way.
constexpr size_t kSlowBytes = 64 * kKiB;
SimFabric::Faults SlowTransfers() {
  SimFabric::Faults faults;
  faults.bytes_per_second = kSlowBytes;
  return faults;
}

bool AllAre(ConstBytes bytes, char value) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [value](std::byte byte) { return byte == static_cast<std::byte>(value); });
}

// What makes a node silent without ending it, and what brings it back.
struct Silence {
  void (*begin)(SimFabric& fabric);
  void (*end)(SimFabric& fabric);
};

constexpr Silence kFrozenNode = {[](SimFabric& fabric) { fabric.Freeze("node"); },
                                 [](SimFabric& fabric) { fabric.Thaw("node"); }};
constexpr Silence kPartition = {[](SimFabric& fabric) {
                                  fabric.Cut("client", "node");
                                  fabric.Cut("node", "client");
                                },
                                [](SimFabric& fabric) {
                                  fabric.Heal("client", "node");
                                  fabric.Heal("node", "client");
                                }};
// The node still hears the client hang up.
constexpr Silence kDeafClient = {[](SimFabric& fabric) { fabric.Cut("node", "client"); },
                                 [](SimFabric& fabric) { fabric.Heal("node", "client"); }};

// The node falls silent with a write to the caller's memory on its way, and goes on with it when
// the caller has long had its memory back.
Task<void> LateWrites(SimRpcTest& test, Silence silence) {
  SimFabric& fabric = test.world_.fabric();
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  ScriptService& service = test.node_->cores[0]->service;
  const RpcServer& server = *test.node_->cores[0]->server;
  std::fill(service.slab().begin(), service.slab().end(), static_cast<std::byte>('n'));
  std::vector<std::byte> memory(kSlowBytes);
  auto writable = test.client_net_->Register(memory, MemoryAccess::kRemoteWrite);
  fabric.set_faults(SlowTransfers());
  CallOptions options = Within(2);
  options.bulks.push_back((*writable)->descriptor());
  absl::Status late;
  Scope scope;
  scope.Spawn(CallAndKeep(*connection, ScriptOf("push"), std::move(options), &late));
  co_await Until([&service] { return service.calls == 1; });
  silence.begin(fabric);
  co_await scope.Join();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  // The caller's own again: in use for something else, and still registered.
  std::fill(memory.begin(), memory.end(), static_cast<std::byte>('c'));
  auto dialled = co_await test.client_->Connect(test.node_->host_port, "", InSeconds(1));
  EXPECT_FALSE(dialled.ok());
  silence.end(fabric);
  co_await Until([&server] { return server.calls_running() == 0; });
  co_await Pass(2 * SimFabric::kConnectionTimeout);
  EXPECT_TRUE(AllAre(memory, 'c'));
  EXPECT_TRUE(connection->lost());

  // The same call on a new connection reaches it.
  fabric.set_faults({});
  connection = co_await MustConnect(test);
  options = Within(5);
  options.bulks.push_back((*writable)->descriptor());
  auto pushed = co_await Call(*connection, 0, ScriptOf("push"), std::move(options));
  EXPECT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_TRUE(AllAre(memory, 'n'));
}

TEST_F(SimRpcTest, FrozenNodesLateWriteMissesMemoryGivenBack) {
  Run([](SimRpcTest& test) { return LateWrites(test, kFrozenNode); });
}
TEST_F(SimRpcTest, LateWriteAfterAPartitionMissesMemoryGivenBack) {
  Run([](SimRpcTest& test) { return LateWrites(test, kPartition); });
}
TEST_F(SimRpcTest, LateWriteAfterACutOneWayMissesMemoryGivenBack) {
  Run([](SimRpcTest& test) { return LateWrites(test, kDeafClient); });
}

// A reply that is late, not lost, finds nobody who waits and is not taken for the next one.
Task<void> LateReply(SimRpcTest& test) {
  SimFabric& fabric = test.world_.fabric();
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  fabric.Freeze("client");
  auto late = co_await Call(*connection, 0, ScriptOf("first"), Within(0.5));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  EXPECT_EQ(test.node_->cores[0]->service.calls, 1);
  const uint64_t delivered = fabric.messages_delivered();
  fabric.Thaw("client");
  co_await Until([&fabric, delivered] { return fabric.messages_delivered() == delivered + 1; });
  EXPECT_FALSE(connection->lost());
  auto next = co_await Call(*connection, 0, ScriptOf("second"), Within(5));
  EXPECT_TRUE(next.ok()) << next.status();
  if (next.ok()) {
    EXPECT_EQ(next->client_name(), "second");
  }
}
TEST_F(SimRpcTest, LateReplyIsDroppedAndTheConnectionLives) { Run(LateReply); }

// A lost reply, and a lost request: the connection outlives both, and healing it is enough.
Task<void> LostMessages(SimRpcTest& test) {
  SimFabric& fabric = test.world_.fabric();
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  const std::pair<std::string, std::string> ways[] = {{"node", "client"}, {"client", "node"}};
  for (const auto& [from, to] : ways) {
    fabric.Cut(from, to);
    auto lost = co_await Call(*connection, 0, ScriptOf("lost"), Within(0.5));
    EXPECT_TRUE(absl::IsDeadlineExceeded(lost.status())) << lost.status();
    fabric.Heal(from, to);
    EXPECT_FALSE(connection->lost());
    auto next = co_await Call(*connection, 0, ScriptOf("next"), Within(5));
    EXPECT_TRUE(next.ok()) << next.status();
  }
  // The one without a reply ran, the one that was lost did not.
  EXPECT_EQ(test.node_->cores[0]->service.calls, 3);
  // A cut that lasts is noticed by the control connection, and ends calls that would wait longer.
  fabric.Cut("node", "client");
  auto unreachable = co_await Call(*connection, 0, ScriptOf("lost"), Within(300));
  EXPECT_TRUE(absl::IsUnavailable(unreachable.status())) << unreachable.status();
  EXPECT_TRUE(connection->lost());
  fabric.Heal("node", "client");
}
TEST_F(SimRpcTest, ShortCutCostsCallsAndALongOneTheConnection) { Run(LostMessages); }

// Sends a request with a deadline of half a second past RpcClient, which would close the endpoint
// at that time: a process that is stopped cannot.
Task<void> SendPull(SimRpcTest& test, const wire::HelloReply& hello, BulkDescriptor memory) {
  wire::RequestHeader header;
  header.set_call(1);
  header.set_method(wire::PING);
  header.set_session(hello.session());
  header.set_node_incarnation(hello.node_incarnation());
  header.set_deadline_ms(500);
  header.set_reply_address(test.client_net_->address());
  wire::Bulk* const bulk = header.add_bulks();
  bulk->set_key(memory.key);
  bulk->set_address(memory.address);
  bulk->set_length_bytes(memory.length_bytes);
  const absl::StatusOr<std::string> frame =
      EncodeFrame(FrameKind::kRequest, header, ScriptOf("pull").SerializeAsString());
  CAIRN_CHECK(frame.ok());
  const absl::StatusOr<PeerId> peer = test.client_net_->AddPeer(hello.core_addresses(0));
  CAIRN_CHECK(peer.ok());
  const absl::Status sent = co_await test.client_net_->Send(*peer, BytesOf(*frame), InSeconds(5));
  EXPECT_TRUE(sent.ok()) << sent;
}

// Another client gets its answers from the same core meanwhile.
Task<void> ExpectOthersServed(SimRpcTest& test) {
  auto net = test.world_.MakeNet("bystander");
  RpcClient client(*net, test.random_, "bystander:1");
  ConnectReceiver(*net, nullptr, &client);
  auto connection = co_await client.Connect(test.node_->host_port, "", InSeconds(5));
  EXPECT_TRUE(connection.ok()) << connection.status();
  if (connection.ok()) {
    auto reply = co_await Call(**connection, 0, ScriptOf("hi"), Within(5));
    EXPECT_TRUE(reply.ok()) << reply.status();
    connection->reset();
  }
  co_await client.Stop();
  co_await net->Stop();
}

enum class ClientsEnd { kThawed, kKilled };

// A client is stopped with a pull from its memory on its way. The node's slab stays with the call,
// past the call's deadline, until the transfer has ended: in quarantine.
Task<void> Quarantine(SimRpcTest& test, ClientsEnd end) {
  SimFabric& fabric = test.world_.fabric();
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  ScriptService& service = test.node_->cores[0]->service;
  const RpcServer& server = *test.node_->cores[0]->server;
  std::vector<std::byte> memory(kSlowBytes, static_cast<std::byte>('c'));
  auto readable = test.client_net_->Register(memory, MemoryAccess::kRemoteRead);
  fabric.set_faults(SlowTransfers());
  co_await SendPull(test, connection->hello(), (*readable)->descriptor());
  co_await Until([&service] { return service.calls == 1; });
  fabric.Freeze("client");
  co_await Pass(absl::Minutes(5));
  EXPECT_TRUE(service.last_deadline.HasPassed(Executor::Current().clock()));
  EXPECT_EQ(server.calls_running(), 1u);
  EXPECT_TRUE(AllAre(service.slab(), '\0'));
  co_await ExpectOthersServed(test);
  EXPECT_EQ(server.calls_running(), 1u);

  if (end == ClientsEnd::kThawed) {
    fabric.Thaw("client");
  } else {
    fabric.Kill("client");
  }
  co_await Until([&server] { return server.calls_running() == 0; });
  // Late, the transfer was made whole, into memory that nobody else had.
  if (end == ClientsEnd::kThawed) {
    EXPECT_TRUE(AllAre(service.slab().first(kSlowBytes), 'c'));
  }
  co_await ExpectOthersServed(test);
}

TEST_F(SimRpcTest, FrozenClientKeepsTheNodesMemoryInQuarantineUntilItThaws) {
  Run([](SimRpcTest& test) { return Quarantine(test, ClientsEnd::kThawed); });
}
TEST_F(SimRpcTest, FrozenClientKeepsTheNodesMemoryInQuarantineUntilItDies) {
  Run([](SimRpcTest& test) { return Quarantine(test, ClientsEnd::kKilled); });
}

}  // namespace
}  // namespace cairn::rpc_tests
