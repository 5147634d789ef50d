// CRC32C against published vectors and against a bitwise definition of the polynomial; blocks
// against whole pieces.
#include "common/base/crc32c.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string_view>

#include "common/base/random.h"

namespace cairn {
namespace {

ConstBytes Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::vector<std::byte> RandomBytes(size_t count) {
  SeededRandom random(count);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Next());
  return bytes;
}

// The definition: reflected polynomial 0x1EDC6F41, inverted before and after.
uint32_t SlowCrc32c(ConstBytes data) {
  uint32_t crc = ~uint32_t{0};
  for (const std::byte byte : data) {
    crc ^= static_cast<uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
  }
  return ~crc;
}

TEST(Crc32c, MatchesPublishedVectors) {
  EXPECT_EQ(Crc32c(Bytes("123456789")), 0xE3069283u);
  EXPECT_EQ(Crc32c({}), 0u);
  // RFC 3720, B.4.
  const std::vector<std::byte> zeros(32, std::byte{0});
  EXPECT_EQ(Crc32c(zeros), 0x8A9136AAu);
  const std::vector<std::byte> ones(32, std::byte{0xFF});
  EXPECT_EQ(Crc32c(ones), 0x62A8AB43u);
}

TEST(Crc32c, MatchesTheDefinitionAtEveryLengthAndAlignment) {
  const std::vector<std::byte> bytes = RandomBytes(600);
  for (size_t start = 0; start < 16; ++start) {
    for (size_t length = 0; length < 520; length += 13) {
      const ConstBytes piece = ConstBytes(bytes).subspan(start, length);
      ASSERT_EQ(Crc32c(piece), SlowCrc32c(piece)) << start << " " << length;
    }
  }
}

TEST(Crc32c, ExtendIsTheCrcOfTheConcatenation) {
  const std::vector<std::byte> bytes = RandomBytes(300);
  const ConstBytes all(bytes);
  for (size_t cut = 0; cut <= all.size(); cut += 7) {
    EXPECT_EQ(ExtendCrc32c(Crc32c(all.first(cut)), all.subspan(cut)), Crc32c(all));
  }
}

TEST(BlockCrcs, PiecesOfAnySizeGiveTheCrcsOfTheBlocks) {
  const std::vector<std::byte> bytes = RandomBytes(5 * kBlockBytes / 2);
  const ConstBytes all(bytes);
  const std::vector<uint32_t> expected = {Crc32c(all.subspan(0, kBlockBytes)),
                                          Crc32c(all.subspan(kBlockBytes, kBlockBytes)),
                                          Crc32c(all.subspan(2 * kBlockBytes))};
  BlockCrcs crcs;
  for (const size_t piece :
       {size_t{1} << 30, size_t{kBlockBytes}, size_t{kBlockBytes} - 1, size_t{4097}, size_t{333}}) {
    for (size_t at = 0; at < all.size(); at += piece) {
      crcs.Add(all.subspan(at, std::min(piece, all.size() - at)));
    }
    EXPECT_EQ(crcs.Finish(), expected) << "pieces of " << piece;
  }
}

TEST(BlockCrcs, WholeBlocksLeaveNoEmptyLastOne) {
  const std::vector<std::byte> bytes = RandomBytes(kBlockBytes);
  BlockCrcs crcs;
  crcs.Add(bytes);
  EXPECT_EQ(crcs.Finish().size(), 1u);
  EXPECT_TRUE(crcs.Finish().empty());
}

}  // namespace
}  // namespace cairn
