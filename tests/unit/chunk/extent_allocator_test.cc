// The allocator against a map of single units, and the mistakes that must stop the process.
#include "server/chunk/extent_allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "common/base/random.h"

namespace cairn {
namespace {

constexpr uint64_t kU = kUnitBytes;

TEST(ExtentAllocator, EmptyDeviceFillsFromFrontToBack) {
  ExtentAllocator allocator({10 * kU, 8 * kU});
  EXPECT_EQ(allocator.Allocate(3 * kU), (Extent{10 * kU, 3 * kU}));
  EXPECT_EQ(allocator.Allocate(5 * kU), (Extent{13 * kU, 5 * kU}));
  EXPECT_EQ(allocator.Allocate(kU), std::nullopt);
  EXPECT_EQ(allocator.free_bytes(), 0u);
  EXPECT_EQ(allocator.largest_free_bytes(), 0u);
}

TEST(ExtentAllocator, SmallestHoleThatFitsIsTaken) {
  ExtentAllocator allocator({0, 100 * kU});
  const Extent a = *allocator.Allocate(10 * kU);
  allocator.Allocate(kU);
  const Extent b = *allocator.Allocate(4 * kU);
  allocator.Allocate(kU);
  allocator.Free(a);
  allocator.Free(b);
  EXPECT_EQ(allocator.Allocate(3 * kU)->offset_bytes, b.offset_bytes);
  EXPECT_EQ(allocator.Allocate(5 * kU)->offset_bytes, a.offset_bytes);
}

TEST(ExtentAllocator, FreedNeighboursBecomeOneExtent) {
  ExtentAllocator allocator({0, 6 * kU});
  const Extent a = *allocator.Allocate(2 * kU);
  const Extent b = *allocator.Allocate(2 * kU);
  const Extent c = *allocator.Allocate(2 * kU);
  allocator.Free(a);
  allocator.Free(c);
  EXPECT_EQ(allocator.free_extents(), 2u);
  EXPECT_EQ(allocator.Allocate(3 * kU), std::nullopt);
  allocator.Free(b);
  EXPECT_EQ(allocator.free_extents(), 1u);
  EXPECT_EQ(allocator.Allocate(6 * kU), (Extent{0, 6 * kU}));
}

TEST(ExtentAllocator, ReserveTakesExactlyWhatIsFree) {
  ExtentAllocator allocator({10 * kU, 10 * kU});
  EXPECT_TRUE(allocator.Reserve({12 * kU, 2 * kU}));
  EXPECT_FALSE(allocator.Reserve({12 * kU, 2 * kU}));
  EXPECT_FALSE(allocator.Reserve({13 * kU, 2 * kU}));
  EXPECT_FALSE(allocator.Reserve({11 * kU, 2 * kU}));
  EXPECT_FALSE(allocator.Reserve({9 * kU, kU}));
  EXPECT_FALSE(allocator.Reserve({19 * kU, 2 * kU}));
  EXPECT_FALSE(allocator.Reserve({14 * kU, 0}));
  EXPECT_FALSE(allocator.Reserve({14 * kU + 1, kU}));
  EXPECT_FALSE(allocator.Reserve({14 * kU, UINT64_MAX - kU + 1}));
  EXPECT_EQ(allocator.free_bytes(), 8 * kU);
  EXPECT_TRUE(allocator.Reserve({14 * kU, 6 * kU}));
  EXPECT_TRUE(allocator.Reserve({10 * kU, 2 * kU}));
  EXPECT_EQ(allocator.free_bytes(), 0u);
}

TEST(ExtentAllocatorDeathTest, FreeingWhatIsNotAllocatedStopsTheProcess) {
  ExtentAllocator allocator({10 * kU, 10 * kU});
  const Extent taken = *allocator.Allocate(4 * kU);
  EXPECT_DEATH(allocator.Free({14 * kU, kU}), "CHECK|after|left");
  EXPECT_DEATH(allocator.Free({13 * kU, 2 * kU}), "after");
  EXPECT_DEATH(allocator.Free({9 * kU, kU}), "area_");
  EXPECT_DEATH(allocator.Free({19 * kU, 2 * kU}), "area_|left");
  EXPECT_DEATH(allocator.Free({10 * kU, 100}), "IsInUnits");
  allocator.Free(taken);
  EXPECT_DEATH(allocator.Free(taken), "CHECK|after|left");
}

// Every unit knows its owner.
class NaiveMap {
 public:
  explicit NaiveMap(size_t units) : owners_(units) {}
  void Take(Extent extent, int owner) {
    for (uint64_t unit = extent.offset_bytes / kU; unit < extent.end() / kU; ++unit) {
      ASSERT_EQ(owners_[unit], 0) << "given out twice: unit " << unit;
      owners_[unit] = owner;
    }
  }
  void Give(Extent extent) {
    for (uint64_t unit = extent.offset_bytes / kU; unit < extent.end() / kU; ++unit)
      owners_[unit] = 0;
  }
  uint64_t Free() const {
    return static_cast<uint64_t>(std::count(owners_.begin(), owners_.end(), 0)) * kU;
  }
  uint64_t LongestFree() const {
    uint64_t longest = 0;
    uint64_t run = 0;
    for (int owner : owners_) {
      run = owner == 0 ? run + 1 : 0;
      longest = std::max(longest, run);
    }
    return longest * kU;
  }

 private:
  std::vector<int> owners_;
};

TEST(ExtentAllocator, RandomWorkAgreesWithAMapOfUnits) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    constexpr size_t kUnits = 300;
    ExtentAllocator allocator({0, kUnits * kU});
    NaiveMap naive(kUnits);
    std::vector<Extent> live;
    for (int step = 1; step < 2000; ++step) {
      if (random.Below(2) == 0 || live.empty()) {
        const uint64_t length = (1 + random.Below(20)) * kU;
        const auto taken = allocator.Allocate(length);
        ASSERT_EQ(taken.has_value(), naive.LongestFree() >= length);
        if (!taken) continue;
        ASSERT_EQ(taken->length_bytes, length);
        naive.Take(*taken, step);
        live.push_back(*taken);
      } else {
        std::swap(live[random.Below(live.size())], live.back());
        allocator.Free(live.back());
        naive.Give(live.back());
        live.pop_back();
      }
      ASSERT_EQ(allocator.free_bytes(), naive.Free());
      ASSERT_EQ(allocator.largest_free_bytes(), naive.LongestFree());
    }
    // Rebuilt from what is live, it is the same.
    ExtentAllocator rebuilt({0, kUnits * kU});
    for (const Extent& extent : live) ASSERT_TRUE(rebuilt.Reserve(extent));
    EXPECT_EQ(rebuilt.free_bytes(), allocator.free_bytes());
    EXPECT_EQ(rebuilt.free_extents(), allocator.free_extents());
  }
}

}  // namespace
}  // namespace cairn
