// One checkpoint of 10,000 ranks, on RocksDB: what a rank costs does not depend on how many there
// are, and what the commit costs does not depend on ranks and shards.
#include <filesystem>

#include "server/kv/rocks_kv.h"
#include "server/meta/format.h"
#include "server/meta/state_machine.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

constexpr int kGroup = 1000;

struct Sizes {
  size_t entries = 0;
  size_t bytes = 0;
};

class ScaleTest : public ::testing::Test {
 protected:
  ScaleTest() {
    directory_ = std::filesystem::temp_directory_path() / "cairn_meta_scale_XXXXXX";
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    auto opened = RocksKv::Open({.directory = directory_, .families = MetaFamilyNames()});
    EXPECT_THAT(opened, IsOk());
    kv_ = *std::move(opened);
    EXPECT_THAT(OpenStore(*kv_, "cluster", 5), IsOk());
  }
  ~ScaleTest() override {
    kv_.reset();
    std::filesystem::remove_all(directory_);
  }

  // Applies and writes a group; the size of its batch.
  Sizes Write(const std::vector<disk::Command>& commands,
              std::vector<std::string>* replies = nullptr) {
    Transaction txn(*kv_);
    for (const disk::Command& command : commands) {
      const auto reply = Apply(command, txn);
      EXPECT_THAT(reply, IsOk());
      if (replies != nullptr && reply.ok()) replies->push_back(*reply);
    }
    const KvBatch batch = txn.TakeBatch();
    Sizes sizes{batch.entries().size(), 0};
    for (const auto& entry : batch.entries()) sizes.bytes += entry.key.size() + entry.value.size();
    EXPECT_THAT(kv_->Write(batch, KvDurability::kSynced), IsOk());
    return sizes;
  }

  static disk::Command Named(uint64_t sequence) {
    disk::Command command;
    command.set_client(7);
    command.set_sequence(sequence);
    return command;
  }

  // All ranks begin and are done; returns the largest batch of a group of dones.
  Sizes WriteRanks(const std::string& path, uint32_t world) {
    std::vector<std::string> begun;
    for (uint32_t rank = 0; rank < world;) {
      std::vector<disk::Command> group;
      for (int i = 0; i < kGroup && rank < world; ++i, ++rank) {
        group.push_back(Named(++sequence_));
        *group.back().mutable_begin_checkpoint() =
            BeginRequest(path, {.world = world, .rank = rank});
      }
      Write(group, &begun);
    }
    Sizes largest;
    for (uint32_t rank = 0; rank < world;) {
      std::vector<disk::Command> group;
      for (int i = 0; i < kGroup && rank < world; ++i, ++rank) {
        wire::BeginCheckpointReply reply;
        EXPECT_TRUE(reply.ParseFromString(begun[rank]));
        group.push_back(Named(++sequence_));
        *group.back().mutable_rank_done() = DoneRequest(
            path, 1, rank, {Shard(StrCat("rank-", rank), 1000, reply.stripes().first())});
      }
      const Sizes sizes = Write(group);
      if (sizes.bytes > largest.bytes) largest = sizes;
    }
    return largest;
  }

  Sizes CommitAll(const std::string& path) {
    disk::Command command = Named(++sequence_);
    *command.mutable_commit_checkpoint() = CommitRequest(path, 1);
    return Write({command});
  }

  std::string directory_;
  std::unique_ptr<RocksKv> kv_;
  uint64_t sequence_ = 0;
};

TEST_F(ScaleTest, TheCommitOfTenThousandRanksIsAsSmallAsThatOfTwo) {
  WriteRanks("default/run/step-1", 2);
  const Sizes of_two = CommitAll("default/run/step-1");
  const Sizes of_group = WriteRanks("default/run/step-2", 10'000);
  const Sizes of_all = CommitAll("default/run/step-2");
  EXPECT_EQ(of_two.entries, of_all.entries);
  EXPECT_LT(of_all.entries, 25u);
  EXPECT_LT(of_all.bytes, of_two.bytes + 100);
  // Ten records a rank and less than a kilobyte, however many ranks.
  EXPECT_LT(of_group.entries, 10u * kGroup);
  EXPECT_LT(of_group.bytes, 1000u * kGroup);
  // Cleaning up is in pieces of bounded size too.
  for (bool more = true; more;) {
    disk::Command command;
    command.mutable_run_cleanup()->set_max_items(256);
    std::vector<std::string> replies;
    EXPECT_LT(Write({command}, &replies).entries, 1000u);
    disk::RunCleanupReply reply;
    ASSERT_TRUE(reply.ParseFromString(replies.at(0)));
    more = reply.more();
  }
}

}  // namespace
}  // namespace cairn
