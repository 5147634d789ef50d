// Goal: what the targets hold is told in full, page by page; what is not what was written is found;
// and a target in trouble costs only itself. Method: the real targets on simulated disks and
// stores, which the test damages.

#include "server/repair/fragment_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>

#include "common/fabric/net.h"
#include "tests/unit/chunk/target_world.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Place = std::tuple<uint64_t, uint32_t, uint32_t>;  // stripe, index, target

constexpr uint64_t kWriter = 5;

class FragmentListTest : public ::testing::Test {
 protected:
  struct Device {
    Device(uint64_t bytes, uint64_t seed) : disk(bytes, seed) {}
    SimDisk disk;
    SimKv store{2};
    std::unique_ptr<Target> target;
  };
  ~FragmentListTest() override {
    for (auto& [id, device] : devices_) executor_.Run(device->target->Close());
  }

  Device& Add(uint32_t id, uint64_t bytes = 16 * kMiB) {
    auto device = std::make_unique<Device>(bytes, id);
    device->target = *executor_.Run(Target::Open({"cluster", TargetId(id)}, device->disk,
                                                 device->store, runner_, executor_.random()));
    return *(devices_[id] = std::move(device));
  }
  // On the target, not sealed. The content follows from the stripe.
  void Write(uint32_t target, FragmentKey key, uint64_t length) {
    const TestSlab slab(length);
    FillContent(key.stripe.value(), slab.bytes().first(length));
    const absl::Status written = executor_.Run(devices_[target]->target->Write(
        key, LeaseId(kWriter), slab.bytes(), length, CrcsOf(slab.bytes().first(length))));
    ASSERT_TRUE(written.ok()) << written;
  }
  // One fragment each of `count` stripes, sealed.
  void Put(uint32_t target, uint64_t first, uint32_t count, uint32_t index, uint64_t length = 100) {
    for (uint64_t i = 0; i < count; ++i) {
      Write(target, {StripeId(first + i), index}, length);
      expected_.emplace_back(first + i, index, target);
    }
    std::vector<FragmentRun> runs = {{StripeId(first), count, 1, index}};
    const auto missing =
        executor_.Run(devices_[target]->target->Seal(LeaseId(kWriter), std::move(runs)));
    ASSERT_TRUE(missing.ok() && missing->empty()) << missing.status();
  }
  // Flips a bit of the fragment's byte `at`, where it lies on the device.
  static void Rot(Device& device, uint64_t stripe, uint64_t at) {
    std::vector<std::byte> content(64);
    FillContent(stripe, content);
    const ConstBytes disk = device.disk.live();
    const auto found = std::search(disk.begin(), disk.end(), content.begin(), content.end());
    ASSERT_NE(found, disk.end());
    device.disk.FlipBit(static_cast<uint64_t>(found - disk.begin()) + at, 3);
  }

  OnTarget OnTargets() {
    return [this](uint32_t target, const TargetWork& work) { return RunOn(target, work); };
  }
  Task<absl::Status> RunOn(uint32_t target, const TargetWork& work) {
    const auto found = devices_.find(target);
    if (found == devices_.end()) co_return absl::UnavailableError("no such target");
    if (target == refused_) co_return absl::FailedPreconditionError("planted: it has failed");
    co_return co_await work(*found->second->target);
  }

  static wire::ListFragmentsRequest Range(uint64_t first, uint64_t end) {
    wire::ListFragmentsRequest request;
    request.set_first(first);
    request.set_end(end);
    return request;
  }
  absl::StatusOr<wire::ListFragmentsReply> Ask(const wire::ListFragmentsRequest& request) {
    std::vector<uint32_t> targets = asked_besides_;
    for (const auto& [id, device] : devices_) targets.push_back(id);
    return executor_.Run(ListFragments(request, std::move(targets), OnTargets()));
  }
  wire::ListFragmentsReply List(uint64_t first, uint64_t end) {
    const auto reply = Ask(Range(first, end));
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.value_or(wire::ListFragmentsReply());
  }
  wire::ListFragmentsReply Verify(uint64_t first, uint64_t end) {
    wire::ListFragmentsRequest request = Range(first, end);
    request.set_verify(true);
    const auto reply = Ask(request);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.value_or(wire::ListFragmentsReply());
  }
  static std::vector<Place> Places(const wire::ListFragmentsReply& reply) {
    std::vector<Place> places;
    for (const auto& each : reply.fragments())
      places.emplace_back(each.stripe(), each.index(), each.target());
    return places;
  }
  static std::vector<Place> Damaged(const wire::ListFragmentsReply& reply) {
    std::vector<Place> places;
    for (const auto& each : reply.fragments()) {
      if (each.damaged()) places.emplace_back(each.stripe(), each.index(), each.target());
    }
    return places;
  }
  // All pages of [0, end), which are as they should be each; returns how many.
  int ListInPages(uint64_t end, std::vector<Place>* places) {
    int pages = 0;
    for (uint64_t from = 0; from < end; ++pages) {
      const wire::ListFragmentsReply page = List(from, end);
      EXPECT_LE(page.ByteSizeLong(), kMaxMessageBytes);
      EXPECT_LE(page.fragments_size(), 1500);
      for (const Place& place : Places(page)) {
        EXPECT_GE(std::get<0>(place), from);
        EXPECT_LT(std::get<0>(place), page.next()) << "a stripe is cut";
        places->push_back(place);
      }
      if (page.next() <= from || page.next() > end) {
        ADD_FAILURE() << "after " << from << " comes " << page.next();
        break;
      }
      from = page.next();
    }
    return pages;
  }
  std::vector<Place> Expected() const {
    std::vector<Place> sorted = expected_;
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  }
  absl::Status Free(const std::vector<Place>& places) {
    wire::FreeFragmentsRequest request;
    for (const auto& [stripe, index, target] : places) {
      auto* fragment = request.add_fragments();
      fragment->set_stripe(stripe);
      fragment->set_index(index);
      fragment->set_target(target);
    }
    return executor_.Run(FreeFragments(request, OnTargets()));
  }

  SimExecutor executor_{7};
  SimBlockingRunner runner_;
  std::map<uint32_t, std::unique_ptr<Device>> devices_;
  std::vector<Place> expected_;
  std::vector<uint32_t> asked_besides_;
  uint32_t refused_ = 0;
};

TEST_F(FragmentListTest, TellsWhatTheTargetsSay) {
  Add(1);
  Add(2);
  Put(2, 10, 1, 3, 5000);
  Put(1, 10, 1, 0, 70'000);
  Put(1, 8, 1, 1);
  Write(1, {StripeId(11), 0}, 100);
  const wire::ListFragmentsReply reply = List(0, 1000);
  EXPECT_THAT(Places(reply), ElementsAre(Place(8, 1, 1), Place(10, 0, 1), Place(10, 3, 2)))
      << "in order, and not what is not sealed";
  EXPECT_EQ(reply.fragments(1).length_bytes(), 70'000u);
  EXPECT_EQ(reply.fragments(2).length_bytes(), 5000u);
  EXPECT_EQ(reply.fragments(0).lease(), kWriter);
  EXPECT_EQ(reply.next(), 1000u);
  EXPECT_EQ(reply.verified_bytes(), 0u);
  EXPECT_THAT(reply.failed_targets(), IsEmpty());
}

TEST_F(FragmentListTest, RangeBeginsWithItsFirstAndEndsBeforeItsEnd) {
  Add(1);
  Put(1, 10, 5, 0);
  EXPECT_THAT(Places(List(11, 13)), ElementsAre(Place(11, 0, 1), Place(12, 0, 1)));
  EXPECT_THAT(Places(List(15, UINT64_MAX)), IsEmpty());
  EXPECT_EQ(List(0, UINT64_MAX).next(), UINT64_MAX);
}

TEST_F(FragmentListTest, RangeThatIsNoneIsRefused) {
  Add(1);
  EXPECT_TRUE(absl::IsInvalidArgument(Ask(Range(5, 5)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Ask(Range(6, 5)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Ask(wire::ListFragmentsRequest()).status()));
}

TEST_F(FragmentListTest, NodeWithoutTargetsHasNothing) {
  const wire::ListFragmentsReply reply = List(0, 1000);
  EXPECT_THAT(reply.fragments(), IsEmpty());
  EXPECT_EQ(reply.next(), 1000u);
}

TEST_F(FragmentListTest, ManyTargetsAreToldInPagesThatCutNoStripe) {
  for (uint32_t id : {1, 2, 3}) Add(id);
  Put(1, 0, 2000, 0);
  Put(2, 0, 1000, 1);
  // So that a page of two for each stripe would end within one.
  Put(3, 0, 1, 2);
  std::vector<Place> places;
  EXPECT_GT(ListInPages(5000, &places), 1);
  EXPECT_EQ(places, Expected());
}

TEST_F(FragmentListTest, OneTargetIsToldInPagesThatCutNoStripe) {
  Add(1);
  Put(1, 0, 1, 0);
  for (uint32_t index : {0, 1, 2}) Put(1, 1, 700, index);
  std::vector<Place> places;
  EXPECT_GT(ListInPages(5000, &places), 1);
  EXPECT_EQ(places, Expected());
}

TEST_F(FragmentListTest, PageThatIsJustFullLosesNothing) {
  Add(1);
  Put(1, 0, 1500, 0);
  std::vector<Place> places;
  ListInPages(1500, &places);
  EXPECT_EQ(places, Expected());
}

TEST_F(FragmentListTest, FlippedBitIsFoundOnlyByVerifying) {
  Device& first = Add(1);
  Device& second = Add(2);
  Put(1, 1, 3, 0, 2 * kBlockBytes);
  Put(2, 1, 3, 1, kBlockBytes + 5000);
  Rot(first, 2, 100);
  Rot(second, 3, kBlockBytes + 4999);
  EXPECT_THAT(Damaged(List(0, 10)), IsEmpty());
  const wire::ListFragmentsReply reply = Verify(0, 10);
  EXPECT_EQ(Places(reply), Expected());
  EXPECT_THAT(Damaged(reply), ElementsAre(Place(2, 0, 1), Place(3, 1, 2)));
  EXPECT_EQ(reply.verified_bytes(), 3 * 2 * kBlockBytes + 3 * (kBlockBytes + 5000));
  EXPECT_THAT(reply.failed_targets(), IsEmpty());
}

TEST_F(FragmentListTest, PlaceThatTheDeviceCannotReadIsDamage) {
  Device& device = Add(1);
  Put(1, 1, 1, 0);
  device.disk.FailNext(SimDisk::Kind::kRead, absl::DataLossError("planted"));
  const wire::ListFragmentsReply reply = Verify(0, 10);
  EXPECT_EQ(device.disk.faults_fired(), 1);
  EXPECT_THAT(Damaged(reply), ElementsAre(Place(1, 0, 1)));
  EXPECT_THAT(reply.failed_targets(), IsEmpty());
}

TEST_F(FragmentListTest, DamagedRecordIsListedWithoutVerifyingAndHoldsUpNone) {
  Device& device = Add(1);
  Put(1, 1, 2, 0, 5000);
  const std::string key = EncodeFragmentKey(Key(1));
  std::string record = device.store.family(0).at(key);
  record.back() ^= 1;
  device.store.Overwrite(0, key, std::move(record));
  EXPECT_THAT(Damaged(List(0, 10)), ElementsAre(Place(1, 0, 1)));
  const wire::ListFragmentsReply reply = Verify(0, 10);
  EXPECT_EQ(Places(reply), Expected());
  EXPECT_THAT(Damaged(reply), ElementsAre(Place(1, 0, 1)));
  EXPECT_EQ(reply.verified_bytes(), 5000u);
}

// Records that share one place on the device, for otherwise this would take a large one.
TEST_F(FragmentListTest, VerifyingStopsAfterSoMuchButNotWithinAStripe) {
  Device& device = Add(1, kFragmentBytesMax + 4 * kMiB);
  const std::vector<std::byte> block(kBlockBytes);
  const IndexRecord record{LeaseId(kWriter), kReservedBytes,
                           static_cast<uint32_t>(kFragmentBytesMax),
                           std::vector<uint32_t>(kFragmentBytesMax / kBlockBytes, Crc32c(block))};
  for (const FragmentKey& key : {Key(1, 0), Key(1, 1), Key(1, 2), Key(1, 3), Key(1, 4), Key(2)})
    device.store.Overwrite(0, EncodeFragmentKey(key), EncodeIndexRecord(key, record));
  wire::ListFragmentsReply reply = Verify(0, 10);
  EXPECT_EQ(reply.fragments_size(), 5) << "more than is read in a call, but one stripe";
  EXPECT_EQ(reply.next(), 2u);
  EXPECT_EQ(reply.verified_bytes(), 5 * kFragmentBytesMax);
  EXPECT_THAT(Damaged(reply), IsEmpty());
  reply = Verify(2, 10);
  EXPECT_THAT(Places(reply), ElementsAre(Place(2, 0, 1)));
  EXPECT_EQ(reply.next(), 10u);
  EXPECT_EQ(List(0, 10).fragments_size(), 6) << "to list costs no reading";
}

TEST_F(FragmentListTest, TargetsThatCannotBeAskedAreNamedAndHoldUpNoOther) {
  for (uint32_t id : {1, 2, 3}) Add(id);
  for (uint32_t id : {1, 2, 3}) Put(id, 1, 1, id);
  refused_ = 2;
  asked_besides_ = {99};
  wire::ListFragmentsReply reply = List(0, 10);
  EXPECT_THAT(Places(reply), ElementsAre(Place(1, 1, 1), Place(1, 3, 3)));
  EXPECT_THAT(reply.failed_targets(), ElementsAre(99, 2));
  EXPECT_EQ(reply.next(), 10u);
  reply = Verify(0, 10);
  EXPECT_THAT(reply.failed_targets(), ElementsAre(99, 2)) << "each once";
  EXPECT_THAT(Damaged(reply), IsEmpty());
}

TEST_F(FragmentListTest, TargetThatFailsWhileItIsReadIsNamedAndNothingOfItCalledDamaged) {
  Device& device = Add(1);
  Add(2);
  for (uint32_t id : {1, 2}) Put(id, 1, 1, id);
  device.disk.FailEvery(SimDisk::Kind::kRead, absl::UnavailableError("planted"));
  const wire::ListFragmentsReply reply = Verify(0, 10);
  EXPECT_GT(device.disk.faults_fired(), 0);
  EXPECT_THAT(reply.failed_targets(), ElementsAre(1));
  EXPECT_THAT(Damaged(reply), IsEmpty());
}

TEST(FreedFragments, AreGoneForGoodAndNoOthers) {
  TargetWorld w;
  ASSERT_TRUE(w.Open().ok());
  for (uint64_t stripe : {1, 2, 3}) ASSERT_TRUE(w.Write(stripe, 5000).ok());
  ASSERT_TRUE(w.SealAll({Stripes(1, 3)}).ok());
  const OnTarget on_target = [&w](uint32_t, const TargetWork& work) { return work(*w.target); };
  wire::FreeFragmentsRequest request;
  // The last two are not there.
  for (const FragmentKey& key : {Key(1), Key(3), Key(2, 1), Key(77)}) {
    auto* fragment = request.add_fragments();
    fragment->set_target(7);
    fragment->set_stripe(key.stripe.value());
    fragment->set_index(key.index);
  }
  ASSERT_TRUE(w.executor.Run(FreeFragments(request, on_target)).ok());
  ASSERT_TRUE(w.CrashAndOpen(1).ok());
  EXPECT_TRUE(absl::IsNotFound(w.ReadAll(1, 5000)));
  EXPECT_EQ(w.ReadAll(2, 5000), absl::OkStatus());
  EXPECT_TRUE(absl::IsNotFound(w.ReadAll(3, 5000)));
}

TEST_F(FragmentListTest, FragmentsOfManyTargetsAreFreedInOneBatchEach) {
  Device& first = Add(1);
  Device& second = Add(2);
  for (uint32_t id : {1, 2}) Put(id, 0, 100, id);
  std::vector<Place> freed;
  for (uint64_t stripe = 10; stripe < 60; ++stripe) {
    for (uint32_t id : {1, 2}) freed.emplace_back(stripe, id, id);
  }
  const int64_t before = first.store.synced_writes() + second.store.synced_writes();
  ASSERT_TRUE(Free(freed).ok());
  EXPECT_EQ(first.store.synced_writes() + second.store.synced_writes() - before, 2);
  std::erase_if(expected_, [](const Place& place) {
    return std::get<0>(place) >= 10 && std::get<0>(place) < 60;
  });
  EXPECT_EQ(Places(List(0, 1000)), Expected());
  EXPECT_TRUE(Free({}).ok());
}

TEST_F(FragmentListTest, TargetThatCannotFreeIsToldAndHoldsUpNoOther) {
  for (uint32_t id : {1, 2}) Add(id);
  for (uint32_t id : {1, 2}) Put(id, 1, 1, id);
  refused_ = 1;
  EXPECT_TRUE(absl::IsFailedPrecondition(Free({{1, 1, 1}, {1, 2, 2}})));
  EXPECT_TRUE(absl::IsUnavailable(Free({{1, 1, 99}})));
  refused_ = 0;
  EXPECT_THAT(Places(List(0, 10)), ElementsAre(Place(1, 1, 1)));
}

TEST_F(FragmentListTest, TooManyToFreeAreRefused) {
  Add(1);
  Put(1, 1, 1, 0);
  EXPECT_TRUE(absl::IsInvalidArgument(Free(std::vector<Place>(1025, {1, 0, 1}))));
  EXPECT_THAT(Places(List(0, 10)), ElementsAre(Place(1, 0, 1)));
  EXPECT_TRUE(Free(std::vector<Place>(1024, {1, 0, 1})).ok());
  EXPECT_THAT(Places(List(0, 10)), IsEmpty());
}

}  // namespace
}  // namespace cairn
