// Goal: a checksum combined from parts equals the checksum of the whole. Method: random cuts of
// random bytes.

#include "common/base/crc32c_combine.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "common/base/crc32c.h"

namespace cairn {
namespace {

std::vector<std::byte> RandomBytes(size_t length, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(length);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

TEST(CombineCrc32c, EqualsTheCrcOfTheConcatenation) {
  const std::vector<std::byte> bytes = RandomBytes(10'000, 1);
  const ConstBytes all(bytes);
  for (size_t cut : {0u, 1u, 3u, 4096u, 9'999u, 10'000u}) {
    EXPECT_EQ(CombineCrc32c(Crc32c(all.first(cut)), Crc32c(all.subspan(cut)), bytes.size() - cut),
              Crc32c(all))
        << "cut at " << cut;
  }
}

TEST(CombineCrc32c, TakesLengthsOfPetabytes) {
  // All bits of a length take part: appended step by step or at once.
  uint32_t by_steps = 0x12345678;
  uint64_t length = 0;
  for (uint64_t step : {uint64_t{1} << 40, uint64_t{77} << 33, (uint64_t{1} << 50) + 12'345}) {
    by_steps = CombineCrc32c(by_steps, 0, step);
    length += step;
  }
  EXPECT_EQ(CombineCrc32c(0x12345678, 0, length), by_steps);
}

TEST(CombineBlockCrcs, EqualsTheCrcOfTheStream) {
  for (size_t length : {size_t{0}, size_t{1}, size_t{kBlockBytes}, size_t{kBlockBytes * 3 + 5}}) {
    const std::vector<std::byte> bytes = RandomBytes(length, length);
    BlockCrcs crcs;
    crcs.Add(bytes);
    EXPECT_EQ(CombineBlockCrcs(crcs.Finish(), length), Crc32c(bytes)) << length << " bytes";
  }
}

}  // namespace
}  // namespace cairn
