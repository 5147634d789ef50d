// Goal: seals and removals that meet in the commit queue learn the truth about themselves and not
// about each other. Method: a disk whose flush waits for the test, so that what arrives during a
// round is chosen, and an index that refuses or has a damaged record.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/unit/chunk/target_world.h"

namespace cairn {
namespace {

using ::testing::IsEmpty;

// Passes everything on; while it is shut, a flush waits.
class GateDisk final : public Disk {
 public:
  explicit GateDisk(Disk& disk) : disk_(disk) { open_.Set(); }
  uint64_t size_bytes() const override { return disk_.size_bytes(); }
  uint64_t block_bytes() const override { return disk_.block_bytes(); }
  Task<absl::Status> Write(uint64_t offset_bytes, ConstBytes data) override {
    return disk_.Write(offset_bytes, data);
  }
  Task<absl::Status> Read(uint64_t offset_bytes, MutableBytes data) override {
    return disk_.Read(offset_bytes, data);
  }
  Task<absl::Status> Flush() override {
    ++waiting_;
    co_await open_;
    --waiting_;
    const absl::Status flushed = co_await disk_.Flush();
    co_return flushed;
  }
  void Shut() { open_.Reset(); }
  Task<void> Open() {
    open_.Set();
    co_return;
  }
  int waiting() const { return waiting_; }

 private:
  Disk& disk_;
  Event open_;
  int waiting_ = 0;
};

using Sealed = StoredResult<absl::StatusOr<std::vector<StripeId>>>;
using Freed = StoredResult<absl::Status>;

class TargetRounds : public ::testing::Test {
 protected:
  TargetRounds() { w_.disk_seen = &gate_; }
  void SetUp() override { ASSERT_TRUE(w_.Open().ok()); }
  void TearDown() override { EXPECT_TRUE(w_.SpaceAddsUp()); }

  // Each starts on the side and goes as far as it can.
  void StartSeal(uint64_t stripe, Sealed* result) {
    std::vector<FragmentRun> runs(1, Stripes(stripe));
    w_.executor.Spawn(StoreResult(w_.target->Seal(LeaseId(1), std::move(runs)), result));
    w_.executor.RunUntilIdle();
  }
  void StartFree(uint64_t stripe, Freed* result) {
    std::vector<FragmentRun> runs(1, Stripes(stripe));
    w_.executor.Spawn(StoreResult(w_.target->Free(std::move(runs)), result));
    w_.executor.RunUntilIdle();
  }
  void OpenGate() {
    w_.executor.Run(gate_.Open());
    w_.executor.RunUntilIdle();
  }
  void DamageRecord(uint64_t stripe) {
    const std::string key = EncodeFragmentKey(Key(stripe));
    std::string record = w_.store.family(0).at(key);
    record.back() ^= 1;
    w_.store.Overwrite(0, key, std::move(record));
  }

  TargetWorld w_;
  GateDisk gate_{w_.disk};
};

// A client whose seal takes long sends it again. When the first is refused, nothing is durable.
TEST_F(TargetRounds, SealSentAgainDuringARefusedRoundIsAcknowledgedOnlyWhenDurable) {
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  gate_.Shut();
  Sealed first, second;
  StartSeal(1, &first);
  ASSERT_EQ(gate_.waiting(), 1);
  StartSeal(1, &second);
  w_.store.RefuseNextWrite(absl::ResourceExhaustedError("planted: full"));
  OpenGate();
  ASSERT_TRUE(first.done && second.done);
  EXPECT_TRUE(absl::IsResourceExhausted(first.value->status())) << first.value->status();
  ASSERT_TRUE(second.value->ok()) << second.value->status();
  EXPECT_THAT(**second.value, IsEmpty());
  ASSERT_TRUE(w_.CrashAndOpen(1).ok());
  EXPECT_EQ(w_.ReadAll(1, 5000), absl::OkStatus());
}

TEST_F(TargetRounds, SealSentAgainDuringAGoodRoundCostsNothingMore) {
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  gate_.Shut();
  Sealed first, second;
  StartSeal(1, &first);
  StartSeal(1, &second);
  OpenGate();
  ASSERT_TRUE(first.done && second.done);
  EXPECT_TRUE(first.value->ok() && second.value->ok());
  EXPECT_EQ(w_.disk.flushes(), 1 + 1) << "one of the seal, one of the superblocks";
  EXPECT_EQ(w_.ReadAll(1, 5000), absl::OkStatus());
}

// Removals are what makes room for seals.
TEST_F(TargetRounds, RemovalsGoOnWhenTheSealsOfTheirRoundAreRefused) {
  for (uint64_t stripe = 1; stripe <= 3; ++stripe) ASSERT_TRUE(w_.Write(stripe, 5000).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1)}).ok());
  gate_.Shut();
  Sealed in_flush, refused;
  Freed freed;
  StartSeal(2, &in_flush);
  StartSeal(3, &refused);
  StartFree(1, &freed);
  w_.store.RefuseNextWrite(absl::ResourceExhaustedError("planted: full"), 1);
  OpenGate();
  ASSERT_TRUE(in_flush.done && refused.done && freed.done);
  EXPECT_TRUE(in_flush.value->ok());
  EXPECT_TRUE(absl::IsResourceExhausted(refused.value->status())) << refused.value->status();
  EXPECT_EQ(*freed.value, absl::OkStatus());
  EXPECT_TRUE(absl::IsNotFound(w_.ReadAll(1, 5000)));
  EXPECT_EQ(w_.SealAll({Stripes(3)}), absl::OkStatus());
}

// While it is being sealed it cannot be dropped; when that is refused, it must not stay.
TEST_F(TargetRounds, FragmentRemovedDuringItsRefusedSealIsGone) {
  ASSERT_TRUE(w_.Write(1, 5000).ok());
  gate_.Shut();
  Sealed sealed;
  Freed freed;
  StartSeal(1, &sealed);
  StartFree(1, &freed);
  w_.store.RefuseNextWrite(absl::ResourceExhaustedError("planted: full"));
  OpenGate();
  ASSERT_TRUE(sealed.done && freed.done);
  EXPECT_TRUE(absl::IsResourceExhausted(sealed.value->status())) << sealed.value->status();
  EXPECT_EQ(*freed.value, absl::OkStatus());
  EXPECT_EQ(w_.target->usage().pending, 0u);
}

TEST_F(TargetRounds, DamagedRecordHoldsUpNeitherSealsNorOtherRemovals) {
  for (uint64_t stripe = 1; stripe <= 4; ++stripe) ASSERT_TRUE(w_.Write(stripe, 5000).ok());
  ASSERT_TRUE(w_.SealAll({Stripes(1, 2)}).ok());
  DamageRecord(1);
  gate_.Shut();
  Sealed in_flush, sealed;
  Freed damaged, freed;
  StartSeal(3, &in_flush);
  StartSeal(4, &sealed);
  StartFree(1, &damaged);
  StartFree(2, &freed);
  OpenGate();
  ASSERT_TRUE(in_flush.done && sealed.done && damaged.done && freed.done);
  EXPECT_TRUE(sealed.value->ok()) << sealed.value->status();
  EXPECT_EQ(w_.ReadAll(4, 5000), absl::OkStatus());
  EXPECT_EQ(*damaged.value, absl::OkStatus());
  EXPECT_EQ(*freed.value, absl::OkStatus());
  EXPECT_TRUE(absl::IsNotFound(w_.ReadAll(2, 5000)));
  EXPECT_EQ(w_.target->counters().damaged_records, 1);
}

}  // namespace
}  // namespace cairn
