// RPC between a node and its clients over every Net: round trips, bulk bytes both ways, refusals,
// deadlines, restarts, the end of sessions. A node is a server with two cores; PING carries a
// script that the handler obeys.
#include "tests/unit/rpc/rpc_world.h"

namespace cairn::rpc_tests {
namespace {

TYPED_TEST_SUITE(RpcTest, NetWorlds);

template <class Fixture>
Task<void> RoundTrip(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  EXPECT_EQ(connection->hello().node_id(), 7u);
  EXPECT_EQ(connection->hello().protocol_version(), kProtocolVersion);
  EXPECT_EQ(connection->map_version(), 3u);
  EXPECT_EQ(connection->window().available(), 4);
  EXPECT_EQ(test.node_->sessions->size(), 1u);
  for (uint32_t core = 0; core < 2; ++core) {
    CallOptions options = Within(5);
    options.request = {11, 22};
    auto reply = co_await Call(*connection, core, ScriptOf("hi"), std::move(options));
    EXPECT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->client_name(), "hi");
    EXPECT_EQ(test.node_->cores[core]->service.calls, 1);
    EXPECT_EQ(test.node_->cores[core]->service.last_request.sequence, 22u);
    const absl::Duration left =
        test.node_->cores[core]->service.last_deadline.Remaining(Executor::Current().clock());
    EXPECT_LE(left, absl::Seconds(5));
    EXPECT_GT(left, absl::Seconds(2));
  }
  test.node_->sessions->SetMapVersion(9);
  auto reply = co_await Call(*connection, 0, ScriptOf("hi"), Within(5));
  EXPECT_EQ(connection->map_version(), 9u);
  auto wrong_core = co_await Call(*connection, 2, ScriptOf("hi"), Within(5));
  EXPECT_TRUE(absl::IsInvalidArgument(wrong_core.status()));
}
TYPED_TEST(RpcTest, RoundTripToEveryCore) { this->Run(RoundTrip<TestFixture>); }

template <class Fixture>
Task<void> Errors(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  auto failed = co_await Call(*connection, 0, ScriptOf("fail"), Within(5));
  EXPECT_TRUE(absl::IsNotFound(failed.status())) << failed.status();
  EXPECT_EQ(failed.status().message(), std::string(1024, 'n'));
  failed = co_await Call(*connection, 0, ScriptOf("bytes"), Within(5));
  EXPECT_EQ(failed.status(), absl::NotFoundError("\xff\xfe is no text"));
  failed = co_await Call(*connection, 0, ScriptOf("long"), Within(5));
  EXPECT_TRUE(absl::IsResourceExhausted(failed.status())) << failed.status();
  auto unknown = co_await connection->CallRaw(0, static_cast<wire::Method>(9999), "", Within(5));
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kUnimplemented) << unknown.status();
  auto garbage = co_await connection->CallRaw(0, wire::PING, "\xff\xff\xff", Within(5));
  EXPECT_TRUE(absl::IsInvalidArgument(garbage.status())) << garbage.status();
  auto too_long =
      co_await connection->CallRaw(0, wire::PING, std::string(kMaxMessageBytes, 'x'), Within(5));
  EXPECT_TRUE(absl::IsResourceExhausted(too_long.status())) << too_long.status();
  EXPECT_FALSE(connection->lost());
}
TYPED_TEST(RpcTest, ErrorsOfHandlersAndOfFramesReachTheCaller) { this->Run(Errors<TestFixture>); }

template <class Fixture>
Task<void> Bulks(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  // A gather list: pieces of different memory, out of order, the first too long for one RMA call.
  std::vector<std::byte> memory = Pattern(5 * kMiB, 8);
  const std::vector<std::byte> original = memory;
  auto readable = test.client_net_->Register(memory, MemoryAccess::kRemoteRead);
  auto writable = test.client_net_->Register(memory, MemoryAccess::kRemoteWrite);
  const std::vector<std::pair<uint64_t, uint64_t>> pieces = {
      {2 * kMiB, 5 * kMiB / 2}, {100, 1}, {5000, 100'000}, {300'000, kMiB}};
  CallOptions pull = Within(10);
  CallOptions push = Within(10);
  std::vector<std::byte> expected;
  for (const auto& [offset, length] : pieces) {
    BulkDescriptor from = (*readable)->descriptor();
    BulkDescriptor to = (*writable)->descriptor();
    pull.bulks.push_back({from.key, from.address + offset, length});
    push.bulks.push_back({to.key, to.address + offset, length});
    expected.insert(expected.end(), memory.begin() + offset, memory.begin() + offset + length);
  }
  auto pulled = co_await Call(*connection, 1, ScriptOf("pull"), std::move(pull));
  EXPECT_TRUE(pulled.ok()) << pulled.status();
  const MutableBytes slab = test.node_->cores[1]->service.slab();
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), slab.begin()));

  for (std::byte& byte : slab) byte = ~byte;
  auto pushed = co_await Call(*connection, 1, ScriptOf("push"), std::move(push));
  EXPECT_TRUE(pushed.ok()) << pushed.status();
  size_t changed = 0;
  for (size_t i = 0; i < memory.size(); ++i) {
    const bool inside = std::any_of(pieces.begin(), pieces.end(), [i](const auto& piece) {
      return i >= piece.first && i < piece.first + piece.second;
    });
    changed += memory[i] == (inside ? ~original[i] : original[i]);
  }
  EXPECT_EQ(changed, memory.size());
}
TYPED_TEST(RpcTest, BulksArePulledAndPushedAsOneConcatenation) { this->Run(Bulks<TestFixture>); }

template <class Fixture>
Task<void> Deadlines(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  auto late = co_await Call(*connection, 0, ScriptOf("wait"), Within(0.05));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  EXPECT_FALSE(connection->lost());
  test.node_->cores[0]->service.release.Set();
  // The late reply finds nobody, and the next call works.
  auto next = co_await Call(*connection, 0, ScriptOf("next"), Within(5));
  EXPECT_TRUE(next.ok()) << next.status();
  auto never =
      co_await Call(*connection, 0, ScriptOf("hi"),
                    CallOptions{.deadline = Deadline(MonoTime(0)), .bulks = {}, .request = {}});
  EXPECT_TRUE(absl::IsDeadlineExceeded(never.status())) << never.status();
}
TYPED_TEST(RpcTest, PassedDeadlineEndsTheCallAndNotTheConnection) {
  this->Run(Deadlines<TestFixture>);
}

template <class Fixture>
Task<void> BulkDeadline(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  std::vector<std::byte> memory(65536);
  auto writable = test.client_net_->Register(memory, MemoryAccess::kRemoteWrite);
  const BulkDescriptor exposed = (*writable)->descriptor();
  const std::string address = test.client_net_->address();
  CallOptions options = Within(0.05);
  options.bulks.push_back(exposed);
  auto late = co_await Call(*connection, 0, ScriptOf("wait"), std::move(options));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  // The node still had the right to write: the endpoint is a new one, and the memory has a new key.
  EXPECT_NE(test.client_net_->address(), address);
  EXPECT_NE((*writable)->descriptor().key, exposed.key);
  EXPECT_TRUE(connection->lost());
  test.node_->cores[0]->service.release.Set();
  auto refused = co_await Call(*connection, 0, ScriptOf("hi"), Within(5));
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
  // A new hello works.
  connection = co_await MustConnect(test);
  auto again = co_await Call(*connection, 0, ScriptOf("hi"), Within(5));
  EXPECT_TRUE(again.ok()) << again.status();
}
TYPED_TEST(RpcTest, BulkCallWithoutAReplyResetsTheEndpoint) {
  this->Run(BulkDeadline<TestFixture>);
}

template <class Fixture>
Task<void> NodeAnswersFirst(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  std::vector<std::byte> memory(65536);
  auto writable = test.client_net_->Register(memory, MemoryAccess::kRemoteWrite);
  const std::string address = test.client_net_->address();
  for (const double seconds : {0.2, 1.5}) {
    CallOptions options = Within(seconds);
    options.bulks.push_back((*writable)->descriptor());
    auto late = co_await Call(*connection, 0, ScriptOf("until deadline"), std::move(options));
    EXPECT_EQ(late.status(), absl::DeadlineExceededError("the node was too slow"));
    EXPECT_FALSE(connection->lost());
    EXPECT_EQ(test.client_net_->address(), address);
  }
}
TYPED_TEST(RpcTest, SlowNodeAnswersBeforeItsCallerGivesUp) {
  this->Run(NodeAnswersFirst<TestFixture>);
}

template <class Fixture>
Task<void> CallLimit(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  Scope scope;
  std::vector<absl::Status> results(4);
  for (absl::Status& result : results) {
    scope.Spawn(CallAndKeep(*connection, ScriptOf("wait"), Within(10), &result));
  }
  co_await Until([&test] { return test.node_->cores[0]->service.calls == 4; });
  auto fifth = co_await Call(*connection, 0, ScriptOf("hi"), Within(5));
  EXPECT_TRUE(absl::IsUnavailable(fifth.status())) << fifth.status();
  auto other_core = co_await Call(*connection, 1, ScriptOf("hi"), Within(5));
  EXPECT_TRUE(other_core.ok()) << other_core.status();
  test.node_->cores[0]->service.release.Set();
  co_await scope.Join();
  for (const absl::Status& result : results) EXPECT_TRUE(result.ok()) << result;
}
TYPED_TEST(RpcTest, CallsAboveTheSessionsLimitAreRefused) { this->Run(CallLimit<TestFixture>); }

// A call that moves bytes; the reply tells the session's share.
template <class Fixture>
Task<void> MoveBytes(Fixture& test, NodeConnection& connection) {
  std::vector<std::byte> memory(100);
  auto region = test.client_net_->Register(memory, MemoryAccess::kRemoteRead);
  CallOptions options = Within(5);
  options.bulks.push_back((*region)->descriptor());
  auto moved = co_await Call(connection, 0, ScriptOf("pull"), std::move(options));
  EXPECT_TRUE(moved.ok()) << moved.status();
}

template <class Fixture>
Task<void> SessionEnd(Fixture& test) {
  std::unique_ptr<NodeConnection> first = co_await MustConnect(test);
  std::unique_ptr<NodeConnection> second = co_await MustConnect(test);
  std::unique_ptr<NodeConnection> third = co_await MustConnect(test);
  EXPECT_NE(first->hello().session(), second->hello().session());
  EXPECT_EQ(test.node_->sessions->size(), 3u);
  // Eight slabs for three sessions, and for two as long as the third is idle.
  co_await MoveBytes(test, *second);
  co_await MoveBytes(test, *first);
  EXPECT_EQ(first->window().available(), 4);
  co_await MoveBytes(test, *third);
  co_await MoveBytes(test, *first);
  EXPECT_EQ(first->window().available(), 2);
  second.reset();
  third.reset();
  co_await Until([&test] { return test.node_->ended == 2; });
  EXPECT_EQ(test.node_->sessions->size(), 1u);
  co_await MoveBytes(test, *first);
  EXPECT_EQ(first->window().available(), 4);
}
TYPED_TEST(RpcTest, SessionEndsWithItsConnectionAndSharesItsCredits) {
  this->Run(SessionEnd<TestFixture>);
}

// Also sessions that stay: clients that train, or evaluate, between their saves.
Task<void> Idling(SimRpcTest& test) {
  std::unique_ptr<NodeConnection> first = co_await MustConnect(test);
  std::unique_ptr<NodeConnection> second = co_await MustConnect(test);
  std::unique_ptr<NodeConnection> third = co_await MustConnect(test);
  for (NodeConnection* each : {second.get(), third.get(), first.get()})
    co_await MoveBytes(test, *each);
  EXPECT_EQ(first->window().available(), 2);
  co_await Pass(absl::Seconds(5));
  co_await MoveBytes(test, *first);
  EXPECT_EQ(first->window().available(), 4);
}
TEST_F(SimRpcTest, IdleSessionsLeaveTheirCreditsToTheOthers) { Run(Idling); }

template <class Fixture>
Task<void> Hellos(Fixture& test) {
  auto other =
      co_await test.client_->Connect(test.node_->host_port, "another cluster", InSeconds(5));
  EXPECT_TRUE(absl::IsFailedPrecondition(other.status())) << other.status();
  EXPECT_NE(std::string(other.status().message()).find("cluster"), std::string::npos);
  auto same = co_await test.client_->Connect(test.node_->host_port, "cluster", InSeconds(5));
  EXPECT_TRUE(same.ok()) << same.status();
  wire::HelloRequest old;
  old.set_protocol_version(99);
  auto dialed =
      co_await test.client_net_->Dial(test.node_->host_port, old.SerializeAsString(), InSeconds(5));
  EXPECT_TRUE(absl::IsFailedPrecondition(dialed.status())) << dialed.status();
  dialed = co_await test.client_net_->Dial(test.node_->host_port, "\xff\xff", InSeconds(5));
  EXPECT_TRUE(absl::IsInvalidArgument(dialed.status())) << dialed.status();
  old.set_protocol_version(kProtocolVersion);
  old.set_provider("carrier pigeon");
  dialed =
      co_await test.client_net_->Dial(test.node_->host_port, old.SerializeAsString(), InSeconds(5));
  EXPECT_TRUE(absl::IsFailedPrecondition(dialed.status())) << dialed.status();
}
TYPED_TEST(RpcTest, WrongHellosAreRefusedInWords) { this->Run(Hellos<TestFixture>); }

// The node restarts: at the same HOST:PORT another incarnation listens.
template <class Fixture>
Task<void> NodeStops(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  auto reply = co_await Call(*connection, 0, ScriptOf("hi"), Within(5));
  EXPECT_TRUE(reply.ok()) << reply.status();
  absl::Status waiting;
  Scope scope;
  scope.Spawn(CallAndKeep(*connection, ScriptOf("wait"), Within(30), &waiting));
  co_await test.node_->cores[0]->service.started;
  test.node_->cores[0]->net->StopListening();
  co_await test.node_->sessions->Stop();
  // The control connection tells at once; nobody waits for 30 s.
  const MonoTime began = Executor::Current().clock().Now();
  co_await scope.Join();
  EXPECT_LT(Executor::Current().clock().Now() - began, absl::Seconds(5));
  EXPECT_TRUE(absl::IsUnavailable(waiting)) << waiting;
  EXPECT_TRUE(connection->lost());
  test.node_->cores[0]->service.release.Set();
  auto gone = co_await test.client_->Connect(test.node_->host_port, "", InSeconds(5));
  EXPECT_TRUE(absl::IsUnavailable(gone.status())) << gone.status();
}
TYPED_TEST(RpcTest, LostControlConnectionFailsCallsAtOnce) { this->Run(NodeStops<TestFixture>); }

// A request with the session or the incarnation of an earlier life, sent past the client.
template <class Fixture>
Task<void> StaleRequests(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  auto stale = test.world_.MakeNet("stale");
  RpcClient stale_client(*stale, test.random_, "stale:1");
  ConnectReceiver(*stale, nullptr, &stale_client);
  auto stale_connection = co_await stale_client.Connect(test.node_->host_port, "", InSeconds(5));
  CAIRN_CHECK(stale_connection.ok());
  // End the session on the node only, as a restart would: the table forgets it.
  const SessionId session((*stale_connection)->hello().session());
  EXPECT_TRUE(test.node_->sessions->Find(session).has_value());
  auto first = co_await Call(**stale_connection, 0, ScriptOf("hi"), Within(5));
  EXPECT_TRUE(first.ok()) << first.status();
  test.node_->cores[0]->server = std::make_unique<RpcServer>(
      *test.node_->cores[0]->net, test.node_->cores[0]->table, *test.node_->sessions,
      RpcServer::Options{.node_incarnation = 101});
  ConnectReceiver(*test.node_->cores[0]->net, test.node_->cores[0]->server.get(), nullptr);
  auto refused = co_await Call(**stale_connection, 0, ScriptOf("hi"), Within(5));
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
  EXPECT_TRUE((*stale_connection)->lost());
  EXPECT_EQ(test.node_->cores[0]->server->counters().refused, 1u);
  EXPECT_EQ(test.node_->cores[0]->server->counters().calls, 0u);
  stale_connection->reset();
  co_await stale_client.Stop();
  co_await stale->Stop();
}
TYPED_TEST(RpcTest, RequestForAnEarlierIncarnationIsRefused) {
  this->Run(StaleRequests<TestFixture>);
}

template <class Fixture>
Task<void> ClientStops(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  absl::Status waiting;
  Scope scope;
  scope.Spawn(CallAndKeep(*connection, ScriptOf("wait"), Within(30), &waiting));
  co_await test.node_->cores[0]->service.started;
  co_await test.client_->Stop();
  co_await scope.Join();
  EXPECT_TRUE(absl::IsCancelled(waiting)) << waiting;
  auto after = co_await Call(*connection, 0, ScriptOf("hi"), Within(5));
  EXPECT_TRUE(absl::IsCancelled(after.status())) << after.status();
  test.node_->cores[0]->service.release.Set();
}
TYPED_TEST(RpcTest, StoppedClientCancelsItsCalls) { this->Run(ClientStops<TestFixture>); }

template <class Fixture>
Task<void> Malformed(Fixture& test) {
  auto peer = test.client_net_->AddPeer(test.node_->cores[0]->net->address());
  const std::vector<std::string> garbage = {"", "x", std::string(20, '\0'), std::string(1000, 'z'),
                                            std::string(kMaxMessageBytes, '\x7f')};
  for (const std::string& message : garbage) {
    const absl::Status sent =
        co_await test.client_net_->Send(*peer, BytesOf(message), InSeconds(5));
    EXPECT_TRUE(sent.ok()) << sent;
  }
  const size_t expected = garbage.size();
  co_await Until(
      [&test, expected] { return test.node_->cores[0]->server->counters().malformed == expected; });
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  auto reply = co_await Call(*connection, 0, ScriptOf("hi"), Within(5));
  EXPECT_TRUE(reply.ok()) << reply.status();
}
TYPED_TEST(RpcTest, MalformedMessagesAreDroppedAndCounted) { this->Run(Malformed<TestFixture>); }

// Two hundred calls while the network loses and repeats messages: each ends, none runs twice.
Task<void> CallsUnderFaults(NodeConnection& connection, int* ok, int* late) {
  for (int i = 0; i < 200; ++i) {
    auto reply = co_await Call(connection, 0, ScriptOf("hi"), Within(0.5));
    if (reply.ok()) {
      ++*ok;
    } else {
      EXPECT_TRUE(absl::IsDeadlineExceeded(reply.status())) << reply.status();
      ++*late;
    }
  }
}

template <class Fixture>
Task<void> Faults(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  SimFabric::Faults faults;
  faults.lost_per_mille = 100;
  faults.duplicated_per_mille = 200;
  test.world_.fabric().set_faults(faults);
  int ok = 0;
  int late = 0;
  co_await CallsUnderFaults(*connection, &ok, &late);
  test.world_.fabric().set_faults({});
  EXPECT_EQ(ok + late, 200);
  EXPECT_GT(ok, 100);
  EXPECT_GT(late, 0);
  EXPECT_GT(test.node_->cores[0]->server->counters().duplicates, 0u);
  EXPECT_LE(test.node_->cores[0]->service.calls, 200);
}

// A client whose endpoint is on another family's interface could never be answered.
template <class Fixture>
Task<void> ForeignFabricAddress(Fixture& test) {
  wire::HelloRequest hello;
  hello.set_protocol_version(kProtocolVersion);
  hello.set_client_address(std::string(28, '\x0a'));
  auto dialed = co_await test.client_net_->Dial(test.node_->host_port, hello.SerializeAsString(),
                                                InSeconds(5));
  EXPECT_TRUE(absl::IsFailedPrecondition(dialed.status())) << dialed.status();
  EXPECT_EQ(test.node_->sessions->size(), 0u);
}
TEST_F(PollRpcTest, AddressThatTheFabricCannotKnowIsRefusedInTheHello) {
  Run(ForeignFabricAddress<PollRpcTest>);
}

TEST_F(SimRpcTest, LostAndRepeatedMessagesCostTimeAndNothingElse) { Run(Faults<SimRpcTest>); }

template <class Fixture>
Task<void> NodeDies(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  std::vector<std::byte> memory(65536);
  auto writable = test.client_net_->Register(memory, MemoryAccess::kRemoteWrite);
  CallOptions options = Within(30);
  options.bulks.push_back((*writable)->descriptor());
  absl::Status waiting;
  Scope scope;
  scope.Spawn(CallAndKeep(*connection, ScriptOf("wait"), std::move(options), &waiting));
  co_await test.node_->cores[0]->service.started;
  test.world_.fabric().Kill("node");
  co_await scope.Join();
  EXPECT_TRUE(absl::IsUnavailable(waiting)) << waiting;
  test.node_->cores[0]->service.release.Set();
}
TEST_F(SimRpcTest, KilledNodeFailsBulkCallsAtOnce) { Run(NodeDies<SimRpcTest>); }

template <class Fixture>
Task<void> RequestLost(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  absl::Status waiting;
  Scope scope;
  scope.Spawn(CallAndKeep(*connection, ScriptOf("wait"), Within(30), &waiting));
  co_await test.node_->cores[0]->service.started;
  const MonoTime began = Executor::Current().clock().Now();
  auto& net = static_cast<SimNet&>(*test.client_net_);
  net.LosePeer(test.node_->cores[1]->net->address());
  net.LosePeer("sim:unknown");
  co_await scope.Join();
  EXPECT_TRUE(absl::IsUnavailable(waiting)) << waiting;
  EXPECT_TRUE(connection->lost());
  EXPECT_LT(Executor::Current().clock().Now() - began, absl::Seconds(1));
  test.node_->cores[0]->service.release.Set();
}
TEST_F(SimRpcTest, RequestLostOnTheFabricEndsItsConnectionAtOnce) { Run(RequestLost<SimRpcTest>); }

// The process is out of descriptors for a moment, right when it needs a new endpoint.
template <class Fixture>
Task<void> ResetFails(Fixture& test) {
  std::unique_ptr<NodeConnection> connection = co_await MustConnect(test);
  test.world_.fabric().FailResets("client", 2);
  test.client_->ResetEndpoint();
  EXPECT_TRUE(connection->lost());
  auto refused = co_await test.client_->Connect(test.node_->host_port, "", InSeconds(5));
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
  EXPECT_NE(std::string(refused.status().message()).find("open files"), std::string::npos);
  connection = co_await MustConnect(test);
  auto again = co_await Call(*connection, 0, ScriptOf("hi"), Within(5));
  EXPECT_TRUE(again.ok()) << again.status();
}
TEST_F(SimRpcTest, ResetThatFailedIsTriedAgainByTheNextConnect) { Run(ResetFails<SimRpcTest>); }

}  // namespace
}  // namespace cairn::rpc_tests
