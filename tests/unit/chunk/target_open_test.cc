// Opening a target: new ones, interrupted ones, other people's, damaged ones. The messages are what
// an operator acts on, so they are checked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "server/chunk/inspect.h"
#include "tests/sim/seeds.h"
#include "tests/unit/chunk/target_world.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TargetOpenTest : public ::testing::Test {
 protected:
  // A target with one sealed stripe, closed.
  void MakeTarget(TargetWorld& w) {
    ASSERT_TRUE(w.Open().ok());
    ASSERT_TRUE(w.Write(1, 5000).ok());
    ASSERT_TRUE(w.SealAll({Stripes(1)}).ok());
    w.Close();
  }
  static void ExpectRefused(const absl::Status& status, absl::StatusCode code,
                            const std::string& why) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
    EXPECT_THAT(std::string(status.message()), HasSubstr("target 7: "));
  }
  static absl::Status Fill(TargetWorld& w, uint64_t offset, int fill) {
    const TestSlab slab(kUnitBytes);
    std::memset(slab.bytes().data(), fill, kUnitBytes);
    return w.executor.Run(w.disk.Write(offset, slab.bytes()));
  }
  TargetWorld w_;
};

TEST_F(TargetOpenTest, NewTargetIsEmptyAndStaysItsOwn) {
  ASSERT_TRUE(w_.Open().ok());
  EXPECT_EQ(w_.target->usage().free, TargetWorld::kDeviceBytes - 2 * kReservedBytes);
  EXPECT_THAT(w_.target->warnings(), IsEmpty());
  w_.Close();
  ASSERT_TRUE(w_.Open().ok());
  EXPECT_THAT(w_.target->warnings(), IsEmpty());
}

TEST_F(TargetOpenTest, OthersAreRefusedByName) {
  MakeTarget(w_);
  ExpectRefused(w_.Open("cluster-b"), absl::StatusCode::kFailedPrecondition,
                "belongs to cluster cluster-a, not to cluster-b");
  const absl::Status other = w_.Open("cluster-a", 8);
  EXPECT_THAT(std::string(other.message()), HasSubstr("is target 7, not target 8"));
  EXPECT_TRUE(w_.Open().ok());
}

TEST_F(TargetOpenTest, ForeignContentIsNeverOverwritten) {
  ASSERT_TRUE(Fill(w_, 0, 'x').ok());
  ExpectRefused(w_.Open(), absl::StatusCode::kFailedPrecondition,
                "something else than a Cairn target");
  EXPECT_EQ(w_.disk.live()[0], std::byte{'x'});
  EXPECT_THAT(w_.store.family(1), IsEmpty());
}

TEST_F(TargetOpenTest, OneDamagedCopyIsRewritten) {
  for (const uint64_t offset : SuperblockOffsets(TargetWorld::kDeviceBytes)) {
    TargetWorld w;
    MakeTarget(w);
    w.disk.FlipBit(offset + 50, 2);
    ASSERT_TRUE(w.Open().ok());
    ASSERT_EQ(w.target->warnings().size(), 1u);
    EXPECT_THAT(w.target->warnings()[0],
                HasSubstr(offset == 0 ? "the first copy" : "the second copy"));
    EXPECT_TRUE(w.ReadAll(1, 5000).ok());
    ASSERT_TRUE(w.CrashAndOpen(1).ok());
    EXPECT_THAT(w.target->warnings(), IsEmpty());
  }
}

TEST_F(TargetOpenTest, TwoDamagedCopiesAreDataLoss) {
  MakeTarget(w_);
  for (const uint64_t offset : SuperblockOffsets(TargetWorld::kDeviceBytes))
    w_.disk.FlipBit(offset + 50, 2);
  ExpectRefused(w_.Open(), absl::StatusCode::kDataLoss, "no copy of the superblock is usable");
}

TEST_F(TargetOpenTest, DeviceWithoutItsIndexIsRefused) {
  MakeTarget(w_);
  SimKv empty(2);
  w_.store_seen = &empty;
  ExpectRefused(w_.Open(), absl::StatusCode::kFailedPrecondition, "its index is empty");
}

TEST_F(TargetOpenTest, IndexOfAnotherDeviceIsRefused) {
  MakeTarget(w_);
  TargetWorld other(99);
  MakeTarget(other);
  w_.store_seen = &other.store;
  ExpectRefused(w_.Open(), absl::StatusCode::kFailedPrecondition, "belongs to another device");
}

TEST_F(TargetOpenTest, WipedDeviceIsNotMadeANewTarget) {
  MakeTarget(w_);
  for (const uint64_t offset : SuperblockOffsets(TargetWorld::kDeviceBytes)) {
    ASSERT_TRUE(Fill(w_, offset, 0).ok());
  }
  ExpectRefused(w_.Open(), absl::StatusCode::kFailedPrecondition,
                "the device is blank, but its index");
}

TEST_F(TargetOpenTest, InterruptedMakingIsFinished) {
  for (uint64_t seed = 1; seed < SeedsHere(100); ++seed) {
    TargetWorld w(seed);
    // Cut off at every place: an injected failure stands for the cut.
    const int place = static_cast<int>(seed % 4);
    if (place == 0) w.store.FailWriteAfter(0, absl::UnavailableError("cut"));
    if (place == 1) w.disk.FailNext(SimDisk::Kind::kWrite, absl::UnavailableError("cut"));
    if (place == 2) w.disk.FailNext(SimDisk::Kind::kWrite, absl::UnavailableError("cut"), 1);
    if (place == 3) w.disk.FailNext(SimDisk::Kind::kFlush, absl::UnavailableError("cut"));
    ASSERT_FALSE(w.Open().ok());
    const absl::Status again = w.CrashAndOpen(seed);
    ASSERT_TRUE(again.ok()) << again << ", seed " << seed;
    ASSERT_TRUE(w.Write(1, 5000).ok());
    ASSERT_TRUE(w.SealAll({Stripes(1)}).ok());
    ASSERT_TRUE(w.CrashAndOpen(seed + 1).ok());
    EXPECT_TRUE(w.ReadAll(1, 5000).ok());
  }
}

TEST_F(TargetOpenTest, DamagedIndexIsRefused) {
  MakeTarget(w_);
  const auto [key, value] = *w_.store.family(0).begin();
  std::string bad = value;
  bad[10] = static_cast<char>(bad[10] ^ 1);
  w_.store.Overwrite(0, key, bad);
  ExpectRefused(w_.Open(), absl::StatusCode::kDataLoss, "the index record of stripe 1");

  // Right in itself, but its extent is another's.
  w_.store.Overwrite(0, key, value);
  const FragmentKey other = Key(2);
  const IndexRecord record = *DecodeIndexRecord(Key(1), value);
  w_.store.Overwrite(0, EncodeFragmentKey(other), EncodeIndexRecord(other, record));
  ExpectRefused(w_.Open(), absl::StatusCode::kDataLoss, "overlaps another");
}

TEST_F(TargetOpenTest, TinyDeviceIsRefused) {
  TargetWorld tiny(1, 64 * kKiB);
  ExpectRefused(tiny.Open(), absl::StatusCode::kFailedPrecondition, "at least 4194304");
}

TEST_F(TargetOpenTest, InspectorListsWhatTheIndexHolds) {
  MakeTarget(w_);
  const auto text = DescribeIndex(w_.store, 10);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("target   7"));
  EXPECT_THAT(*text, HasSubstr("stripe 1.0  lease 1  offset 1048576  length 5000  crcs "));
  EXPECT_THAT(*text, HasSubstr("1 fragments, 5000 bytes in 8192"));
}

}  // namespace
}  // namespace cairn
