// Goal: one bad device keeps no node from starting, and a client gets what lies on the others.
// Method: the real SDK against a real node in this process, whose target's file is damaged between
// two starts.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "cairn/client.h"
#include "common/base/random.h"
#include "server/main/node.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

constexpr int kFiles = 20;

class FailedTargetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    data_ = testing::TempDir() + "/cairn-failed-target-" + std::to_string(SystemRandom().Next());
  }
  void TearDown() override {
    Stop();
    std::filesystem::remove_all(data_);
  }

  absl::Status Start(int targets) {
    config::Server config;
    config.set_data(data_);
    config.set_listen("127.0.0.1:0");
    config.set_slab_memory("16MiB");
    config.set_unsafe_no_sync(true);
    for (int i = 0; i < targets; ++i) config.add_targets()->set_size("64MiB");
    auto node = Node::Start(config);
    if (!node.ok()) return node.status();
    node_ = *std::move(node);
    auto client = Client::Connect({.endpoint = node_->endpoint()});
    if (!client.ok()) return client.status();
    client_ = *std::move(client);
    return absl::OkStatus();
  }
  void Stop() {
    client_.reset();
    node_.reset();
  }
  std::string TargetFile(int target) {
    return data_ + "/target-" + std::to_string(target) + "/data";
  }
  // As a partition table, or another filesystem, would do.
  void Damage(int target) {
    std::fstream file(TargetFile(target), std::ios::in | std::ios::out | std::ios::binary);
    file << std::string(1 << 20, '!');
    ASSERT_TRUE(file.good());
  }
  static std::string Name(const std::string& prefix, int i) {
    return "default/" + prefix + std::to_string(i);
  }
  // Groups are chosen at random, so that both targets get some of so many.
  void Put(const std::string& prefix) {
    for (int i = 0; i < kFiles; ++i) {
      const ConstBuffer piece(content_);
      ASSERT_EQ(client_->PutFile(Name(prefix, i), std::span(&piece, 1)), absl::OkStatus());
    }
  }
  absl::Status Read(const std::string& path) {
    auto file = client_->OpenFile(path);
    if (!file.ok()) return file.status();
    std::vector<std::byte> read(content_.size());
    const absl::Status got = file->Read(0, MutableBuffer(read));
    if (got.ok()) {
      EXPECT_EQ(read, content_);
    }
    return got;
  }
  int Readable(const std::string& prefix) {
    int readable = 0;
    for (int i = 0; i < kFiles; ++i) {
      const absl::Status read = Read(Name(prefix, i));
      if (read.ok()) {
        ++readable;
      } else {
        EXPECT_THAT(std::string(read.message()), HasSubstr("target 2 has failed"));
      }
    }
    return readable;
  }

  const std::vector<std::byte> content_ = std::vector<std::byte>(100'000, std::byte{7});
  std::string data_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<Client> client_;
};

TEST_F(FailedTargetTest, TheOthersServeWithoutIt) {
  ASSERT_EQ(Start(2), absl::OkStatus());
  Put("before");
  Stop();
  std::filesystem::copy_file(TargetFile(1), data_ + "/copy");
  Damage(1);
  ASSERT_EQ(Start(2), absl::OkStatus());
  const int readable = Readable("before");
  EXPECT_GT(readable, 0);
  EXPECT_LT(readable, kFiles);
  const auto status = client_->StatusJson();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_THAT(*status, HasSubstr("TARGET_FAILED"));
  EXPECT_THAT(*status, HasSubstr("target 2 (" + TargetFile(1) + ") has failed"));
  Put("after");
  EXPECT_EQ(Readable("after"), kFiles);
  Stop();
  // Once its device is back, so is what it holds.
  std::filesystem::copy_file(data_ + "/copy", TargetFile(1),
                             std::filesystem::copy_options::overwrite_existing);
  ASSERT_EQ(Start(2), absl::OkStatus());
  EXPECT_EQ(Readable("before"), kFiles);
  EXPECT_EQ(Readable("after"), kFiles);
}

TEST_F(FailedTargetTest, ANodeWithoutAnySoundTargetDoesNotStart) {
  ASSERT_EQ(Start(1), absl::OkStatus());
  Stop();
  Damage(0);
  EXPECT_TRUE(absl::IsFailedPrecondition(Start(1)));
}

TEST_F(FailedTargetTest, ANewTargetHasToOpen) {
  ASSERT_EQ(Start(1), absl::OkStatus());
  Stop();
  std::filesystem::create_directories(data_ + "/target-1");
  std::ofstream(TargetFile(1)) << std::string(64 << 20, '!');
  const absl::Status started = Start(2);
  EXPECT_TRUE(absl::IsFailedPrecondition(started)) << started;
  EXPECT_THAT(std::string(started.message()), HasSubstr("is new and could not be opened"));
}

}  // namespace
}  // namespace cairn
