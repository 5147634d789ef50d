// Goal: a client with several endpoints works through any of them: a dead one costs it no call, a
// silent one a bounded time and only once. Method: the SDK against a node in this process for what
// the kernel decides (a port that refuses, a node that moved), the simulation for silence.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cairn/client.h"
#include "server/main/node.h"
#include "tests/unit/client/client_world.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

// A port of this machine where connections are refused: bound, so that nobody else is given it, and
// not listened on.
class RefusingPort {
 public:
  RefusingPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    socklen_t length = sizeof address;
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    endpoint_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~RefusingPort() { close(fd_); }
  RefusingPort(const RefusingPort&) = delete;
  RefusingPort& operator=(const RefusingPort&) = delete;
  const std::string& endpoint() const { return endpoint_; }

 private:
  int fd_;
  std::string endpoint_;
};

class EndpointsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    data_ = testing::TempDir() + "/cairn-endpoints-" + std::to_string(SystemRandom().Next());
    StartNode("127.0.0.1:0");
  }
  void TearDown() override {
    node_.reset();
    std::filesystem::remove_all(data_);
  }
  // On the data that is there.
  void StartNode(const std::string& listen) {
    config::Server config;
    config.set_data(data_);
    config.set_listen(listen);
    config.set_slab_memory("16MiB");
    config.set_unsafe_no_sync(true);
    config.add_targets()->set_size("64MiB");
    auto node = Node::Start(config);
    ASSERT_TRUE(node.ok()) << node.status();
    node_ = *std::move(node);
  }
  // Metadata and bytes, both ways.
  static void ExpectWorks(Client& client, const std::string& path) {
    const std::vector<std::byte> bytes(300'000, std::byte{42});
    const ConstBuffer pieces[] = {bytes};
    const absl::Status put = client.PutFile(path, pieces);
    ASSERT_TRUE(put.ok()) << put;
    ExpectHolds(client, path, bytes);
  }
  static void ExpectHolds(Client& client, const std::string& path,
                          const std::vector<std::byte>& bytes) {
    auto file = client.OpenFile(path);
    ASSERT_TRUE(file.ok()) << file.status();
    std::vector<std::byte> read(file->size_bytes());
    const absl::Status got = file->Read(0, read);
    ASSERT_TRUE(got.ok()) << got;
    EXPECT_TRUE(read == bytes);
  }

  std::string data_;
  std::unique_ptr<Node> node_;
};

TEST_F(EndpointsTest, DeadFirstEndpointIsPassedOver) {
  const RefusingPort dead;
  auto client = Client::Connect({.endpoint = dead.endpoint() + "," + node_->endpoint()});
  ASSERT_TRUE(client.ok()) << client.status();
  ExpectWorks(**client, "default/file");
}

TEST_F(EndpointsTest, DeadLastEndpointIsNotNoticed) {
  const RefusingPort dead;
  auto client = Client::Connect({.endpoint = node_->endpoint() + ", " + dead.endpoint()});
  ASSERT_TRUE(client.ok()) << client.status();
  ExpectWorks(**client, "default/file");
}

TEST_F(EndpointsTest, WithoutALivingOneTheErrorNamesThemAll) {
  const RefusingPort one;
  const RefusingPort two;
  const auto client = Client::Connect({.endpoint = one.endpoint() + "," + two.endpoint(),
                                       .connect_timeout = absl::Milliseconds(200)});
  EXPECT_TRUE(absl::IsUnavailable(client.status())) << client.status();
  const std::string message(client.status().message());
  EXPECT_THAT(message, HasSubstr(one.endpoint()));
  EXPECT_THAT(message, HasSubstr(two.endpoint()));
  EXPECT_THAT(message, HasSubstr("refused"));
}

TEST_F(EndpointsTest, PartThatIsNoEndpointIsRefusedByName) {
  for (const char* wrong : {"127.0.0.1", "127.0.0.1:", ":7440", "127.0.0.1:65536", "host:name"}) {
    const auto client = Client::Connect({.endpoint = node_->endpoint() + "," + wrong});
    EXPECT_TRUE(absl::IsInvalidArgument(client.status())) << wrong << ": " << client.status();
    EXPECT_THAT(std::string(client.status().message()), HasSubstr(wrong));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Connect({.endpoint = " , "}).status()));
}

// A connected client finds its node again where the second endpoint says, with the data it knew.
TEST_F(EndpointsTest, NodeThatComesBackAtTheSecondEndpointIsFoundThere) {
  auto second = std::make_unique<RefusingPort>();
  const std::string moved_to = second->endpoint();
  auto client = Client::Connect({.endpoint = node_->endpoint() + "," + moved_to});
  ASSERT_TRUE(client.ok()) << client.status();
  ExpectWorks(**client, "default/before");
  node_.reset();
  second.reset();
  StartNode(moved_to);
  ASSERT_NE(node_, nullptr);
  ExpectHolds(**client, "default/before", std::vector<std::byte>(300'000, std::byte{42}));
  ExpectWorks(**client, "default/after");
}

// --- Silence ---

class Mute final : public HelloHandler {
 public:
  absl::StatusOr<std::string> OnHello(std::string_view, std::string_view) override {
    ADD_FAILURE() << "a stopped process was heard";
    return absl::UnavailableError("never said");
  }
  void OnConnected(std::unique_ptr<ControlConnection>, std::string_view) override {}
};

// A client whose first endpoint is silent, as a host that swallows packets or a stopped process.
struct SilentFirst {
  SilentFirst() : silent(world.fabric.MakeNet("silent")) {
    EXPECT_TRUE(silent->Listen("silent:1", &mute).ok());
    world.fabric.Freeze("silent");
    world.Disconnect();
    world.net = world.fabric.MakeNet("client");
    world.session = std::make_unique<Session>(
        *world.net, world.random,
        Session::Options{{"silent:1", world.node.options().endpoint}, "test:1", 8});
    world.net->SetReceiver(
        [to = world.session.get()](ConstBytes message) { to->OnMessage(message); });
  }

  Mute mute;
  ClientWorld world{1};
  std::unique_ptr<SimNet> silent;
};

Task<absl::Status> FetchMap(Session* session, absl::Duration patience) {
  const auto map = co_await session->Map(Deadline::After(Executor::Current().clock(), patience));
  co_return map.status();
}

TEST(EndpointsSim, SilentFirstEndpointLeavesTimeForTheSecond) {
  SilentFirst setting;
  ClientWorld& world = setting.world;
  EXPECT_EQ(world.executor.Run(FetchMap(world.session.get(), absl::Seconds(4))), absl::OkStatus());
}

TEST(EndpointsSim, SilentFirstEndpointCostsABoundedTimeOnce) {
  SilentFirst setting;
  ClientWorld& world = setting.world;
  const std::vector<Content> shards = {RandomContent(world.random, 500 * kKiB)};
  MonoTime begin = world.executor.clock().Now();
  absl::Status saved = world.executor.Run(world.Save("default/run/step-1", shards));
  EXPECT_TRUE(saved.ok()) << saved;
  const absl::Duration first = world.executor.clock().Now() - begin;
  EXPECT_GE(first, absl::Seconds(1));
  EXPECT_LT(first, absl::Seconds(10));

  begin = world.executor.clock().Now();
  saved = world.executor.Run(world.Save("default/run/step-2", shards));
  EXPECT_TRUE(saved.ok()) << saved;
  EXPECT_LT(world.executor.clock().Now() - begin, absl::Seconds(1));
  EXPECT_EQ(world.Matches("default/run/step-1", shards), absl::OkStatus());
  EXPECT_EQ(world.Matches("default/run/step-2", shards), absl::OkStatus());
}

}  // namespace
}  // namespace cairn
