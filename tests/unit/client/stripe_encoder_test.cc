// Goal: a stripe's checksums and parity do not depend on how the caller's memory is cut. Method:
// the same content in one piece and in random ones, against checksums and parity of the whole.
#include "client/io/stripe_encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/random.h"

namespace cairn {
namespace {

std::vector<std::byte> RandomBytes(size_t length, SeededRandom& random) {
  std::vector<std::byte> bytes(length);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Next());
  return bytes;
}

std::vector<Segment> Cut(const std::vector<std::byte>& content, size_t pieces,
                         SeededRandom& random) {
  std::vector<size_t> cuts = {0, content.size()};
  while (cuts.size() < pieces + 1) cuts.push_back(random.Below(content.size() + 1));
  std::sort(cuts.begin(), cuts.end());
  std::vector<Segment> segments;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    if (cuts[i] == cuts[i + 1]) continue;
    segments.push_back({0, 0, ConstBytes(content).subspan(cuts[i], cuts[i + 1] - cuts[i])});
  }
  return segments;
}

std::vector<uint32_t> CrcsOf(ConstBytes bytes) {
  BlockCrcs crcs;
  crcs.Add(bytes);
  return crcs.Finish();
}

// Encoded fragment by fragment, each filled with zeros: as the format defines it.
std::vector<std::vector<std::byte>> ParityOf(const ErasureCode& code, const Redundancy& redundancy,
                                             const std::vector<std::byte>& content) {
  const uint64_t length = redundancy.FragmentLength(content.size(), redundancy.data_fragments);
  std::vector<std::vector<std::byte>> data(redundancy.data_fragments,
                                           std::vector<std::byte>(length));
  for (uint32_t i = 0; i < redundancy.data_fragments; ++i) {
    const uint64_t begin = i * redundancy.FragmentSpan(content.size());
    const uint64_t held = redundancy.FragmentLength(content.size(), i);
    if (held > 0)
      std::copy_n(content.begin() + static_cast<ptrdiff_t>(begin), held, data[i].begin());
  }
  std::vector<std::vector<std::byte>> parity(redundancy.parity_fragments,
                                             std::vector<std::byte>(length));
  code.Encode(std::vector<ConstBytes>(data.begin(), data.end()),
              std::vector<MutableBytes>(parity.begin(), parity.end()));
  return parity;
}

class StripeEncoderTest : public ::testing::TestWithParam<const char*> {};

TEST_P(StripeEncoderTest, ParityAndChecksumsAreThoseOfTheContent) {
  const auto redundancy = ParseRedundancy(GetParam());
  ASSERT_TRUE(redundancy.ok());
  const auto code = ErasureCode::Create(redundancy->data_fragments, redundancy->parity_fragments);
  ASSERT_TRUE(code.ok());
  SeededRandom random(11);
  for (size_t length : {size_t{1}, size_t{100}, size_t{kBlockBytes}, size_t{kBlockBytes + 1},
                        size_t{5 * kBlockBytes - 7}, size_t{1'000'000}, size_t{4 << 20}}) {
    const std::vector<std::byte> content = RandomBytes(length, random);
    const auto expected = ParityOf(*code, *redundancy, content);
    for (size_t pieces : {size_t{1}, size_t{2}, size_t{17}, size_t{256}}) {
      const std::vector<Segment> segments = Cut(content, pieces, random);
      auto parity = expected;
      for (auto& each : parity) std::fill(each.begin(), each.end(), std::byte{0xee});
      const StripeCrcs crcs = EncodeStripe(*code, *redundancy, segments,
                                           std::vector<MutableBytes>(parity.begin(), parity.end()));
      EXPECT_EQ(parity, expected) << length << " bytes in " << pieces << " pieces";
      EXPECT_EQ(crcs.content, CrcsOf(content));
      EXPECT_EQ(crcs.content, ContentCrcs(segments));
      ASSERT_EQ(crcs.parity.size(), parity.size());
      for (size_t i = 0; i < parity.size(); ++i) EXPECT_EQ(crcs.parity[i], CrcsOf(parity[i]));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Codes, StripeEncoderTest,
                         ::testing::Values("ec:2+1", "ec:4+2", "ec:10+4"));

}  // namespace
}  // namespace cairn
