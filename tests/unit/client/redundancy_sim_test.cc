// Goal: what a bucket's redundancy promises: any m of the fragments of every stripe may be lost,
// one more is said and never guessed, and a save goes on around targets that refuse. Method: the
// simulated node with several targets, each a failure domain of its own, and faults of its devices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/client/client_world.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

constexpr size_t kSizes[] = {1, 100, 64 * kKiB, 64 * kKiB + 1, 512 * kKiB, 3 * kMiB + 77};

class World : public ClientWorld {
 public:
  explicit World(uint32_t targets, uint64_t seed = 1) : ClientWorld(seed, Shape(targets)) {}

  static SimNode::Options Shape(uint32_t targets) {
    SimNode::Options options;
    options.targets = targets;
    options.target_bytes = 16 * kMiB;
    options.stripe_bytes = 512 * kKiB;
    return options;
  }
  absl::Status MakeBucket(const std::string& redundancy, wire::DomainLevel level) {
    return executor.Run(AskForBucket(redundancy, level));
  }
  std::vector<Content> Shards() {
    std::vector<Content> shards;
    for (size_t size : kSizes) shards.push_back(RandomContent(random, size));
    return shards;
  }
  // Makes "b" and saves `shards` in it.
  void SaveIn(const std::string& redundancy, const std::vector<Content>& shards) {
    const absl::Status made = MakeBucket(redundancy, wire::DOMAIN_TARGET);
    ASSERT_TRUE(made.ok()) << made;
    const absl::Status saved = executor.Run(Save("b/run/step-1", shards));
    ASSERT_TRUE(saved.ok()) << saved;
  }
  void FailReads(size_t target) {
    node.disk(target).FailEvery(SimDisk::Kind::kRead, absl::DataLossError("planted"));
  }

 private:
  Task<absl::Status> AskForBucket(std::string redundancy, wire::DomainLevel level) {
    wire::MakeBucketRequest request;
    request.set_name("b");
    request.set_redundancy(std::move(redundancy));
    request.set_level(level);
    const auto made =
        co_await session->Meta<wire::MakeBucketReply>(wire::MAKE_BUCKET, request, Soon());
    co_return made.status();
  }
};

class RedundancySim : public ::testing::TestWithParam<const char*> {
 protected:
  Redundancy redundancy() const { return *ParseRedundancy(GetParam()); }
};

TEST_P(RedundancySim, SavedBytesComeBackWholeAndInAnyRange) {
  World world(redundancy().width() + 1);
  const std::vector<Content> shards = world.Shards();
  world.SaveIn(GetParam(), shards);
  EXPECT_EQ(world.Matches("b/run/step-1", shards), absl::OkStatus());
  const Content& whole = shards.back();
  const std::string path = "b/run/step-1/" + ShardName(shards.size() - 1);
  for (int i = 0; i < 50; ++i) {
    const uint64_t offset = world.random.Below(whole.size());
    Content part(1 + world.random.Below(whole.size() - offset));
    const absl::Status read = world.executor.Run(world.ReadRange(path, offset, part));
    ASSERT_TRUE(read.ok()) << read;
    EXPECT_TRUE(
        std::equal(part.begin(), part.end(), whole.begin() + static_cast<ptrdiff_t>(offset)));
  }
}

TEST_P(RedundancySim, AsManyTargetsAsThereIsParityMayBeLost) {
  const uint32_t width = redundancy().width();
  for (uint32_t first = 0; first < width; ++first) {
    World world(width, first + 1);
    const std::vector<Content> shards = world.Shards();
    world.SaveIn(GetParam(), shards);
    for (uint32_t i = 0; i < redundancy().tolerance(); ++i)
      world.FailReads((first + i * 2) % width);
    EXPECT_EQ(world.Matches("b/run/step-1", shards), absl::OkStatus());
    Content part(100'000);
    const std::string path = "b/run/step-1/" + ShardName(shards.size() - 1);
    const absl::Status read = world.executor.Run(world.ReadRange(path, 777'777, part));
    ASSERT_TRUE(read.ok()) << read;
    EXPECT_TRUE(std::equal(part.begin(), part.end(), shards.back().begin() + 777'777));
  }
}

TEST_P(RedundancySim, OneTargetMoreIsALossAndIsSaid) {
  World world(redundancy().width());
  const std::vector<Content> shards = {RandomContent(world.random, 2 * kMiB)};
  world.SaveIn(GetParam(), shards);
  for (uint32_t i = 0; i <= redundancy().tolerance(); ++i) world.FailReads(i);
  const absl::Status read = world.Matches("b/run/step-1", shards);
  EXPECT_EQ(read.code(), absl::StatusCode::kDataLoss) << read;
}

// Found by the checksum of a block, wherever it is.
TEST_P(RedundancySim, RottenBitsAreReadAround) {
  World world(redundancy().width());
  const std::vector<Content> shards = {RandomContent(world.random, 2 * kMiB)};
  world.SaveIn(GetParam(), shards);
  SimDisk& disk = world.node.disk(0);
  for (uint64_t offset = kMiB; offset < disk.size_bytes(); offset += 40'000)
    disk.FlipBit(offset, 3);
  EXPECT_EQ(world.Matches("b/run/step-1", shards), absl::OkStatus());
}

TEST_P(RedundancySim, ASaveGoesOnAroundADeviceThatCannotWrite) {
  World world(redundancy().width() + 2);
  const std::vector<Content> shards = world.Shards();
  world.node.disk(1).FailEvery(SimDisk::Kind::kWrite, absl::DataLossError("planted"));
  world.SaveIn(GetParam(), shards);
  world.FailReads(1);
  EXPECT_EQ(world.Matches("b/run/step-1", shards), absl::OkStatus());
}

// Also where one target finds itself full while the others still take what the next stripe sends.
TEST_P(RedundancySim, ASaveThatDoesNotFitIsRefused) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    World world(redundancy().width(), seed);
    const std::vector<Content> first = {RandomContent(world.random, kMiB)};
    world.SaveIn(GetParam(), first);
    const std::vector<Content> shards = {RandomContent(
        world.random, world.node.options().target_bytes * (redundancy().data_fragments + 1))};
    const absl::Status saved = world.executor.Run(world.Save("b/run/step-2", shards));
    EXPECT_EQ(saved.code(), absl::StatusCode::kResourceExhausted) << saved << " seed " << seed;
    EXPECT_EQ(world.Matches("b/run/step-1", first), absl::OkStatus()) << "seed " << seed;
  }
}

TEST_P(RedundancySim, PowerCutsLoseNothingCommitted) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    World world(redundancy().width(), seed);
    const std::vector<Content> shards = {RandomContent(world.random, kMiB + 5)};
    world.SaveIn(GetParam(), shards);
    ASSERT_EQ(world.executor.Run(world.node.Restart(seed, 1)), absl::OkStatus());
    world.FailReads(seed % redundancy().width());
    EXPECT_EQ(world.Matches("b/run/step-1", shards), absl::OkStatus()) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes, RedundancySim,
                         ::testing::Values("replica:2", "replica:3", "ec:2+1", "ec:4+2"));

TEST(BucketSim, TooFewDomainsAreRefusedWithWhatFits) {
  World world(3);
  const absl::Status targets = world.MakeBucket("ec:4+2", wire::DOMAIN_TARGET);
  EXPECT_EQ(targets.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(targets.message()), HasSubstr("ec:2+1 or replica:3 would fit"));
  const absl::Status nodes = world.MakeBucket("replica:2", wire::DOMAIN_NODE);
  EXPECT_EQ(nodes.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(nodes.message()), HasSubstr("the cluster has 1"));
  EXPECT_EQ(world.MakeBucket("raid5", wire::DOMAIN_TARGET).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(world.MakeBucket("replica:3", wire::DOMAIN_TARGET), absl::OkStatus());
  EXPECT_EQ(world.MakeBucket("replica:3", wire::DOMAIN_TARGET).code(),
            absl::StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace cairn
