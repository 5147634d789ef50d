// smoke
#include "common/fabric/libfabric_net.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/sim/run_on.h"

namespace cairn {
namespace {

struct Side {
  explicit Side(Reactor& r) {
    auto made = LibfabricNet::Create(r, {.bind_host = "127.0.0.1", .receive_buffers = 16});
    EXPECT_TRUE(made.ok()) << made.status();
    net = *std::move(made);
    net->SetReceiver([this](ConstBytes m) {
      received.emplace_back(reinterpret_cast<const char*>(m.data()), m.size());
      arrived.Set();
    });
  }
  std::unique_ptr<LibfabricNet> net;
  std::vector<std::string> received;
  Event arrived;
};

Task<absl::Status> Exchange(Side& a, Side& b) {
  auto peer = a.net->AddPeer(b.net->address());
  if (!peer.ok()) co_return peer.status();
  const Deadline d = Deadline::After(Executor::Current().clock(), absl::Seconds(5));
  std::string m = "hello there";
  auto s = co_await a.net->Send(*peer, std::as_bytes(std::span(m)), d);
  if (!s.ok()) co_return s;
  co_await b.arrived;
  std::vector<std::byte> remote(8 << 20, std::byte{7}), local(8 << 20);
  auto rr = b.net->Register(remote, MemoryAccess::kRemoteRead);
  auto lr = a.net->Register(local, MemoryAccess::kLocal);
  if (!rr.ok() || !lr.ok()) co_return rr.status();
  auto desc = (*rr)->descriptor();
  s = co_await a.net->Read(*peer, desc, 0, local, d);
  if (!s.ok()) co_return s;
  EXPECT_EQ(local, remote);
  co_return absl::OkStatus();
}

TEST(Smoke, Exchange) {
  auto r = Reactor::Create({});
  ASSERT_TRUE(r.ok());
  {
    Side a(**r), b(**r);
    auto s = RunOn(**r, Exchange(a, b));
    EXPECT_TRUE(s.ok()) << s;
    EXPECT_EQ(b.received, std::vector<std::string>{"hello there"});
    auto c = a.net->counters();
    printf("polls %lu comp %lu err %lu busy %lu\n", c.polls, c.completions, c.errors, c.busy_retries);
  }
}

}  // namespace
}  // namespace cairn
