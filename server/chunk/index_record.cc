#include "server/chunk/index_record.h"

#include <bit>
#include <cstring>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/little_endian.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

constexpr uint32_t kRecordVersion = 1;
constexpr size_t kKeyBytes = 12;
// CRC, version, lease, offset, length.
constexpr size_t kHeaderBytes = 4 + 4 + 8 + 8 + 4;
constexpr size_t kIdentityBytes = 4 + 4 + 4 + 16;
// The checksums of blocks are copied whole, in the machine's own order.
static_assert(std::endian::native == std::endian::little);

uint32_t CrcOf(std::string_view text, uint32_t so_far) {
  return ExtendCrc32c(so_far, std::as_bytes(std::span(text.data(), text.size())));
}

template <class Int>
void AppendBigEndian(std::string& out, Int value) {
  for (int shift = 8 * (sizeof(Int) - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift));
}

template <class Int>
Int ReadBigEndian(std::string_view data, size_t at) {
  Int value = 0;
  for (size_t i = 0; i < sizeof(Int); ++i)
    value = (value << 8) | static_cast<uint8_t>(data[at + i]);
  return value;
}

// Fills in the checksum that the first four bytes are left for.
std::string Finish(std::string encoded, std::string_view key) {
  const uint32_t crc = CrcOf(std::string_view(encoded).substr(4), CrcOf(key, 0));
  StoreLittleEndian(encoded.data(), crc);
  return encoded;
}

absl::Status CheckFrame(std::string_view encoded, std::string_view key, size_t header_bytes,
                        const char* what) {
  if (encoded.size() < header_bytes) return absl::DataLossError(StrCat(what, " is cut short"));
  if (LoadLittleEndian<uint32_t>(encoded.data()) != CrcOf(encoded.substr(4), CrcOf(key, 0))) {
    return absl::DataLossError(StrCat(what, " is damaged: its checksum does not match"));
  }
  const uint32_t version = LoadLittleEndian<uint32_t>(encoded.data() + 4);
  if (version == kRecordVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(what, " has version ", version, "; this cairnd reads version ", kRecordVersion));
}

}  // namespace

std::string EncodeFragmentKey(const FragmentKey& key) {
  std::string encoded;
  encoded.reserve(kKeyBytes);
  AppendBigEndian<uint64_t>(encoded, key.stripe.value());
  AppendBigEndian<uint32_t>(encoded, key.index);
  return encoded;
}

std::optional<FragmentKey> DecodeFragmentKey(std::string_view encoded) {
  if (encoded.size() != kKeyBytes) return std::nullopt;
  return FragmentKey{StripeId(ReadBigEndian<uint64_t>(encoded, 0)),
                     ReadBigEndian<uint32_t>(encoded, 8)};
}

std::string EncodeIndexRecord(const FragmentKey& key, const IndexRecord& record) {
  CAIRN_CHECK(record.length_bytes > 0 && record.length_bytes <= kFragmentBytesMax);
  CAIRN_CHECK(record.offset_bytes % kUnitBytes == 0);
  CAIRN_CHECK(record.block_crcs.size() == DivideUp(record.length_bytes, kBlockBytes));
  std::string encoded;
  encoded.reserve(kHeaderBytes + record.block_crcs.size() * sizeof(uint32_t));
  AppendLittleEndian<uint32_t>(encoded, 0);
  AppendLittleEndian<uint32_t>(encoded, kRecordVersion);
  AppendLittleEndian<uint64_t>(encoded, record.lease.value());
  AppendLittleEndian<uint64_t>(encoded, record.offset_bytes);
  AppendLittleEndian<uint32_t>(encoded, record.length_bytes);
  encoded.append(reinterpret_cast<const char*>(record.block_crcs.data()),
                 record.block_crcs.size() * sizeof(uint32_t));
  return Finish(std::move(encoded), EncodeFragmentKey(key));
}

absl::StatusOr<IndexRecord> DecodeIndexRecord(const FragmentKey& key, std::string_view encoded) {
  const std::string what =
      StrCat("the index record of stripe ", key.stripe.value(), ", fragment ", key.index, ",");
  if (absl::Status status = CheckFrame(encoded, EncodeFragmentKey(key), kHeaderBytes, what.c_str());
      !status.ok()) {
    return status;
  }
  IndexRecord record;
  record.lease = LeaseId(LoadLittleEndian<uint64_t>(encoded.data() + 8));
  record.offset_bytes = LoadLittleEndian<uint64_t>(encoded.data() + 16);
  record.length_bytes = LoadLittleEndian<uint32_t>(encoded.data() + 24);
  const uint64_t blocks = DivideUp(record.length_bytes, kBlockBytes);
  if (record.length_bytes == 0 || record.length_bytes > kFragmentBytesMax ||
      record.offset_bytes % kUnitBytes != 0 || record.extent().end() < record.offset_bytes ||
      encoded.size() != kHeaderBytes + blocks * sizeof(uint32_t)) {
    return absl::DataLossError(StrCat(what, " contradicts itself"));
  }
  record.block_crcs.resize(blocks);
  std::memcpy(record.block_crcs.data(), encoded.data() + kHeaderBytes, blocks * sizeof(uint32_t));
  return record;
}

std::string EncodeIndexIdentity(TargetId target, const TargetUuid& uuid) {
  std::string encoded;
  AppendLittleEndian<uint32_t>(encoded, 0);
  AppendLittleEndian<uint32_t>(encoded, kRecordVersion);
  AppendLittleEndian<uint32_t>(encoded, target.value());
  encoded.append(reinterpret_cast<const char*>(uuid.data()), uuid.size());
  return Finish(std::move(encoded), {});
}

absl::StatusOr<IndexIdentity> DecodeIndexIdentity(std::string_view encoded) {
  absl::Status status = CheckFrame(encoded, {}, kIdentityBytes, "the identity record of the index");
  if (!status.ok()) return status;
  IndexIdentity identity;
  identity.target = TargetId(LoadLittleEndian<uint32_t>(encoded.data() + 8));
  std::memcpy(identity.uuid.data(), encoded.data() + 12, identity.uuid.size());
  return identity;
}

}  // namespace cairn
