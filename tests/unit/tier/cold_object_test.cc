// Goal: what a cold object says of itself is found again, and nothing that is damaged, cut off or
// of another kind is taken for one. Method: objects of a few pieces, with each byte of what
// describes them changed in turn.
#include "server/tier/cold_object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/random.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

std::vector<std::byte> Bytes(size_t size_bytes, uint64_t seed) {
  SeededRandom random(seed);
  std::vector<std::byte> bytes(size_bytes);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Below(256));
  return bytes;
}

std::vector<std::byte> Join(std::span<const ConstBytes> parts) {
  std::vector<std::byte> whole;
  for (const ConstBytes part : parts) whole.insert(whole.end(), part.begin(), part.end());
  return whole;
}

ConstBytes TrailerOf(ConstBytes object) { return object.last(kColdTrailerBytes); }

absl::StatusOr<disk::ColdIndex> IndexOf(ConstBytes object) {
  const auto place = DecodeColdTrailer(TrailerOf(object), object.size());
  if (!place.ok()) return place.status();
  return DecodeColdIndex(object.subspan(place->offset_bytes, place->length_bytes), *place);
}

class ColdObjectTest : public ::testing::Test {
 protected:
  ColdObjectTest() {
    builder_.BeginPiece(100, 0);
    builder_.Add(ConstBytes(first_).first(70'000));
    builder_.Add(ConstBytes(first_).subspan(70'000));
    builder_.BeginPiece(200, 0);  // of which nothing comes
    builder_.BeginPiece(300, 4096);
    builder_.Add(second_);
    whole_ = Join(builder_.Finish());
  }
  const std::vector<std::byte> first_ = Bytes(150'000, 1);
  const std::vector<std::byte> second_ = Bytes(65'536, 2);
  ColdObjectBuilder builder_{{"the-cluster", 7}};
  std::vector<std::byte> whole_;
};

TEST_F(ColdObjectTest, HoldsItsPiecesAndSaysWhatTheyAre) {
  const auto header = DecodeColdHeader(whole_);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->cluster_id, "the-cluster");
  EXPECT_EQ(header->object, 7u);
  const auto index = IndexOf(whole_);
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->SerializeAsString(), builder_.index().SerializeAsString());
  ASSERT_THAT(index->pieces(), SizeIs(2));
  const disk::ColdPiece& one = index->pieces(0);
  EXPECT_EQ(one.first_stripe(), 100u);
  EXPECT_EQ(one.object_offset_bytes(), kColdHeaderBytes);
  EXPECT_EQ(one.length_bytes(), 150'000u);
  EXPECT_THAT(one.block_crc32c(), SizeIs(3));
  const disk::ColdPiece& other = index->pieces(1);
  EXPECT_EQ(other.first_stripe(), 300u);
  EXPECT_EQ(other.run_offset_bytes(), 4096u);
  EXPECT_EQ(other.object_offset_bytes(), kColdHeaderBytes + 150'000);
  EXPECT_THAT(other.block_crc32c(), SizeIs(1));
  const ConstBytes object(whole_);
  EXPECT_EQ(Crc32c(object.subspan(one.object_offset_bytes(), one.length_bytes())), Crc32c(first_));
  EXPECT_EQ(Crc32c(object.subspan(other.object_offset_bytes(), other.length_bytes())),
            Crc32c(second_));
  EXPECT_LE(builder_.size_bytes(), whole_.size());
}

TEST_F(ColdObjectTest, AnyBlocksCanBeVerifiedAlone) {
  const auto index = IndexOf(whole_);
  ASSERT_TRUE(index.ok());
  const disk::ColdPiece& piece = index->pieces(0);
  const ConstBytes content(first_);
  EXPECT_EQ(CheckColdBlocks(piece, 0, content), absl::OkStatus());
  EXPECT_EQ(CheckColdBlocks(piece, 0, content.first(kBlockBytes)), absl::OkStatus());
  EXPECT_EQ(CheckColdBlocks(piece, 1, content.subspan(kBlockBytes, kBlockBytes)), absl::OkStatus());
  EXPECT_EQ(CheckColdBlocks(piece, 2, content.subspan(2 * kBlockBytes)), absl::OkStatus());
  EXPECT_EQ(CheckColdBlocks(piece, 1, {}), absl::OkStatus());
  EXPECT_TRUE(absl::IsDataLoss(CheckColdBlocks(piece, 0, content.subspan(kBlockBytes))));
  EXPECT_TRUE(absl::IsDataLoss(CheckColdBlocks(piece, 0, content.first(1000)))) << "a part";
  EXPECT_TRUE(absl::IsDataLoss(CheckColdBlocks(piece, 3, content.first(1)))) << "none such";
  EXPECT_TRUE(absl::IsDataLoss(CheckColdBlocks(piece, 2, content.first(kBlockBytes)))) << "longer";
  std::vector<std::byte> changed = first_;
  changed[kBlockBytes + 5] ^= std::byte{1};
  EXPECT_EQ(CheckColdBlocks(piece, 0, ConstBytes(changed).first(kBlockBytes)), absl::OkStatus());
  EXPECT_THAT(CheckColdBlocks(piece, 0, changed).message(), HasSubstr("block 1"));
}

TEST_F(ColdObjectTest, NoByteOfWhatDescribesItCanChangeUnseen) {
  const auto place = DecodeColdTrailer(TrailerOf(whole_), whole_.size());
  ASSERT_TRUE(place.ok());
  for (size_t at = 0; at < whole_.size(); ++at) {
    const bool is_payload = at >= kColdHeaderBytes && at < place->offset_bytes;
    if (is_payload) continue;
    std::vector<std::byte> changed = whole_;
    changed[at] ^= std::byte{0x10};
    EXPECT_FALSE(DecodeColdHeader(changed).ok() && IndexOf(changed).ok()) << at;
  }
}

TEST_F(ColdObjectTest, OneThatIsCutOffIsKnown) {
  for (size_t size : {size_t{0}, size_t{31}, size_t{63}, size_t{96}, whole_.size() - 1}) {
    const ConstBytes part = ConstBytes(whole_).first(size);
    const bool good =
        DecodeColdHeader(part).ok() && size >= kColdTrailerBytes && IndexOf(part).ok();
    EXPECT_FALSE(good) << size;
  }
  // What a listing says of its size is not what it has.
  EXPECT_FALSE(DecodeColdTrailer(TrailerOf(whole_), kColdHeaderBytes + 10).ok());
}

TEST_F(ColdObjectTest, ALaterFormatIsRefusedAsSuch) {
  std::vector<std::byte> later = whole_;
  later[8] = std::byte{2};
  EXPECT_TRUE(absl::IsFailedPrecondition(DecodeColdHeader(later).status()));
  later[later.size() - kColdTrailerBytes + 12] = std::byte{2};
  EXPECT_TRUE(absl::IsFailedPrecondition(IndexOf(later).status()));
}

TEST(ColdIndex, ThatDoesNotFillItsObjectIsRefused) {
  const auto check = [](const disk::ColdIndex& index, uint64_t payload_bytes) {
    const std::string bytes = index.SerializeAsString();
    const ConstBytes span = std::as_bytes(std::span(bytes.data(), bytes.size()));
    const ColdIndexPlace place = {kColdHeaderBytes + payload_bytes, bytes.size(), Crc32c(span)};
    return DecodeColdIndex(span, place).ok();
  };
  disk::ColdIndex index;
  EXPECT_TRUE(check(index, 0));
  EXPECT_FALSE(check(index, 1));
  disk::ColdPiece* piece = index.add_pieces();
  piece->set_object_offset_bytes(kColdHeaderBytes);
  piece->set_length_bytes(kBlockBytes + 1);
  piece->add_block_crc32c(1);
  EXPECT_FALSE(check(index, kBlockBytes + 1)) << "a checksum is missing";
  piece->add_block_crc32c(2);
  EXPECT_TRUE(check(index, kBlockBytes + 1));
  EXPECT_FALSE(check(index, kBlockBytes)) << "it is longer than the object";
  EXPECT_FALSE(check(index, kBlockBytes + 2)) << "something is left";
  piece->set_run_offset_bytes(UINT64_MAX - 5);
  EXPECT_FALSE(check(index, kBlockBytes + 1)) << "it wraps around";
  piece->set_run_offset_bytes(0);
  piece->set_object_offset_bytes(kColdHeaderBytes + 1);
  EXPECT_FALSE(check(index, kBlockBytes + 1)) << "there is a gap";
}

TEST(ColdObjectKey, IsTheClustersAndSortsByNumber) {
  EXPECT_EQ(ColdObjectKey("c", 255), "c/objects/00000000000000ff");
  EXPECT_LT(ColdObjectKey("c", 255), ColdObjectKey("c", 256));
}

}  // namespace
}  // namespace cairn
