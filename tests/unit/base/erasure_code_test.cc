// Goal: any k of k + m fragments give back all the others, and stored parity keeps its meaning.
// Method: every pattern of lost fragments for small codes, random ones for large codes, and parity
// bytes written down once.
#include "common/base/erasure_code.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/random.h"

namespace cairn {
namespace {

using Fragments = std::vector<std::vector<std::byte>>;

// A stripe's k data fragments and the m that are made of them.
Fragments Encoded(const ErasureCode& code, size_t length, uint64_t seed) {
  SeededRandom random(seed);
  Fragments all(code.data_fragments() + code.parity_fragments());
  std::vector<ConstBytes> data;
  std::vector<MutableBytes> parity;
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].resize(length);
    if (i >= code.data_fragments()) {
      parity.emplace_back(all[i]);
      continue;
    }
    for (std::byte& byte : all[i]) byte = static_cast<std::byte>(random.Next());
    data.emplace_back(all[i]);
  }
  code.Encode(data, parity);
  return all;
}

// Loses those of the bits of `lost`, and gets them back from the others.
void ExpectRecovered(const ErasureCode& code, const Fragments& all, uint64_t lost) {
  std::vector<CodedFragment> present;
  Fragments recovered;
  std::vector<uint32_t> indexes;
  for (uint32_t i = 0; i < all.size(); ++i) {
    if (lost >> i & 1) {
      recovered.emplace_back(all[i].size());
      indexes.push_back(i);
    } else {
      present.push_back({i, all[i]});
    }
  }
  std::vector<WantedFragment> wanted;
  for (size_t i = 0; i < indexes.size(); ++i) wanted.push_back({indexes[i], recovered[i]});
  ASSERT_EQ(code.Reconstruct(present, wanted), absl::OkStatus());
  for (size_t i = 0; i < indexes.size(); ++i) {
    EXPECT_EQ(recovered[i], all[indexes[i]]) << "fragment " << indexes[i] << " of loss " << lost;
  }
}

TEST(ErasureCodeTest, EveryPatternOfLossIsRecovered) {
  for (uint32_t k = 1; k <= 6; ++k) {
    for (uint32_t m = 0; m <= 4; ++m) {
      const auto code = ErasureCode::Create(k, m);
      ASSERT_TRUE(code.ok());
      const Fragments all = Encoded(*code, 100, k * 16 + m);
      for (uint64_t lost = 0; lost < uint64_t{1} << (k + m); ++lost) {
        if (static_cast<uint32_t>(std::popcount(lost)) <= m) ExpectRecovered(*code, all, lost);
      }
    }
  }
}

TEST(ErasureCodeTest, LargeCodesAndLengthsOfNoMultiple) {
  SeededRandom random(7);
  for (const auto& [k, m] : {std::pair{10u, 4u}, std::pair{16u, 4u}, std::pair{20u, 8u}}) {
    const auto code = ErasureCode::Create(k, m);
    ASSERT_TRUE(code.ok());
    for (size_t length : {size_t{1}, size_t{31}, size_t{4097}, size_t{70'001}}) {
      const Fragments all = Encoded(*code, length, length);
      for (int round = 0; round < 5; ++round) {
        uint64_t lost = 0;
        while (static_cast<uint32_t>(std::popcount(lost)) < m)
          lost |= uint64_t{1} << (random.Next() % (k + m));
        ExpectRecovered(*code, all, lost);
      }
    }
  }
}

// As a gather list of the caller's memory is encoded, whose pieces end anywhere.
TEST(ErasureCodeTest, PiecesEncodeAsTheWholeDoes) {
  const auto code = ErasureCode::Create(4, 2);
  ASSERT_TRUE(code.ok());
  const Fragments all = Encoded(*code, 1000, 3);
  Fragments parity(2, std::vector<std::byte>(1000));
  for (size_t at = 0, length = 1; at < 1000;
       at += length, length = std::min(length * 3, 1000 - at)) {
    std::vector<ConstBytes> data;
    std::vector<MutableBytes> made;
    for (size_t i = 0; i < 4; ++i) data.push_back(ConstBytes(all[i]).subspan(at, length));
    for (auto& each : parity) made.push_back(MutableBytes(each).subspan(at, length));
    code->Encode(data, made);
  }
  EXPECT_EQ(parity[0], all[4]);
  EXPECT_EQ(parity[1], all[5]);
}

TEST(ErasureCodeTest, TooFewFragmentsAreALoss) {
  const auto code = ErasureCode::Create(4, 2);
  ASSERT_TRUE(code.ok());
  const Fragments all = Encoded(*code, 64, 1);
  std::vector<CodedFragment> present;
  for (uint32_t i : {0u, 2u, 5u}) present.push_back({i, all[i]});
  std::vector<std::byte> into(64);
  const std::vector<WantedFragment> wanted = {{1, into}};
  EXPECT_EQ(code->Reconstruct(present, wanted).code(), absl::StatusCode::kDataLoss);
}

TEST(ErasureCodeTest, RefusesWhatIsNoCode) {
  EXPECT_FALSE(ErasureCode::Create(0, 2).ok());
  EXPECT_FALSE(ErasureCode::Create(250, 6).ok());
  EXPECT_FALSE(ErasureCode::Create(UINT32_MAX, 2).ok());
  EXPECT_TRUE(ErasureCode::Create(251, 4).ok());
}

// Golden: a release that encodes otherwise could not read what an older one has stored.
TEST(ErasureCodeTest, StoredParityKeepsItsMeaning) {
  const auto code = ErasureCode::Create(4, 2);
  ASSERT_TRUE(code.ok());
  Fragments all(6, std::vector<std::byte>(256));
  std::vector<ConstBytes> data;
  std::vector<MutableBytes> parity;
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = 0; j < 256; ++j) all[i][j] = static_cast<std::byte>(i * 57 + j);
    data.emplace_back(all[i]);
  }
  parity.emplace_back(all[4]);
  parity.emplace_back(all[5]);
  code->Encode(data, parity);
  EXPECT_EQ(Crc32c(all[4]), 4034420675u);
  EXPECT_EQ(Crc32c(all[5]), 4073184785u);
}

}  // namespace
}  // namespace cairn
