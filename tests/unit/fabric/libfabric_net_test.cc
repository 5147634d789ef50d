// What only the real endpoint can get wrong: running out of descriptors, socket options. Method:
// two endpoints over loopback on one reactor, and the process's own descriptor table.
#include "common/fabric/libfabric_net.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/fabric/host_port.h"
#include "common/fabric/provider_sockets.h"
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
  absl::Status sent = co_await a.Send(*peer, BytesOf("hello"), InSeconds(5));
  EXPECT_TRUE(sent.ok()) << sent;
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

TEST(LocalAddress, IsThatOfTheNetworkWhichLeadsToTheNode) {
  EXPECT_EQ(LibfabricNet::LocalAddressTowards("127.0.0.1:7440"), "127.0.0.1");
  EXPECT_EQ(LibfabricNet::LocalAddressTowards("localhost:7440"), "127.0.0.1");
  EXPECT_EQ(LibfabricNet::LocalAddressTowards("no-such-host.invalid:7440"), "");
  EXPECT_EQ(LibfabricNet::LocalAddressTowards("no port"), "");
  // A name as people write it, where this machine knows its own.
  char name[256] = "";
  ASSERT_EQ(gethostname(name, sizeof name - 1), 0);
  const auto addresses = ResolveHost({name, "7440"}, NameLookup::kBlocking);
  if (!addresses.ok()) GTEST_SKIP() << addresses.status();
  EXPECT_NE(LibfabricNet::LocalAddressTowards(std::string(name) + ":7440"), "");
}

// Messages that were taken and are still on their way when the other end closes.
Task<void> LoseMessages(std::unique_ptr<Net>& a, Net& b, Inbox& inbox) {
  const absl::StatusOr<PeerId> to_b = a->AddPeer(b.address());
  absl::Status sent = co_await a->Send(*to_b, BytesOf("hello"), InSeconds(5));
  EXPECT_TRUE(sent.ok()) << sent;
  co_await inbox.WaitFor(1);
  const absl::StatusOr<PeerId> to_a = b.AddPeer(a->address());
  std::vector<PeerId> lost;
  b.SetPeerLost([&](PeerId which) {
    lost.push_back(which);
    b.RemovePeer(which);
  });
  // Less than one peer's share of buffers, so every message is taken at once, and far more than the
  // sockets hold; the other end, on the same thread, reads none before it closes.
  const std::string message(kMaxMessageBytes, 'm');
  for (int i = 0; i < 15; ++i) {
    sent = co_await b.Send(*to_a, BytesOf(message), InSeconds(5));
    EXPECT_TRUE(sent.ok()) << sent;
  }
  a.reset();
  co_await Until([&lost] { return !lost.empty(); });
  EXPECT_EQ(lost, std::vector<PeerId>{*to_a});
}

TEST_F(LibfabricNetTest, MessagesLostWithTheirConnectionAreToldOncePerPeer) {
  auto narrow = LibfabricNet::Create(world_.reactor(),
                                     {.bind_host = "127.0.0.1", .socket_buffer_bytes = 4096});
  ASSERT_TRUE(narrow.ok()) << narrow.status();
  Inbox inbox(**narrow);
  world_.Run(LoseMessages(a_, **narrow, inbox));
}

class AgreeingHandler final : public HelloHandler {
 public:
  absl::StatusOr<std::string> OnHello(std::string_view hello, std::string_view) override {
    return std::string(hello);
  }
  void OnConnected(std::unique_ptr<ControlConnection> connection, std::string_view) override {
    connections.push_back(std::move(connection));
  }
  std::vector<std::unique_ptr<ControlConnection>> connections;
};

// Connections that say nothing, until destroyed.
class SilentStrangers {
 public:
  SilentStrangers(const std::string& host_port, int count) {
    const auto where = ResolveHost(*ParseHostPort(host_port), NameLookup::kNumeric);
    for (int i = 0; i < count; ++i) {
      fds_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      (void)connect(fds_.back(), where->front().get(), where->front().length);
    }
  }
  ~SilentStrangers() {
    for (const int fd : fds_) close(fd);
  }

 private:
  std::vector<int> fds_;
};

Task<void> DialAmongStrangers(Net& a, Net& b, AgreeingHandler& handler) {
  const auto host_port = b.Listen("127.0.0.1:0", &handler);
  EXPECT_TRUE(host_port.ok()) << host_port.status();
  {
    const SilentStrangers strangers(*host_port, 300);
    // Without giving way, the first of them would be listened to for three seconds.
    const auto dialed = co_await a.Dial(*host_port, "hello", InSeconds(2));
    EXPECT_TRUE(dialed.ok()) << dialed.status();
    EXPECT_EQ(handler.connections.size(), 1u);
  }
  handler.connections.clear();
  co_await a.Stop();
  co_await b.Stop();
}

TEST_F(LibfabricNetTest, SilentStrangersGiveWayToClients) {
  AgreeingHandler handler;
  world_.Run(DialAmongStrangers(*a_, *b_, handler));
}

// The connections of this process that were accepted at `net`'s address.
std::vector<int> AcceptedBy(const Net& net) {
  const std::optional<SocketKey> address = ParseSocketKey(net.address());
  std::vector<int> found;
  ForEachDescriptor([&](int fd) {
    if (LocalKey(fd) == address && PeerKey(fd).has_value()) found.push_back(fd);
  });
  return found;
}

int OptionOf(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  EXPECT_EQ(getsockopt(fd, level, name, &value, &length), 0);
  return value;
}

Task<void> CheckKeepAlive(Net& a, Net& b, Inbox& inbox) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  absl::Status sent = co_await a.Send(*peer, BytesOf("hello"), InSeconds(5));
  EXPECT_TRUE(sent.ok()) << sent;
  co_await inbox.WaitFor(1);
  const std::vector<int> accepted = AcceptedBy(b);
  EXPECT_EQ(accepted.size(), 1u);
  for (const int fd : accepted) {
    EXPECT_EQ(OptionOf(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(OptionOf(fd, IPPROTO_TCP, TCP_KEEPIDLE), 10);
    EXPECT_EQ(OptionOf(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 60'000);
  }
}

TEST_F(LibfabricNetTest, AcceptedConnectionsNoticeADeadHost) {
  Inbox inbox(*b_);
  world_.Run(CheckKeepAlive(*a_, *b_, inbox));
}

std::string CongestionControlOf(int fd) {
  char name[16] = {};
  socklen_t length = sizeof name - 1;
  EXPECT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
  return name;
}

Task<void> CheckSameHost(Net& a, Net& b, Inbox& inbox_a, Inbox& inbox_b) {
  const absl::StatusOr<PeerId> there = a.AddPeer(b.address());
  absl::Status sent = co_await a.Send(*there, BytesOf("hello"), InSeconds(5));
  EXPECT_TRUE(sent.ok()) << sent;
  co_await inbox_b.WaitFor(1);
  const absl::StatusOr<PeerId> back = b.AddPeer(a.address());
  sent = co_await b.Send(*back, BytesOf("hello"), InSeconds(5));
  EXPECT_TRUE(sent.ok()) << sent;
  co_await inbox_a.WaitFor(1);
  const std::optional<SocketKey> address = ParseSocketKey(b.address());
  int ends = 0;
  ForEachDescriptor([&](int fd) {
    if (!PeerKey(fd).has_value() || (PeerKey(fd) != address && LocalKey(fd) != address)) return;
    ++ends;
    EXPECT_EQ(CongestionControlOf(fd), "reno");
  });
  EXPECT_EQ(ends, 2);
}

TEST_F(LibfabricNetTest, ConnectionsWithinTheMachineAreNotPaced) {
  Inbox inbox_a(*a_);
  Inbox inbox_b(*b_);
  world_.Run(CheckSameHost(*a_, *b_, inbox_a, inbox_b));
}

Task<void> CheckBuffers(Net& a, Net& b, Inbox& inbox) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  absl::Status sent = co_await a.Send(*peer, BytesOf("hello"), InSeconds(5));
  EXPECT_TRUE(sent.ok()) << sent;
  co_await inbox.WaitFor(1);
  for (const int fd : AcceptedBy(b)) {
    // The kernel counts its own overhead on top.
    EXPECT_EQ(OptionOf(fd, SOL_SOCKET, SO_RCVBUF), 2 * 100'000);
    EXPECT_EQ(OptionOf(fd, SOL_SOCKET, SO_SNDBUF), 2 * 100'000);
  }
}

TEST_F(LibfabricNetTest, SocketBuffersAreOfTheSizeAskedFor) {
  auto buffered = LibfabricNet::Create(world_.reactor(),
                                       {.bind_host = "127.0.0.1", .socket_buffer_bytes = 100'000});
  ASSERT_TRUE(buffered.ok()) << buffered.status();
  Inbox inbox(**buffered);
  world_.Run(CheckBuffers(*a_, **buffered, inbox));
}

int IpSockets() {
  int count = 0;
  ForEachDescriptor([&count](int fd) { count += LocalKey(fd).has_value(); });
  return count;
}

// What `count` says in a child of fork().
int InChild(int (*count)()) {
  const pid_t child = fork();
  if (child == 0) _exit(count());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

Task<void> ForkWhileConnected(Net& a, Net& b, Inbox& inbox, AgreeingHandler& handler) {
  const auto host_port = b.Listen("127.0.0.1:0", &handler);
  const int listening = IpSockets();
  auto dialed = co_await a.Dial(*host_port, "hello", InSeconds(5));
  EXPECT_TRUE(dialed.ok()) << dialed.status();
  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  absl::Status sent = co_await a.Send(*peer, BytesOf("hello"), InSeconds(5));
  EXPECT_TRUE(sent.ok()) << sent;
  co_await inbox.WaitFor(1);
  // Both ends of the control connection and of the fabric's.
  EXPECT_EQ(IpSockets(), listening + 4);
  // The node's listening socket is all that a child has left; nodes do not fork.
  EXPECT_EQ(InChild(&IpSockets), 1);
  EXPECT_EQ(InChild(&IpSockets), 1);
  // And the parent has all of them still.
  EXPECT_EQ(IpSockets(), listening + 4);
  sent = co_await a.Send(*peer, BytesOf("again"), InSeconds(5));
  EXPECT_TRUE(sent.ok()) << sent;
  co_await inbox.WaitFor(2);
  EXPECT_FALSE((*dialed)->closed().is_set());
  dialed->reset();
  handler.connections.clear();
  co_await a.Stop();
  co_await b.Stop();
}

TEST_F(LibfabricNetTest, ChildOfForkHoldsNoConnectionOpen) {
  Inbox inbox(*b_);
  AgreeingHandler handler;
  world_.Run(ForkWhileConnected(*a_, *b_, inbox, handler));
}

}  // namespace
}  // namespace cairn
