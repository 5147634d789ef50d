// Goal: a chunk call that is wrong in any way is refused with its reason, stores nothing and keeps
// no slab. Method: the handlers on a simulated net and target, with requests that are right but for
// one thing.

#include "server/service/chunk_service.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/strings.h"
#include "server/repair/free_spans.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_executor.h"
#include "tests/sim/sim_kv.h"
#include "tests/sim/sim_net.h"

namespace cairn {
namespace {

constexpr uint64_t kSlabBytes = 256 * kKiB;
constexpr size_t kSlabs = 2;
constexpr size_t kPendingMax = 40;
constexpr uint64_t kLiveLease = 5;

Task<absl::StatusOr<bool>> LeaseIsLive(LeaseId lease) { co_return lease == LeaseId(kLiveLease); }

class ChunkServiceTest : public ::testing::Test {
 protected:
  ChunkServiceTest() {
    node_net_ = fabric_.MakeNet("node");
    client_net_ = fabric_.MakeNet("client");
    slabs_ = *SlabPool::Create({kSlabBytes, kSlabs});
    slab_region_ = *node_net_->Register(slabs_->memory(), MemoryAccess::kLocal);
    memory_.resize(2 * kSlabBytes);
    for (size_t i = 0; i < memory_.size(); ++i)
      memory_[i] = static_cast<std::byte>(i * 7 + i / 256);
    readable_ = *client_net_->Register(memory_, MemoryAccess::kRemoteRead);
    destination_.resize(2 * kSlabBytes);
    writable_ = *client_net_->Register(destination_, MemoryAccess::kRemoteWrite);
    client_ = *node_net_->AddPeer(client_net_->address());
    target_ = *executor_.Run(Target::Open({"cluster", TargetId(3), kPendingMax}, disk_, index_,
                                          runner_, executor_.random()));
    service_ =
        std::make_unique<ChunkService>(*slabs_, std::vector<Target*>{target_.get()}, LeaseIsLive);
  }
  ~ChunkServiceTest() override {
    EXPECT_EQ(slabs_->free_slabs(), kSlabs) << "a call kept a slab";
    executor_.Run(target_->Close());
  }

  BulkDescriptor Bulk(const MemoryRegion& region, uint64_t length) {
    BulkDescriptor bulk = region.descriptor();
    bulk.length_bytes = length;
    return bulk;
  }
  CallContext Context(std::vector<BulkDescriptor> bulks) {
    return CallContext(*node_net_, client_, SessionId(1),
                       Deadline::After(executor_.clock(), absl::Seconds(5)), {}, std::move(bulks));
  }

  // A right request to write the first `length` bytes of the client's memory.
  wire::WriteFragmentRequest WriteRequest(uint64_t length, uint64_t stripe = 1) {
    wire::WriteFragmentRequest request;
    request.set_target(3);
    request.mutable_key()->set_stripe(stripe);
    request.set_lease(kLiveLease);
    request.set_length_bytes(length);
    BlockCrcs crcs;
    crcs.Add(ConstBytes(memory_).first(length));
    for (uint32_t crc : crcs.Finish()) request.add_block_crcs(crc);
    return request;
  }
  absl::Status Write(const wire::WriteFragmentRequest& request, uint64_t bulk_bytes) {
    CallContext context = Context({Bulk(*readable_, bulk_bytes)});
    return executor_.Run(service_->Write(context, request)).status();
  }
  absl::Status Write(const wire::WriteFragmentRequest& request) {
    return Write(request, request.length_bytes());
  }
  absl::StatusOr<wire::SealReply> Seal(uint64_t first, uint32_t count, uint32_t stride = 1,
                                       uint64_t lease = kLiveLease, uint32_t target = 3) {
    wire::SealRequest request;
    request.set_target(target);
    request.set_lease(lease);
    wire::FragmentRun* run = request.add_runs();
    run->set_first_stripe(first);
    run->set_count(count);
    run->set_stride(stride);
    CallContext context = Context({});
    return executor_.Run(service_->Seal(context, request));
  }
  absl::StatusOr<wire::ReadFragmentReply> Read(uint64_t offset, uint64_t length,
                                               uint64_t bulk_bytes, uint32_t target = 3) {
    wire::ReadFragmentRequest request;
    request.set_target(target);
    request.mutable_key()->set_stripe(1);
    request.set_offset_bytes(offset);
    request.set_length_bytes(length);
    CallContext context = Context({Bulk(*writable_, bulk_bytes)});
    return executor_.Run(service_->Read(context, request));
  }
  void WriteAndSeal(uint64_t length) {
    ASSERT_EQ(Write(WriteRequest(length)), absl::OkStatus());
    ASSERT_TRUE(Seal(1, 1).ok());
  }
  void ExpectNothingStored() {
    EXPECT_EQ(target_->usage().pending, 0u);
    EXPECT_EQ(target_->usage().used, 0u);
  }

  SimExecutor executor_{11};
  SimFabric fabric_{executor_};
  SimBlockingRunner runner_;
  SimDisk disk_{8 * kMiB, 1};
  SimKv index_{2};
  std::unique_ptr<SimNet> node_net_, client_net_;
  std::unique_ptr<SlabPool> slabs_;
  std::vector<std::byte> memory_, destination_;
  std::unique_ptr<MemoryRegion> slab_region_, readable_, writable_;
  PeerId client_;
  std::unique_ptr<Target> target_;
  std::unique_ptr<ChunkService> service_;
};

TEST_F(ChunkServiceTest, WrittenSealedAndReadBack) {
  WriteAndSeal(200'001);
  const auto read = Read(70'000, 100'000, 100'000);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->piece_crcs_size(), 2);
  EXPECT_EQ(std::memcmp(destination_.data(), memory_.data() + 70'000, 100'000), 0);
}

TEST_F(ChunkServiceTest, LengthsThatDisagreeOrDoNotFitASlabAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(Write(WriteRequest(0))));
  EXPECT_TRUE(absl::IsInvalidArgument(Write(WriteRequest(kSlabBytes + 1))));
  EXPECT_TRUE(absl::IsInvalidArgument(Write(WriteRequest(5000), 5001)));
  EXPECT_TRUE(absl::IsInvalidArgument(Write(WriteRequest(5000), 4999)));
  wire::WriteFragmentRequest huge = WriteRequest(100);
  huge.set_length_bytes(UINT64_MAX);
  EXPECT_TRUE(absl::IsInvalidArgument(Write(huge, UINT64_MAX)));
  ExpectNothingStored();
  EXPECT_EQ(Write(WriteRequest(kSlabBytes)), absl::OkStatus());
}

TEST_F(ChunkServiceTest, WrongNumberOfChecksumsIsRefused) {
  wire::WriteFragmentRequest few = WriteRequest(kBlockBytes + 1);
  few.mutable_block_crcs()->RemoveLast();
  EXPECT_TRUE(absl::IsInvalidArgument(Write(few)));
  wire::WriteFragmentRequest many = WriteRequest(kBlockBytes);
  many.add_block_crcs(1);
  EXPECT_TRUE(absl::IsInvalidArgument(Write(many)));
  ExpectNothingStored();
}

// Nobody drops what is pending under it, and nobody asks whose it is.
TEST_F(ChunkServiceTest, ClientsCannotUseTheLeaseOfTheServiceItself) {
  wire::WriteFragmentRequest request = WriteRequest(100);
  request.set_lease(kRestoreLease.value());
  const absl::Status written = Write(request);
  EXPECT_TRUE(absl::IsInvalidArgument(written)) << written;
  ExpectNothingStored();
  EXPECT_TRUE(absl::IsAborted(Seal(1, 1, 1, kRestoreLease.value()).status()));
}

TEST_F(ChunkServiceTest, BytesThatDoNotMatchTheirChecksumAreNotStored) {
  const wire::WriteFragmentRequest request = WriteRequest(3 * kBlockBytes);
  memory_[kBlockBytes + 77] ^= std::byte{1};
  const absl::Status written = Write(request);
  EXPECT_TRUE(absl::IsDataLoss(written)) << written;
  EXPECT_NE(ToStd(written.message()).find("block 1"), std::string_view::npos) << written;
  ExpectNothingStored();
}

// UNAVAILABLE, so that the client tries again, by a newer map.
TEST_F(ChunkServiceTest, UnknownTargetIsUnavailable) {
  wire::WriteFragmentRequest request = WriteRequest(100);
  request.set_target(4);
  EXPECT_TRUE(absl::IsUnavailable(Write(request)));
  EXPECT_TRUE(absl::IsUnavailable(Read(0, 10, 10, 4).status()));
  EXPECT_TRUE(absl::IsUnavailable(Seal(1, 1, 1, kLiveLease, 4).status()));
}

// A full target would be sent every byte of a save, only to refuse them.
TEST_F(ChunkServiceTest, WriteThatFindsNoRoomIsRefusedWithoutItsBytes) {
  uint64_t stripe = 100;
  while (target_->CheckRoom({StripeId(stripe), 0}, kSlabBytes).ok()) {
    ASSERT_EQ(Write(WriteRequest(kSlabBytes, stripe++)), absl::OkStatus());
  }
  CallContext context = Context({{readable_->descriptor().key + 1000, 0, kSlabBytes}});
  const auto refused = executor_.Run(service_->Write(context, WriteRequest(kSlabBytes)));
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
}

TEST_F(ChunkServiceTest, WriteToAFailedTargetIsRefusedWithoutItsBytes) {
  ASSERT_EQ(Write(WriteRequest(100)), absl::OkStatus());
  disk_.FailNext(SimDisk::Kind::kFlush, absl::DataLossError("planted"));
  ASSERT_FALSE(Seal(1, 1).ok());
  CallContext context = Context({{readable_->descriptor().key + 1000, 0, 100}});
  const auto refused = executor_.Run(service_->Write(context, WriteRequest(100, 2)));
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
}

TEST_F(ChunkServiceTest, WriterIsAskedToSealWhenTooMuchIsPending) {
  for (uint64_t stripe = 1; stripe <= kPendingMax; ++stripe) {
    ASSERT_EQ(Write(WriteRequest(100, stripe)), absl::OkStatus());
  }
  CallContext context = Context({Bulk(*readable_, 100)});
  auto reply = executor_.Run(service_->Write(context, WriteRequest(100, 99)));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->seal_first());
  // One that is there already needs no room.
  reply = executor_.Run(service_->Write(context, WriteRequest(100, 1)));
  EXPECT_TRUE(reply.ok() && !reply->seal_first());
  ASSERT_TRUE(Seal(1, kPendingMax).ok());
  EXPECT_EQ(Write(WriteRequest(100, 99)), absl::OkStatus());
  EXPECT_EQ(Seal(99, 1)->missing_stripes_size(), 0);
}

TEST_F(ChunkServiceTest, ATargetThatCouldNotBeOpenedSaysWhy) {
  service_ = std::make_unique<ChunkService>(
      *slabs_, std::vector<Target*>{target_.get()}, LeaseIsLive,
      ChunkService::Unopened{{4, absl::NotFoundError("no such device")}});
  wire::WriteFragmentRequest request = WriteRequest(100);
  request.set_target(4);
  const absl::Status written = Write(request);
  EXPECT_TRUE(absl::IsFailedPrecondition(written)) << written;
  EXPECT_EQ(written.message(), "target 4 has failed: no such device");
  EXPECT_TRUE(absl::IsFailedPrecondition(Read(0, 10, 10, 4).status()));
  EXPECT_TRUE(Write(WriteRequest(100)).ok());
}

TEST_F(ChunkServiceTest, MemoryThatCannotBeReachedFailsTheCallOnly) {
  CallContext context = Context({{readable_->descriptor().key + 1000, 0, 100}});
  const auto written = executor_.Run(service_->Write(context, WriteRequest(100)));
  EXPECT_TRUE(absl::IsUnavailable(written.status())) << written.status();
  ExpectNothingStored();
  EXPECT_EQ(Write(WriteRequest(100)), absl::OkStatus());
}

TEST_F(ChunkServiceTest, CallWithoutASlabEndsAtItsDeadline) {
  std::vector<Slab> taken;
  for (size_t i = 0; i < kSlabs; ++i) {
    taken.push_back(*executor_.Run(slabs_->Acquire(Deadline::Infinite())));
  }
  const absl::Status written = Write(WriteRequest(100));
  EXPECT_TRUE(absl::IsDeadlineExceeded(written)) << written;
}

// What a slab held before belongs to somebody else.
TEST_F(ChunkServiceTest, RestOfTheLastUnitIsZeroOnTheDevice) {
  std::fill(memory_.begin(), memory_.end(), std::byte{0xee});
  for (uint64_t i = 0; i < kSlabs; ++i) {
    ASSERT_EQ(Write(WriteRequest(kSlabBytes, 10 + i)), absl::OkStatus());
  }
  std::fill(memory_.begin(), memory_.end(), std::byte{0x11});
  ASSERT_EQ(Write(WriteRequest(100, 1)), absl::OkStatus());
  const ConstBytes device = disk_.live();
  const auto found = std::search_n(device.begin(), device.end(), 100, std::byte{0x11});
  ASSERT_NE(found, device.end());
  EXPECT_TRUE(std::all_of(found + 100, found + kUnitBytes,
                          [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST_F(ChunkServiceTest, WrongReadsAreRefused) {
  WriteAndSeal(100'000);
  EXPECT_TRUE(absl::IsInvalidArgument(Read(0, 0, 0).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Read(0, 100, 99).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Read(0, kSlabBytes + 1, kSlabBytes + 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Read(UINT64_MAX - 5, 10, 10).status()));
  // Whole blocks pass through the slab, and these are one more than fit.
  EXPECT_TRUE(absl::IsInvalidArgument(Read(10, kSlabBytes, kSlabBytes).status()));
  EXPECT_TRUE(absl::IsOutOfRange(Read(99'990, 11, 11).status()));
  EXPECT_TRUE(absl::IsOutOfRange(Read(100'000, 1, 1).status()));
}

TEST_F(ChunkServiceTest, UnsealedFragmentIsNotReadable) {
  ASSERT_EQ(Write(WriteRequest(100)), absl::OkStatus());
  EXPECT_TRUE(absl::IsNotFound(Read(0, 10, 10).status()));
}

TEST_F(ChunkServiceTest, SealNamesWhatIsMissingAndSealsNothingThen) {
  ASSERT_EQ(Write(WriteRequest(100, 1)), absl::OkStatus());
  const auto sealed = Seal(1, 3);
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  ASSERT_EQ(sealed->missing_stripes_size(), 2);
  EXPECT_EQ(sealed->missing_stripes(0), 2u);
  EXPECT_EQ(target_->usage().used, 0u);
}

TEST_F(ChunkServiceTest, EmptyEndlessAndWrappingRunsAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(Seal(1, 0).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Seal(1, 2, 0).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Seal(UINT64_MAX - 3, 5).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Seal(1, UINT32_MAX).status()));
}

// The space of its stripes may have been reclaimed already, and is reclaimed once.
TEST_F(ChunkServiceTest, SealUnderAnEndedLeaseIsAborted) {
  wire::WriteFragmentRequest request = WriteRequest(100);
  request.set_lease(6);
  ASSERT_EQ(Write(request), absl::OkStatus());
  EXPECT_TRUE(absl::IsAborted(Seal(1, 1, 1, 6).status()));
  EXPECT_EQ(target_->usage().used, 0u);
}

// Shut, so that the lease may end, and its space be reclaimed, while a seal waits for its answer.
class SlowCheck {
 public:
  Task<absl::StatusOr<bool>> Ask() {
    ++asked_;
    co_await answer_;
    co_return true;
  }
  Task<void> Answer() {
    answer_.Set();
    co_return;
  }
  int asked() const { return asked_; }

 private:
  int asked_ = 0;
  Event answer_;
};

TEST_F(ChunkServiceTest, ReclaimWaitsForSealsWhoseLeaseWasAskedFor) {
  ASSERT_EQ(Write(WriteRequest(100, 7)), absl::OkStatus());
  SlowCheck check;
  ChunkService service(*slabs_, {target_.get()}, [&check](LeaseId) { return check.Ask(); });
  wire::SealRequest request;
  request.set_target(3);
  request.set_lease(kLiveLease);
  wire::FragmentRun* run = request.add_runs();
  run->set_first_stripe(7);
  run->set_count(1);
  run->set_stride(1);
  CallContext context = Context({});
  StoredResult<absl::StatusOr<wire::SealReply>> sealed;
  executor_.Spawn(StoreResult(service.Seal(context, request), &sealed));
  executor_.RunUntilIdle();
  ASSERT_EQ(check.asked(), 1);

  StoredResult<absl::Status> freed;
  std::vector<StripeSpan> spans = {{0, 100}};
  executor_.Spawn(StoreResult(FreeSpans(*target_, std::move(spans)), &freed));
  executor_.RunUntilIdle();
  EXPECT_FALSE(freed.done);
  executor_.Run(check.Answer());
  executor_.RunUntilIdle();
  ASSERT_TRUE(sealed.done && freed.done);
  EXPECT_TRUE(sealed.value->ok()) << sealed.value->status();
  EXPECT_EQ(*freed.value, absl::OkStatus());
  ExpectNothingStored();
}

TEST_F(ChunkServiceTest, DiscardForgetsWhatIsNotSealed) {
  ASSERT_EQ(Write(WriteRequest(100, 1)), absl::OkStatus());
  wire::DiscardRequest request;
  request.set_target(3);
  wire::FragmentRun* run = request.add_runs();
  run->set_first_stripe(1);
  run->set_count(1);
  CallContext context = Context({});
  EXPECT_TRUE(absl::IsInvalidArgument(executor_.Run(service_->Discard(context, request)).status()));
  EXPECT_GT(target_->usage().pending, 0u);
  run->set_stride(1);
  EXPECT_TRUE(executor_.Run(service_->Discard(context, request)).ok());
  ExpectNothingStored();
}

}  // namespace
}  // namespace cairn
