// Goal: the public classes keep their promises where threads meet. Method: the real SDK against a
// real node in this process, over loopback and without syncs.

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "common/base/random.h"
#include "server/main/node.h"

namespace cairn {
namespace {

class ClientCoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    data_ = testing::TempDir() + "/cairn-client-core-" + std::to_string(SystemRandom().Next());
    config::Server config;
    config.set_data(data_);
    config.set_listen("127.0.0.1:0");
    config.set_slab_memory("16MiB");
    config.set_unsafe_no_sync(true);
    config.add_targets()->set_size("64MiB");
    auto node = Node::Start(config);
    ASSERT_TRUE(node.ok()) << node.status();
    node_ = *std::move(node);
    auto client = Client::Connect({.endpoint = node_->endpoint()});
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }
  void TearDown() override {
    client_.reset();
    node_.reset();
    std::filesystem::remove_all(data_);
  }

  std::string data_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<Client> client_;
};

// A second caller that reported a rank without shards before the first one did would have made them
// vanish from the checkpoint.
TEST_F(ClientCoreTest, RankDoneFromSeveralThreadsReportsTheShardsOnce) {
  const std::vector<std::byte> bytes(10'000, std::byte{42});
  for (int round = 0; round < 20; ++round) {
    const std::string path = "default/run/step-" + std::to_string(round);
    auto writer = client_->BeginCheckpoint(path, {});
    ASSERT_TRUE(writer.ok()) << writer.status();
    auto shard = writer->NewShard("shard");
    ASSERT_TRUE(shard.ok());
    ASSERT_TRUE(shard->Write(ConstBuffer(bytes)).ok());
    ASSERT_TRUE(shard->Close().ok());
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&writer] { EXPECT_EQ(writer->RankDone(), absl::OkStatus()); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(writer->RankDone(), absl::OkStatus());
    const auto committed = writer->Commit();
    ASSERT_TRUE(committed.ok()) << committed.status();
    EXPECT_EQ(committed->shard_count, 1u);
    EXPECT_EQ(committed->size_bytes, bytes.size());
  }
}

TEST_F(ClientCoreTest, AbandonedShardsDoNotHoldUpTheRank) {
  const std::vector<std::byte> bytes(1000, std::byte{7});
  auto writer = client_->BeginCheckpoint("default/run/step-1", {});
  ASSERT_TRUE(writer.ok()) << writer.status();
  {
    auto dropped = writer->NewShard("dropped");
    ASSERT_TRUE(dropped->Write(ConstBuffer(bytes)).ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(writer->RankDone()));
    auto abandoned = writer->NewShard("abandoned");
    abandoned->Abandon();
    abandoned->Abandon();
  }
  auto shard = writer->NewShard("shard");
  ASSERT_TRUE(shard->Write(ConstBuffer(bytes)).ok());
  ASSERT_TRUE(shard->Close().ok());
  EXPECT_EQ(writer->RankDone(), absl::OkStatus());
  const auto committed = writer->Commit();
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_EQ(committed->shard_count, 1u);
}

TEST_F(ClientCoreTest, ClientsCloseWhileTheirLeasesAreRenewedAndOthersWork) {
  const std::vector<std::byte> bytes(100'000, std::byte{9});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, &bytes, i] {
      for (int round = 0; round < 10; ++round) {
        auto client = Client::Connect({.endpoint = node_->endpoint()});
        ASSERT_TRUE(client.ok()) << client.status();
        auto file = (*client)->CreateFile("default/file-" + std::to_string(i));
        ASSERT_TRUE(file.ok()) << file.status();
        ASSERT_TRUE(file->Write(ConstBuffer(bytes)).ok());
        if (round % 2 == 0) {
          ASSERT_EQ(file->Close(), absl::OkStatus());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace cairn
