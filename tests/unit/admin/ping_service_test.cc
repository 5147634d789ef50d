// Goal: every core says that it is there. Method: a simulated node, asked core by core.
#include "server/admin/ping_service.h"

#include <gtest/gtest.h>

#include "tests/unit/client/client_world.h"

namespace cairn {
namespace {

Task<absl::Status> Ping(ClientWorld* world, uint32_t core) {
  auto map = co_await world->session->Map(world->Soon());
  if (!map.ok()) co_return map.status();
  const PgId group((*map)->map().groups(0).id());
  auto route = co_await world->session->Route(group, 0, world->Soon());
  if (!route.ok()) co_return route.status();
  auto reply = co_await route->node->Call<google::protobuf::Empty>(
      core, wire::PING, google::protobuf::Empty(), CallOptions{world->Soon(), {}, {}});
  co_return reply.status();
}

TEST(Ping, IsAnsweredByEveryCoreAndByNoOther) {
  SimNode::Options options;
  options.cores = 3;
  ClientWorld world(1, options);
  for (uint32_t core = 0; core < 3; ++core) {
    const absl::Status answered = world.executor.Run(Ping(&world, core));
    EXPECT_TRUE(answered.ok()) << core << ": " << answered;
  }
  EXPECT_FALSE(world.executor.Run(Ping(&world, 3)).ok());
}

}  // namespace
}  // namespace cairn
