// Goal: a node starts only on a data directory that is its own, and says why not otherwise. Method:
// directories made wrong one way at a time; a golden identity file.

#include "server/main/data_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace cairn {
namespace {

using testing::HasSubstr;

class DataDirectoryTest : public testing::Test {
 protected:
  DataDirectoryTest() {
    std::string pattern = testing::TempDir() + "/cairn-XXXXXX";
    base_ = mkdtemp(pattern.data());
  }
  ~DataDirectoryTest() override { std::filesystem::remove_all(base_); }

  absl::StatusOr<std::unique_ptr<DataDirectory>> Open(std::string_view cluster = "") {
    return DataDirectory::Open(base_ + "/d", cluster, random_);
  }
  std::string Refusal(std::string_view cluster, absl::StatusCode code) {
    const auto opened = Open(cluster);
    EXPECT_EQ(opened.status().code(), code) << opened.status();
    return std::string(opened.status().message());
  }
  void Overwrite(std::string_view bytes) {
    std::ofstream(base_ + "/d/cairn.id", std::ios::binary | std::ios::trunc) << bytes;
  }
  std::string Read() {
    std::ostringstream bytes;
    bytes << std::ifstream(base_ + "/d/cairn.id", std::ios::binary).rdbuf();
    return bytes.str();
  }

  std::string base_;
  SeededRandom random_{7};
};

TEST_F(DataDirectoryTest, NewOneGetsAnIdentityThatStays) {
  auto first = Open();
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string cluster = (*first)->identity().cluster_id();
  EXPECT_EQ(cluster.size(), 36u);
  first->reset();
  auto second = Open(cluster);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*second)->identity().cluster_id(), cluster);
}

TEST_F(DataDirectoryTest, SecondProcessIsRefusedWithThePidOfTheFirst) {
  auto first = Open();
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(Refusal("", absl::StatusCode::kFailedPrecondition),
              HasSubstr(std::to_string(getpid())));
}

TEST_F(DataDirectoryTest, AnotherClustersDirectoryIsRefusedWithBothNames) {
  ASSERT_TRUE(Open("mine").ok());
  const std::string refusal = Refusal("other", absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refusal, HasSubstr("mine"));
  EXPECT_THAT(refusal, HasSubstr("other"));
}

TEST_F(DataDirectoryTest, AnotherFormatVersionIsRefusedWithBothVersions) {
  ASSERT_TRUE(Open().ok());
  disk::NodeIdentity identity;
  identity.set_format_version(99);
  identity.set_cluster_id("c");
  Overwrite(EncodeIdentity(identity));
  EXPECT_THAT(Refusal("", absl::StatusCode::kFailedPrecondition), HasSubstr("version 99"));
}

TEST_F(DataDirectoryTest, AnyFlippedBitOfTheIdentityIsDetected) {
  ASSERT_TRUE(Open().ok());
  const std::string intact = Read();
  for (size_t bit = 0; bit < intact.size() * 8; ++bit) {
    std::string damaged = intact;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeIdentity(damaged).ok()) << "bit " << bit;
  }
  for (size_t length = 0; length < intact.size(); ++length) {
    EXPECT_FALSE(DecodeIdentity(intact.substr(0, length)).ok()) << length << " bytes";
  }
}

TEST_F(DataDirectoryTest, DirectoryWithSomethingElseInItIsRefused) {
  std::filesystem::create_directory(base_ + "/d");
  std::ofstream(base_ + "/d/photo.jpg") << "x";
  EXPECT_THAT(Refusal("", absl::StatusCode::kFailedPrecondition), HasSubstr("photo.jpg"));
}

TEST_F(DataDirectoryTest, MissingParentIsNamed) {
  const auto opened = DataDirectory::Open(base_ + "/no/d", "", random_);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("/no/d"));
}

// The identity file is a persistent format: these bytes are what version 1 wrote.
TEST(EncodeIdentity, GoldenBytes) {
  disk::NodeIdentity identity;
  identity.set_format_version(1);
  identity.set_cluster_id("c1");
  identity.set_node_id(1);
  const std::string golden("CAIRNID1\x08\0\0\0", 12);
  const std::string bytes = EncodeIdentity(identity);
  ASSERT_EQ(bytes.size(), 24u);
  EXPECT_EQ(bytes.substr(0, 12), golden);
  EXPECT_EQ(bytes.substr(16), std::string("\x08\x01\x12\x02"
                                          "c1\x18\x01",
                                          8));
  ASSERT_TRUE(DecodeIdentity(bytes).ok());
}

}  // namespace
}  // namespace cairn
