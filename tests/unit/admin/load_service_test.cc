// Goal: `cairn top` hears from every node that is up, page by page, and a node that does not answer
// costs the others nothing. Method: the service with a map whose nodes the test answers for.
#include "server/admin/load_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/task/stop.h"
#include "tests/sim/sim_executor.h"
#include "tests/sim/sim_net.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class LoadServiceTest : public ::testing::Test {
 protected:
  void AddNodes(uint32_t count) {
    // The map's order is not that of the ids.
    for (uint32_t id = count; id >= 1; --id) {
      map_.add_nodes()->set_id(id);
      map_.mutable_nodes()->rbegin()->set_state(wire::NODE_UP);
    }
  }
  Task<absl::StatusOr<wire::NodeLoadReply>> Answer(wire::NodeInfo node, Deadline deadline) {
    if (slow_.contains(node.id())) {
      StopSource never;
      (void)co_await SleepUntil(deadline, never);
      co_return absl::DeadlineExceededError("silent");
    }
    wire::NodeLoadReply reply;
    reply.set_node(node.id());
    for (size_t i = 0; i < clients_; ++i) reply.add_clients()->set_name(std::string(64, 'c'));
    co_return reply;
  }
  wire::ClusterLoadReply Ask(uint32_t from) {
    CallContext call(*net_, PeerId(1), SessionId(1),
                     Deadline::After(executor_.clock(), absl::Seconds(60)), RequestId(), {});
    wire::ClusterLoadRequest request;
    request.set_from_node(from);
    auto reply = executor_.Run(service_.ClusterLoad(call, request));
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *reply : wire::ClusterLoadReply();
  }
  // All pages.
  std::vector<uint32_t> AskAll() {
    std::vector<uint32_t> nodes;
    uint32_t from = 0;
    for (int pages = 0; pages < 100; ++pages) {
      const wire::ClusterLoadReply reply = Ask(from);
      EXPECT_LE(reply.ByteSizeLong(), kMaxReplyBytes);
      for (const auto& node : reply.nodes()) nodes.push_back(node.node());
      if (reply.next_node() <= from) break;
      from = reply.next_node();
    }
    return nodes;
  }

  SimExecutor executor_{1};
  SimFabric fabric_{executor_};
  std::unique_ptr<SimNet> net_ = fabric_.MakeNet("node-1");
  wire::ClusterMap map_;
  std::set<uint32_t> slow_;
  size_t clients_ = 1;
  LoadService service_{{[this]() -> const wire::ClusterMap& { return map_; },
                        [this](wire::NodeInfo node, Deadline deadline) {
                          return Answer(std::move(node), deadline);
                        }}};
};

TEST_F(LoadServiceTest, EveryNodeThatIsUpIsAskedOnce) {
  AddNodes(40);
  map_.mutable_nodes(0)->set_state(wire::NODE_DOWN);  // 40
  map_.mutable_nodes(39)->set_state(wire::NODE_OUT);  // 1
  std::vector<uint32_t> expected;
  for (uint32_t id = 2; id <= 39; ++id) expected.push_back(id);
  EXPECT_EQ(AskAll(), expected);
}

TEST_F(LoadServiceTest, LongAnswersTakeMorePages) {
  AddNodes(40);
  clients_ = 100;
  EXPECT_THAT(AskAll(), SizeIs(40));
}

TEST_F(LoadServiceTest, ANodeThatIsSilentIsToldAsSuch) {
  AddNodes(3);
  slow_ = {2};
  const MonoTime before = executor_.clock().Now();
  const wire::ClusterLoadReply reply = Ask(0);
  EXPECT_LE(executor_.clock().Now() - before, absl::Seconds(3));
  ASSERT_THAT(reply.nodes(), SizeIs(3));
  EXPECT_EQ(reply.nodes(0).code(), 0u);
  EXPECT_EQ(reply.nodes(1).error(), "silent");
  EXPECT_EQ(reply.nodes(2).load().node(), 3u);
  EXPECT_EQ(reply.next_node(), 0u);
}

}  // namespace
}  // namespace cairn
