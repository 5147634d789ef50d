// The persistent formats: golden files that no change may break, every bit flip found, every other
// version named. The golden files are hex text in tests/compat/golden; lines that begin with # are
// comments.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "common/base/crc32c.h"
#include "server/chunk/index_record.h"
#include "server/chunk/inspect.h"
#include "server/chunk/superblock.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

ConstBytes Bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string ToHex(const std::string& bytes) {
  std::string hex;
  for (size_t i = 0; i < bytes.size(); ++i) {
    char digits[4];
    std::snprintf(digits, sizeof(digits), "%02x%c", static_cast<uint8_t>(bytes[i]),
                  i % 32 == 31 ? '\n' : ' ');
    hex += digits;
  }
  return hex;
}

std::string Golden(const std::string& name) {
  std::ifstream file(std::string(CAIRN_GOLDEN_DIR "/") + name);
  EXPECT_TRUE(file.good()) << name;
  std::string bytes;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    for (size_t i = 0; i + 1 < line.size(); i += 3) {
      bytes.push_back(static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16)));
    }
  }
  return bytes;
}

Superblock ExampleSuperblock() {
  TargetUuid uuid;
  for (size_t i = 0; i < uuid.size(); ++i) uuid[i] = static_cast<uint8_t>(0xa0 + i);
  return MakeSuperblock("6f1b0c1e-4f4a-4a53-9d1a-0123456789ab", TargetId(258), uuid, 64 * kGiB);
}

const FragmentKey kExampleKey{StripeId(0x0102030405060708), 3};
IndexRecord ExampleRecord() {
  return {LeaseId(0x1122334455667788),
          0x123456000,
          2 * 65536 + 5,
          {0xdeadbeef, 0x01020304, 0xcafef00d}};
}

TEST(SuperblockFormat, GoldenFileStaysReadable) {
  const std::string golden = Golden("superblock_v1.hex");
  std::string encoded = EncodeSuperblock(ExampleSuperblock());
  EXPECT_EQ(encoded.size(), kUnitBytes);
  EXPECT_EQ(encoded.substr(512), std::string(kUnitBytes - 512, '\0'));
  encoded.resize(512);
  EXPECT_EQ(golden, encoded) << ToHex(encoded);
  const auto decoded = DecodeSuperblock(Bytes(golden));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(**decoded, ExampleSuperblock());
}

TEST(SuperblockFormat, BlankIsNoError) {
  const auto decoded = DecodeSuperblock(Bytes(std::string(kUnitBytes, '\0')));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, std::nullopt);
}

TEST(SuperblockFormat, EveryFlippedBitIsFound) {
  const std::string good = EncodeSuperblock(ExampleSuperblock());
  for (size_t bit = 0; bit < 512 * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeSuperblock(Bytes(bad)).ok()) << "bit " << bit;
  }
}

TEST(SuperblockFormat, ErrorsSayWhatIsThere) {
  std::string block = EncodeSuperblock(ExampleSuperblock());
  block[100] = '!';
  EXPECT_EQ(DecodeSuperblock(Bytes(block)).status().code(), absl::StatusCode::kDataLoss);

  block = EncodeSuperblock(ExampleSuperblock());
  block[12] = 9;  // the version, under a right checksum
  const uint32_t crc = Crc32c(Bytes(block).subspan(12, 500));
  std::memcpy(block.data() + 8, &crc, 4);
  auto decoded = DecodeSuperblock(Bytes(block));
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(decoded.status().message()), HasSubstr("format version 9"));

  decoded = DecodeSuperblock(Bytes(std::string(kUnitBytes, 'x')));
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(decoded.status().message()), HasSubstr("something else"));
  EXPECT_FALSE(DecodeSuperblock(Bytes("short")).ok());
}

TEST(IndexRecordFormat, GoldenFilesStayReadable) {
  const std::string golden = Golden("index_record_v1.hex");
  const std::string encoded =
      EncodeFragmentKey(kExampleKey) + EncodeIndexRecord(kExampleKey, ExampleRecord());
  EXPECT_EQ(golden, encoded) << ToHex(encoded);
  const auto key = DecodeFragmentKey(golden.substr(0, 12));
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(*key, kExampleKey);
  const auto record = DecodeIndexRecord(*key, golden.substr(12));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(*record, ExampleRecord());

  const std::string identity = Golden("index_identity_v1.hex");
  const std::string made = EncodeIndexIdentity(TargetId(258), ExampleSuperblock().uuid);
  EXPECT_EQ(identity, made) << ToHex(made);
  const auto decoded = DecodeIndexIdentity(identity);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->target, TargetId(258));
  EXPECT_EQ(decoded->uuid, ExampleSuperblock().uuid);
}

TEST(IndexRecordFormat, EveryFlippedBitAndEveryCutIsFound) {
  const std::string good = EncodeIndexRecord(kExampleKey, ExampleRecord());
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeIndexRecord(kExampleKey, bad).ok()) << "bit " << bit;
  }
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(DecodeIndexRecord(kExampleKey, good.substr(0, length)).ok()) << length;
  }
  EXPECT_FALSE(DecodeIndexRecord(kExampleKey, good + '\0').ok());
}

TEST(IndexRecordFormat, RecordUnderAnotherKeyIsDamaged) {
  const std::string record = EncodeIndexRecord(kExampleKey, ExampleRecord());
  EXPECT_EQ(DecodeIndexRecord({kExampleKey.stripe, 4}, record).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(IndexRecordFormat, KeysSortByStripeThenIndex) {
  const FragmentKey keys[] = {{StripeId(0), 0},   {StripeId(0), 1},
                              {StripeId(1), 0},   {StripeId(255), 9},
                              {StripeId(256), 0}, {StripeId(256), 256},
                              {StripeId(257), 1}, {StripeId(uint64_t{1} << 60), 0}};
  for (size_t i = 1; i < std::size(keys); ++i) {
    EXPECT_LT(EncodeFragmentKey(keys[i - 1]), EncodeFragmentKey(keys[i]));
    EXPECT_EQ(DecodeFragmentKey(EncodeFragmentKey(keys[i])), keys[i]);
  }
  EXPECT_EQ(DecodeFragmentKey("eleven byte"), std::nullopt);
}

TEST(Inspect, NamesWhatASuperblockHolds) {
  const std::string text = DescribeSuperblock(Bytes(EncodeSuperblock(ExampleSuperblock())));
  EXPECT_THAT(text, HasSubstr("cluster  6f1b0c1e-4f4a-4a53-9d1a-0123456789ab"));
  EXPECT_THAT(text, HasSubstr("target   258"));
  EXPECT_THAT(DescribeSuperblock(Bytes(std::string(kUnitBytes, '\0'))), HasSubstr("blank"));
  EXPECT_THAT(DescribeSuperblock(Bytes(std::string(kUnitBytes, 'x'))), HasSubstr("something else"));
}

}  // namespace
}  // namespace cairn
