// What only the real endpoint can get wrong: running out of descriptors, socket options. Method:
// two endpoints over loopback on one reactor, and the process's own descriptor table.
#include "common/fabric/libfabric_net.h"

#include <dirent.h>
#include <sys/resource.h>

#include "tests/unit/fabric/net_worlds.h"

namespace cairn {
namespace {

class LibfabricNetTest : public ::testing::Test {
 protected:
  NetWorld<PollWorld> world_;
  std::unique_ptr<Net> a_ = world_.MakeNet("a");
  std::unique_ptr<Net> b_ = world_.MakeNet("b");
};

// Resets `net` when new descriptors must be below `limit`.
absl::Status ResetBelow(Net& net, rlim_t limit) {
  rlimit before = {};
  EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit lowered = {limit, before.rlim_max};
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &lowered), 0);
  absl::Status reset = net.Reset();
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  return reset;
}

Task<void> ResetWithoutDescriptors(Net& a, Net& b, Inbox& inbox) {
  std::vector<std::byte> exposed(65536);
  auto writable = b.Register(exposed, MemoryAccess::kRemoteWrite);
  // One more descriptor each time, so that every step of opening fails once.
  int failures = 0;
  rlim_t limit = 3;
  absl::Status reset = ResetBelow(b, limit);
  for (; !reset.ok() && limit < 200; reset = ResetBelow(b, ++limit)) {
    ++failures;
    EXPECT_TRUE(absl::IsUnavailable(b.AddPeer(a.address()).status()));
  }
  EXPECT_TRUE(reset.ok()) << reset;
  EXPECT_GT(failures, 3);
  // Registered while the endpoint was closed.
  EXPECT_FALSE(ResetBelow(b, 3).ok());
  std::vector<std::byte> late(65536);
  auto late_region = b.Register(late, MemoryAccess::kRemoteWrite);
  EXPECT_TRUE(late_region.ok()) << late_region.status();
  EXPECT_EQ(b.Reset(), absl::OkStatus());

  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  EXPECT_EQ(co_await a.Send(*peer, BytesOf("hello"), InSeconds(5)), absl::OkStatus());
  co_await inbox.WaitFor(1);
  std::vector<std::byte> local = Pattern(65536, 7);
  auto own = a.Register(local, MemoryAccess::kLocal);
  for (const auto& region : {writable->get(), late_region->get()}) {
    const absl::Status written =
        co_await a.Write(*peer, region->descriptor(), 0, local, InSeconds(5));
    EXPECT_TRUE(written.ok()) << written;
  }
  EXPECT_EQ(exposed, local);
  EXPECT_EQ(late, local);
}

TEST_F(LibfabricNetTest, ResetThatFailedCanBeMadeAgain) {
  Inbox inbox(*b_);
  world_.Run(ResetWithoutDescriptors(*a_, *b_, inbox));
}

}  // namespace
}  // namespace cairn
