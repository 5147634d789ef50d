// Goal: a client gets a map of any size, the newest one, and never waits for long for a newer one
// than it has. Method: the real session against a node of the simulation that answers GET_MAP
// alone: as the real service does, slowly, not at all, or nonsense.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/receiver.h"
#include "common/rpc/rpc_server.h"
#include "server/service/meta_service.h"
#include "tests/unit/client/client_world.h"
#include "tests/unit/cluster/large_map.h"

namespace cairn {
namespace {

constexpr uint64_t kIncarnation = 5;

class MapNode {
 public:
  MapNode(SimExecutor& executor, SimFabric& fabric)
      : engine_(kv_, runner_, runner_, runner_, executor.clock(), MetaOptions()),
        net_(fabric.MakeNet("node")) {
    wire::HelloReply identity;
    identity.set_cluster_id("large");
    identity.set_software_version("1");
    identity.set_node_id(1);
    identity.set_node_incarnation(kIncarnation);
    identity.set_provider(net_->provider());
    identity.add_core_addresses(net_->address());
    identity.set_map_version(map.version());
    sessions_ = std::make_unique<SessionTable>(SessionTable::Options{.identity = identity},
                                               executor.random(), [](SessionId) {});
    table_.Add(wire::GET_MAP, this, &MapNode::GetMap);
    server_ = std::make_unique<RpcServer>(*net_, table_, *sessions_,
                                          RpcServer::Options{.node_incarnation = kIncarnation});
    ConnectReceiver(*net_, server_.get(), nullptr);
    EXPECT_TRUE(net_->Listen("node:7440", sessions_.get()).ok());
  }
  Task<void> Stop() {
    net_->StopListening();
    co_await sessions_->Stop();
    co_await server_->Stop();
    co_await net_->Stop();
  }
  // A node dies, or comes back.
  void Change() {
    const wire::ClusterMap before = map;
    const bool up = map.nodes(0).state() == wire::NODE_UP;
    map.mutable_nodes(0)->set_state(up ? wire::NODE_DOWN : wire::NODE_UP);
    map.set_version(map.version() + 1);
    if (knows_changes) history_.Note(before, map);
    sessions_->SetMapVersion(map.version());
  }
  size_t parts() const { return (map.ByteSizeLong() + 60 * kKiB - 1) / (60 * kKiB); }

  wire::ClusterMap map = LargeMap();
  bool knows_changes = false;
  std::vector<wire::GetMapRequest> requests;
  // Called with each request, before it is answered.
  std::function<void()> on_request = [] {};
  absl::Duration delay = absl::ZeroDuration();
  // Instead of what the service says.
  std::function<absl::StatusOr<wire::GetMapReply>()> answer;

 private:
  Task<absl::StatusOr<wire::GetMapReply>> GetMap(CallContext& call,
                                                 const wire::GetMapRequest& request) {
    requests.push_back(request);
    on_request();
    if (delay > absl::ZeroDuration()) co_await Pass(delay);
    if (answer != nullptr) co_return answer();
    co_return co_await service_.GetMap(call, request);
  }

  SimKv kv_{kMetaFamilyCount};
  SimBlockingRunner runner_;
  MetaEngine engine_;  // never started: the map does not come from it
  MapHistory history_;
  MetaService service_{engine_, [this]() -> const wire::ClusterMap& { return map; }, history_,
                       nullptr};
  std::unique_ptr<SimNet> net_;
  CallTable table_;
  std::unique_ptr<SessionTable> sessions_;
  std::unique_ptr<RpcServer> server_;
};

class MapFetch : public ::testing::Test {
 protected:
  MapFetch() : net_(fabric_.MakeNet("client")) {
    session_ =
        std::make_unique<Session>(*net_, random_, Session::Options{{"node:7440"}, "test:1", 8});
    net_->SetReceiver([to = session_.get()](ConstBytes message) { to->OnMessage(message); });
  }
  ~MapFetch() override {
    executor_.Run(session_->Stop());
    executor_.Run(net_->Stop());
    net_.reset();
    session_.reset();
    executor_.Run(node_.Stop());
  }

  using Fetched = absl::StatusOr<std::shared_ptr<const MapIndex>>;
  Deadline In(absl::Duration patience) { return Deadline::After(executor_.clock(), patience); }
  Fetched Map(absl::Duration patience = absl::Seconds(60)) {
    const MonoTime began = executor_.clock().Now();
    Fetched map = executor_.Run(session_->Map(In(patience)));
    waited_ = executor_.clock().Now() - began;
    return map;
  }
  void ExpectNewest(const Fetched& map) {
    ASSERT_TRUE(map.ok()) << map.status();
    EXPECT_TRUE((*map)->map().SerializeAsString() == node_.map.SerializeAsString());
  }
  // There is a newer map, and a reply has said so.
  void AnnounceChange() {
    node_.Change();
    const auto refused = executor_.Run(session_->Meta<wire::StatusReply>(
        wire::STATUS, wire::StatusRequest(), In(absl::Seconds(1))));
    ASSERT_TRUE(absl::IsUnimplemented(refused.status())) << refused.status();
    ASSERT_EQ(session_->newest_map_version(), node_.map.version());
  }
  size_t FirstParts() const {
    return static_cast<size_t>(
        std::count_if(node_.requests.begin(), node_.requests.end(),
                      [](const auto& request) { return request.offset_bytes() == 0; }));
  }

  SimExecutor executor_{7};
  SimFabric fabric_{executor_};
  SeededRandom random_{7};
  MapNode node_{executor_, fabric_};
  std::unique_ptr<SimNet> net_;
  std::unique_ptr<Session> session_;
  absl::Duration waited_;
};

TEST_F(MapFetch, ALargeMapComesInParts) {
  ASSERT_GT(node_.parts(), 5u);
  const Fetched map = Map();
  ASSERT_NO_FATAL_FAILURE(ExpectNewest(map));
  EXPECT_EQ(node_.requests.size(), node_.parts());
  const wire::PlacementGroup& group = node_.map.groups(1000);
  const auto member = (*map)->MemberOf(PgId(group.id()), 0);
  ASSERT_TRUE(member.ok()) << member.status();
  EXPECT_EQ((*member)->id(), group.targets(0));
  EXPECT_EQ((*map)->FindNode(NodeId((*member)->node()))->id(), (*member)->node());
  EXPECT_TRUE(absl::IsFailedPrecondition((*map)->MemberOf(PgId(group.id()), 1).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition((*map)->MemberOf(PgId(1'000'000), 0).status()));
  EXPECT_TRUE((*map)->RedundancyOf(PgId(group.id())).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition((*map)->RedundancyOf(PgId(1'000'000)).status()));
  EXPECT_EQ((*map)->FindTarget(TargetId(1'000'000)), nullptr);
  // No newer one, no question.
  ExpectNewest(Map());
  EXPECT_EQ(node_.requests.size(), node_.parts());
}

TEST_F(MapFetch, AChangeInTheMiddleLeadsToTheNewMap) {
  node_.on_request = [this] {
    if (node_.requests.size() == 4) node_.Change();
  };
  ASSERT_NO_FATAL_FAILURE(ExpectNewest(Map()));
  EXPECT_EQ(node_.map.version(), 2u);
  EXPECT_EQ(node_.requests.size(), 3 + node_.parts());
}

TEST_F(MapFetch, AMapThatChangesWithoutEndEndsAtTheDeadline) {
  uint64_t version = 1;
  node_.answer = [&version] {
    wire::GetMapReply reply;
    reply.set_version(++version);
    reply.set_total_bytes(100);
    reply.set_part("begin");
    return reply;
  };
  const Fetched map = Map(absl::Milliseconds(200));
  EXPECT_TRUE(absl::IsDeadlineExceeded(map.status())) << map.status();
  EXPECT_LT(waited_, absl::Seconds(1));
  EXPECT_GT(version, 10u);
}

TEST_F(MapFetch, NonsenseIsAnErrorOnceAndNeverTakesTheOldMapsPlace) {
  wire::GetMapReply reply;
  node_.answer = [&reply] { return reply; };
  EXPECT_TRUE(absl::IsDataLoss(Map().status())) << "no map at all";
  reply.set_version(1);
  reply.set_total_bytes(uint64_t{1} << 60);
  reply.set_part("x");
  EXPECT_TRUE(absl::IsDataLoss(Map().status()));
  node_.answer = nullptr;
  ASSERT_NO_FATAL_FAILURE(ExpectNewest(Map()));

  ASSERT_NO_FATAL_FAILURE(AnnounceChange());
  node_.answer = [&reply] { return reply; };
  const Fetched old = Map();
  ASSERT_TRUE(old.ok()) << old.status();
  EXPECT_EQ((*old)->version(), 1u);
  EXPECT_LT(waited_, absl::Seconds(1));
  node_.answer = nullptr;
  executor_.RunFor(absl::Seconds(1));
  ExpectNewest(Map());
}

TEST_F(MapFetch, ANewerMapThatCannotBeHadIsWaitedForASecondAndNotSoonAgain) {
  ASSERT_NO_FATAL_FAILURE(ExpectNewest(Map()));
  ASSERT_NO_FATAL_FAILURE(AnnounceChange());
  fabric_.Freeze("node");
  for (int round = 0; round < 3; ++round) {
    Fetched map = Map();
    ASSERT_TRUE(map.ok()) << map.status();
    EXPECT_EQ((*map)->version(), 1u);
    EXPECT_GT(waited_, absl::Milliseconds(900));
    EXPECT_LT(waited_, absl::Milliseconds(1100));
    map = Map();
    ASSERT_TRUE(map.ok()) << map.status();
    EXPECT_LT(waited_, absl::Milliseconds(10));
    executor_.RunFor(absl::Seconds(1));
  }
  // Who needs the newest one waits for it.
  const MonoTime began = executor_.clock().Now();
  const Fetched none = executor_.Run(session_->NewestMap(In(absl::Seconds(5))));
  EXPECT_FALSE(none.ok());
  EXPECT_GT(executor_.clock().Now() - began, absl::Seconds(4));
  fabric_.Thaw("node");
  ExpectNewest(executor_.Run(session_->NewestMap(In(absl::Seconds(5)))));
}

TEST_F(MapFetch, OfALargeMapOnlyTheChangesCome) {
  node_.knows_changes = true;
  ASSERT_NO_FATAL_FAILURE(ExpectNewest(Map()));
  node_.requests.clear();
  for (int i = 0; i < 5; ++i) node_.Change();
  ASSERT_NO_FATAL_FAILURE(AnnounceChange());
  ExpectNewest(Map());
  EXPECT_EQ(node_.requests.size(), 1u);
}

TEST_F(MapFetch, ChangesThatDoNotFitLeadToTheWholeMap) {
  ASSERT_NO_FATAL_FAILURE(ExpectNewest(Map()));
  ASSERT_NO_FATAL_FAILURE(AnnounceChange());
  node_.answer = [] {
    wire::GetMapReply reply;
    reply.add_changes()->mutable_entries()->set_version(77);
    return reply;
  };
  const Fetched old = Map();
  ASSERT_TRUE(old.ok()) << old.status();
  EXPECT_EQ((*old)->version(), 1u);
  node_.answer = nullptr;
  node_.requests.clear();
  executor_.RunFor(absl::Seconds(1));
  ASSERT_NO_FATAL_FAILURE(ExpectNewest(Map()));
  EXPECT_FALSE(node_.requests.front().takes_changes());
  // From there on by changes again.
  node_.knows_changes = true;
  node_.requests.clear();
  ASSERT_NO_FATAL_FAILURE(AnnounceChange());
  ExpectNewest(Map());
  EXPECT_EQ(node_.requests.size(), 1u);
}

Task<absl::Status> AskLater(Session* session, absl::Duration later) {
  co_await Pass(later);
  const auto map =
      co_await session->Map(Deadline::After(Executor::Current().clock(), absl::Seconds(60)));
  co_return map.status();
}

TEST_F(MapFetch, ManyWaitNoLongerForANewerMapThanOne) {
  ASSERT_NO_FATAL_FAILURE(ExpectNewest(Map()));
  ASSERT_NO_FATAL_FAILURE(AnnounceChange());
  fabric_.Freeze("node");
  std::vector<Task<absl::Status>> waits;
  for (int i = 0; i < 20; ++i)
    waits.push_back(AskLater(session_.get(), absl::Milliseconds(40 * i)));
  const MonoTime began = executor_.clock().Now();
  EXPECT_EQ(executor_.Run(WhenAllOk(std::move(waits))), absl::OkStatus());
  EXPECT_LT(executor_.clock().Now() - began, absl::Milliseconds(1100));
  fabric_.Thaw("node");
}

// A service that thousands ask at once takes longer than anybody waits.
TEST_F(MapFetch, TriesThatAreCutShortGetThroughTogether) {
  ASSERT_NO_FATAL_FAILURE(ExpectNewest(Map()));
  ASSERT_NO_FATAL_FAILURE(AnnounceChange());
  node_.delay = absl::Milliseconds(300);
  node_.requests.clear();
  Fetched map = Map();
  int tries = 1;
  for (; tries < 10 && map.ok() && (*map)->version() == 1; ++tries) {
    EXPECT_LT(waited_, absl::Milliseconds(1100));
    executor_.RunFor(absl::Seconds(1));
    map = Map();
  }
  ASSERT_NO_FATAL_FAILURE(ExpectNewest(map));
  EXPECT_GT(tries, 1);
  EXPECT_EQ(FirstParts(), 1u);
}

}  // namespace
}  // namespace cairn
