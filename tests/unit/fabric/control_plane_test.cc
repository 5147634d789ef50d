// Goal: strangers at the hello port cannot keep clients out: who is silent, or speaks too slowly,
// is hung up, and who is behind a crowd of them gets its turn. Method: a control plane on a real
// reactor over loopback, and strangers that are plain sockets of the same reactor. The plane's
// patience of 3 s is real time: a test waits for the hang-up itself, and no longer.
#include "common/fabric/control_plane.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <deque>

#include "common/fabric/hello_frame.h"
#include "common/fabric/socket.h"
#include "tests/unit/fabric/net_worlds.h"

namespace cairn {
namespace {

// As in control_plane.cc.
constexpr absl::Duration kHelloPatience = absl::Seconds(3);
constexpr size_t kHalfOpenMax = 256;
// More than a machine that is busy with other things takes to notice that the patience is over.
constexpr absl::Duration kTooLate = absl::Seconds(20);

// Welcomes everyone.
class Host final : public HelloHandler {
 public:
  absl::StatusOr<std::string> OnHello(std::string_view hello, std::string_view) override {
    hellos.emplace_back(hello);
    return "welcome";
  }
  void OnConnected(std::unique_ptr<ControlConnection> connection, std::string_view) override {
    connections.push_back(std::move(connection));
  }
  std::vector<std::string> hellos;
  std::vector<std::unique_ptr<ControlConnection>> connections;
};

class ControlPlaneTest : public ::testing::Test {
 protected:
  ControlPlaneTest() {
    auto made = Reactor::Create({});
    EXPECT_TRUE(made.ok()) << made.status();
    reactor_ = *std::move(made);
  }

 public:
  std::unique_ptr<Reactor> reactor_;
  Host host_;
};

absl::Duration Since(MonoTime begin) { return Executor::Current().clock().Now() - begin; }

Task<absl::StatusOr<Socket>> ConnectStranger(Reactor& reactor, std::string host_port) {
  const absl::StatusOr<HostPort> where = ParseHostPort(host_port);
  if (!where.ok()) co_return where.status();
  const auto addresses = ResolveHost(*where, NameLookup::kNumeric);
  if (!addresses.ok()) co_return addresses.status();
  co_return co_await ConnectSocket(reactor, addresses->front(), InSeconds(10));
}

// Whether the node has ended the connection, as of now.
bool IsHungUp(const Socket& stranger) {
  char byte;
  const ssize_t got = recv(stranger.fd(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
  return got == 0 || (got < 0 && errno != EAGAIN);
}

// How long the node lets a stranger be that says nothing; too long when it is not hung up at all.
Task<void> BeSilent(Reactor* reactor, std::string host_port, absl::Duration* lasted) {
  const MonoTime begin = Executor::Current().clock().Now();
  absl::StatusOr<Socket> socket = co_await ConnectStranger(*reactor, std::move(host_port));
  EXPECT_TRUE(socket.ok()) << socket.status();
  if (!socket.ok()) co_return;
  const absl::Status ended =
      co_await reactor->WaitReadable(socket->fd(), Deadline::After(reactor->clock(), kTooLate));
  EXPECT_TRUE(ended.ok()) << ended;
  EXPECT_TRUE(IsHungUp(*socket));
  *lasted = Since(begin);
}

// The same of one that says a correct hello so slowly that each byte comes in time and the whole
// would take minutes.
Task<void> Dribble(Reactor* reactor, std::string host_port, absl::Duration* lasted) {
  const MonoTime begin = Executor::Current().clock().Now();
  absl::StatusOr<Socket> socket = co_await ConnectStranger(*reactor, std::move(host_port));
  EXPECT_TRUE(socket.ok()) << socket.status();
  if (!socket.ok()) co_return;
  const std::string hello = EncodeHello(HelloKind::kRequest, std::string(kMaxHelloBytes, 'x'));
  for (const char& byte : hello) {
    if (IsHungUp(*socket) || Since(begin) > kTooLate) break;
    // May meet the hang-up: seen in the next round.
    (void)co_await SendAll(*reactor, *socket, std::string_view(&byte, 1), InSeconds(1));
    co_await Pass(absl::Milliseconds(20));
  }
  EXPECT_TRUE(IsHungUp(*socket));
  *lasted = Since(begin);
}

Task<void> SilentAndSlow(ControlPlaneTest* test) {
  ControlPlane plane(*test->reactor_);
  const auto listened = plane.Listen("127.0.0.1:0", &test->host_);
  EXPECT_TRUE(listened.ok()) << listened.status();
  if (!listened.ok()) co_return;
  absl::Duration silent, dribbling;
  Scope strangers;
  strangers.Spawn(BeSilent(test->reactor_.get(), *listened, &silent));
  strangers.Spawn(Dribble(test->reactor_.get(), *listened, &dribbling));
  // A client is not held up by them, before and after.
  const MonoTime begin = Executor::Current().clock().Now();
  auto early = co_await plane.Dial(*listened, "early", InSeconds(10));
  EXPECT_TRUE(early.ok()) << early.status();
  EXPECT_LT(Since(begin), kHelloPatience);
  co_await strangers.Join();
  auto late = co_await plane.Dial(*listened, "late", InSeconds(10));
  EXPECT_TRUE(late.ok()) << late.status();

  for (const absl::Duration lasted : {silent, dribbling}) {
    EXPECT_GE(lasted, kHelloPatience - absl::Milliseconds(100));
    EXPECT_LT(lasted, kTooLate);
  }
  EXPECT_EQ(test->host_.hellos, (std::vector<std::string>{"early", "late"}));
  // The client that was greeted has all the time it wants.
  EXPECT_FALSE(early.ok() && (*early)->closed().is_set());
  test->host_.connections.clear();
  co_await plane.Stop();
}

TEST_F(ControlPlaneTest, SilentAndSlowStrangersAreHungUpAndHoldNobodyUp) {
  RunOn(*reactor_, SilentAndSlow(this));
}

// One byte a packet is how a hello may arrive, not a reason to refuse it.
Task<void> BytewiseHello(ControlPlaneTest* test) {
  ControlPlane plane(*test->reactor_);
  const auto listened = plane.Listen("127.0.0.1:0", &test->host_);
  EXPECT_TRUE(listened.ok()) << listened.status();
  if (!listened.ok()) co_return;
  absl::StatusOr<Socket> socket = co_await ConnectStranger(*test->reactor_, *listened);
  EXPECT_TRUE(socket.ok()) << socket.status();
  if (!socket.ok()) co_return;
  const std::string hello = EncodeHello(HelloKind::kRequest, "in pieces");
  for (const char& byte : hello) {
    EXPECT_TRUE(test->host_.hellos.empty());
    const absl::Status sent =
        co_await SendAll(*test->reactor_, *socket, std::string_view(&byte, 1), InSeconds(5));
    EXPECT_TRUE(sent.ok()) << sent;
    // Lets the plane read it before the next.
    co_await Pass(absl::ZeroDuration());
  }
  const absl::StatusOr<std::string> reply =
      co_await ReceiveHello(*test->reactor_, *socket, InSeconds(10));
  EXPECT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply.value_or(""), EncodeHello(HelloKind::kReply, "welcome"));
  EXPECT_EQ(test->host_.hellos, std::vector<std::string>{"in pieces"});
  test->host_.connections.clear();
  co_await plane.Stop();
}

TEST_F(ControlPlaneTest, HelloThatArrivesByteByByteIsAnswered) {
  RunOn(*reactor_, BytewiseHello(this));
}

// A stranger that goes away half-way gives its place back at once, not when the patience is over.
Task<void> LeavingStrangers(ControlPlaneTest* test) {
  ControlPlane plane(*test->reactor_);
  const auto listened = plane.Listen("127.0.0.1:0", &test->host_);
  EXPECT_TRUE(listened.ok()) << listened.status();
  if (!listened.ok()) co_return;
  const MonoTime begin = Executor::Current().clock().Now();
  const std::string half = EncodeHello(HelloKind::kRequest, "half").substr(0, kHelloHeaderBytes);
  for (size_t i = 0; i < kHalfOpenMax + 10; ++i) {
    absl::StatusOr<Socket> socket = co_await ConnectStranger(*test->reactor_, *listened);
    EXPECT_TRUE(socket.ok()) << socket.status();
    if (!socket.ok()) break;
    (void)co_await SendAll(*test->reactor_, *socket, half, InSeconds(5));
  }
  auto client = co_await plane.Dial(*listened, "client", InSeconds(10));
  EXPECT_TRUE(client.ok()) << client.status();
  EXPECT_LT(Since(begin), kHelloPatience);
  EXPECT_EQ(test->host_.hellos, std::vector<std::string>{"client"});
  test->host_.connections.clear();
  co_await plane.Stop();
}

TEST_F(ControlPlaneTest, StrangersThatLeaveInTheirHelloTakeNoPlace) {
  RunOn(*reactor_, LeavingStrangers(this));
}

Task<void> Crowd(ControlPlaneTest* test) {
  constexpr size_t kBehind = 20;
  ControlPlane plane(*test->reactor_);
  const auto listened = plane.Listen("127.0.0.1:0", &test->host_);
  EXPECT_TRUE(listened.ok()) << listened.status();
  if (!listened.ok()) co_return;
  std::deque<Socket> strangers;
  for (size_t i = 0; i < kHalfOpenMax + kBehind; ++i) {
    absl::StatusOr<Socket> socket = co_await ConnectStranger(*test->reactor_, *listened);
    EXPECT_TRUE(socket.ok()) << socket.status();
    if (!socket.ok()) break;
    strangers.push_back(*std::move(socket));
  }
  // The kernel keeps the connection until the plane has room for it and for those before it.
  auto client =
      co_await plane.Dial(*listened, "client", Deadline::After(test->reactor_->clock(), kTooLate));
  EXPECT_TRUE(client.ok()) << client.status();
  const auto hung_up =
      static_cast<size_t>(std::count_if(strangers.begin(), strangers.end(), IsHungUp));
  // One place for each who was before the client, and one for the client.
  EXPECT_GT(hung_up, kBehind);
  EXPECT_EQ(test->host_.hellos, std::vector<std::string>{"client"});
  // All who had a place lose it.
  for (size_t i = 0; i < std::min(kHalfOpenMax, strangers.size()); ++i) {
    const absl::Status ended = co_await test->reactor_->WaitReadable(
        strangers[i].fd(), Deadline::After(test->reactor_->clock(), kTooLate));
    EXPECT_TRUE(ended.ok()) << ended;
    EXPECT_TRUE(IsHungUp(strangers[i])) << i;
  }
  test->host_.connections.clear();
  co_await plane.Stop();
}

TEST_F(ControlPlaneTest, ClientBehindMoreStrangersThanThereIsRoomForGetsIn) {
  // Both ends of every connection are here.
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  if (files.rlim_cur < 1000) GTEST_SKIP() << "only " << files.rlim_cur << " files may be open";
  RunOn(*reactor_, Crowd(this));
}

}  // namespace
}  // namespace cairn
